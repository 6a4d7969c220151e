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
 * Settings for the studio, left by another page that is about to navigate there.
 * @param {import("./types.js").Recipe} recipe
 */
export function handOver(recipe) {
  sessionStorage.setItem(HANDOVER, JSON.stringify(recipe));
}

/** @returns {import("./types.js").Recipe | null} */
export function takeHandover() {
  const text = sessionStorage.getItem(HANDOVER);
  sessionStorage.removeItem(HANDOVER);
  return text === null ? null : JSON.parse(text);
}
