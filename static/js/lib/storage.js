// Small preferences that survive a reload. A browser that refuses storage costs only the remembering.
//
// Each tab keeps its own, so that what is done in one changes nothing in another; a new tab begins with the last ones
// of any. (A duplicated tab begins with those of its twin: browsers copy sessionStorage.)

/**
 * What a store holds under a key, or undefined.
 * @param {"sessionStorage" | "localStorage"} store
 * @param {string} key
 */
function read(store, key) {
  try {
    const text = window[store].getItem(key);
    return text === null ? undefined : JSON.parse(text);
  } catch (error) {
    console.info(`Cannot read the preference ${key}:`, error);
    return undefined;
  }
}

/**
 * @param {"sessionStorage" | "localStorage"} store
 * @param {string} key
 * @param {unknown} value
 */
function write(store, key, value) {
  try {
    window[store].setItem(key, JSON.stringify(value));
  } catch (error) {
    console.info(`Cannot keep the preference ${key}:`, error);
  }
}

/**
 * @template T
 * @param {string} key
 * @param {T} fallback
 * @returns {T}
 */
export function remembered(key, fallback) {
  return rememberedHere(key) ?? read("localStorage", key) ?? fallback;
}

/**
 * @param {string} key
 * @param {unknown} value  null: whatever was remembered is forgotten
 */
export function remember(key, value) {
  rememberHere(key, value);
  write("localStorage", key, value);
}

/** What this tab alone remembers. @param {string} key */
export const rememberedHere = (key) => read("sessionStorage", key);

/** In this tab alone, for what a new one must not begin with. @param {string} key @param {unknown} value */
export const rememberHere = (key, value) => write("sessionStorage", key, value);

const HANDOVER = "handover";

/**
 * Settings to fill in, or jobs to show, left for the studio by another page that is about to navigate there.
 * @param {{recipe?: import("./types.js").Recipe, jobs?: string[]}} what
 */
export function handOver(what) {
  sessionStorage.setItem(HANDOVER, JSON.stringify(what));
}

/** @returns {{recipe?: import("./types.js").Recipe, jobs?: string[]}} */
export function takeHandover() {
  const text = sessionStorage.getItem(HANDOVER);
  sessionStorage.removeItem(HANDOVER);
  return text === null ? {} : JSON.parse(text);
}
