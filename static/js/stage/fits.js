// How sizes fit this machine, as far as the server has said: filled by the choice of a size, read wherever one is shown.

/** @typedef {import("../lib/types.js").Fit} Fit */

/** @type {Map<string, Fit[]>} by model: the sizes that the server lists */
export const listedFits = new Map();
/** @type {Map<string, Fit>} by model and size: what the server said of sizes that were typed */
export const typedFits = new Map();

/** @param {string} name @param {{width: number, height: number}} size */
export const fitKey = (name, size) => `${name} ${size.width}x${size.height}`;

/**
 * What the memory plan says that a picture needs, where it is known here.
 * @param {string | null} name
 * @param {{width: number, height: number}} size
 * @returns {number | undefined} bytes
 */
export function predictedPeak(name, size) {
  const listed = listedFits.get(name ?? "")?.find((fit) => fit.width === size.width && fit.height === size.height);
  return (listed ?? typedFits.get(fitKey(name ?? "", size)))?.peak_bytes;
}
