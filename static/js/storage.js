// Small preferences that survive a reload. A browser that refuses storage costs only the remembering.

/**
 * @template T
 * @param {string} key
 * @param {T} fallback
 * @returns {T}
 */
export function remembered(key, fallback) {
  try {
    const text = localStorage.getItem(key);
    return text === null ? fallback : JSON.parse(text);
  } catch (error) {
    console.info(`Cannot read the preference ${key}:`, error);
    return fallback;
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
export function remember(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch (error) {
    console.info(`Cannot keep the preference ${key}:`, error);
  }
}

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
