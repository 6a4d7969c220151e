// The bounds of a request, the same as the server checks. Wrong values are stopped here with better words.

export const MAX_SEED = 2 ** 32 - 1;
export const MAX_STEPS = 100;
export const MIN_SIDE_PX = 64;
export const MAX_SIDE_PX = 2048;
export const SIDE_MULTIPLE_PX = 16;
const MAX_ASPECT = 8;

/** @returns {number} a fresh seed, any of the four thousand million */
export function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/** @param {unknown} value @param {number} low @param {number} high */
export function isWhole(value, low, high) {
  return typeof value === "number" && Number.isInteger(value) && value >= low && value <= high;
}

/** @param {unknown} value */
export const isSide = (value) => isWhole(value, MIN_SIDE_PX, MAX_SIDE_PX) && Number(value) % SIDE_MULTIPLE_PX === 0;

/** @param {number} value @returns {number} the nearest side that can be drawn */
export function nearestSide(value) {
  const rounded = Math.round(value / SIDE_MULTIPLE_PX) * SIDE_MULTIPLE_PX;
  return Math.min(MAX_SIDE_PX, Math.max(MIN_SIDE_PX, rounded));
}

/** What keeps a picture from being edited, in words; "" for nothing. @param {{width: number, height: number}} picture */
export function unfit({ width, height }) {
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  if (shorter < MIN_SIDE_PX) return `This picture has ${width} × ${height} pixels; ${MIN_SIDE_PX} a side are needed to edit it.`;
  if (longer > MAX_ASPECT * shorter) return `This picture is ${width} × ${height}: one side may have ${MAX_ASPECT} times the other. Crop it first.`;
  return "";
}
