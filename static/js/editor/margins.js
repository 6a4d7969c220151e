// How many pixels are added to a picture, on which sides. Numbers alone.

import { isWhole } from "../lib/limits.js";

export const MAX_MARGIN_PX = 2048; // on one side; the server's
const MAX_AREA = 40_000_000; // pixels of what comes out; the server's
export const SIDES = /** @type {const} */ (["left", "top", "right", "bottom"]);

/** @typedef {Record<"left" | "top" | "right" | "bottom", number>} Margins */
/** @typedef {{width: number, height: number}} Size */

/** @type {Readonly<Margins>} */
export const NONE = Object.freeze({ left: 0, top: 0, right: 0, bottom: 0 });

/** @param {Size} size @param {Margins} margins @returns {Size} */
export const extended = (size, { left, top, right, bottom }) => ({
  width: size.width + left + right,
  height: size.height + top + bottom,
});

/** @param {Margins} margins */
export const isNone = (margins) => SIDES.every((side) => margins[side] === 0);

/** What is wrong with them, in words; "" for nothing. @param {Size} size @param {Margins} margins */
export function problemOf(size, margins) {
  if (!SIDES.every((side) => isWhole(margins[side], 0, MAX_MARGIN_PX)))
    return `Whole numbers from 0 to ${MAX_MARGIN_PX}, please.`;
  const { width, height } = extended(size, margins);
  if (width * height > MAX_AREA) return "That is more than 40 million pixels; add less.";
  return Math.max(width, height) > 8 * Math.min(width, height) ? "One side may have 8 times the other at most." : "";
}

/** One side moved, kept to what is possible. @param {Margins} margins @param {typeof SIDES[number]} side @param {number} value */
export function moved(margins, side, value) {
  return { ...margins, [side]: Math.min(MAX_MARGIN_PX, Math.max(0, Math.round(value))) };
}

/**
 * The least that makes a picture have a shape, as much on one side as on the other.
 * @param {Size} size
 * @param {number} across
 * @param {number} down
 * @returns {Margins}
 */
export function toShape({ width, height }, across, down) {
  const wider = Math.max(0, Math.round((height * across) / down) - width);
  const higher = Math.max(0, Math.round((width * down) / across) - height);
  const [left, top] = [Math.floor(wider / 2), Math.floor(higher / 2)];
  return { left, top, right: wider - left, bottom: higher - top };
}
