// Zooming and moving a picture by numbers. A view says how much larger than fitted the picture is, and how far its middle
// lies from the middle of its frame; points are measured from the middle of the frame. All in px.

/**
 * @typedef {{scale: number, x: number, y: number}} View
 * @typedef {{x: number, y: number}} Point
 * @typedef {{width: number, height: number}} Size
 */

export const FIT = Object.freeze({ scale: 1, x: 0, y: 0 });
export const MOST = 8;

/** @param {number} value @param {number} most */
const within = (value, most) => Math.min(most, Math.max(-most, value)) || 0; // never -0

/**
 * No smaller than fitted, no larger than MOST times that, and never moved so far that the frame shows what is beside it.
 * @param {View} view
 * @param {Size} fitted
 * @param {Size} frame
 * @returns {View}
 */
export function bounded({ scale, x, y }, fitted, frame) {
  const size = Math.min(MOST, Math.max(1, scale));
  const spare = (/** @type {"width" | "height"} */ side) => Math.max(0, (fitted[side] * size - frame[side]) / 2);
  return { scale: size, x: within(x, spare("width")), y: within(y, spare("height")) };
}

/**
 * Larger by a factor, while what lies under a point stays there.
 * @param {View} view
 * @param {number} factor
 * @param {Point} point
 * @returns {View}
 */
export function zoomedAt({ scale, x, y }, factor, point) {
  const next = Math.min(MOST, Math.max(1, scale * factor));
  const by = next / scale;
  return { scale: next, x: point.x - (point.x - x) * by, y: point.y - (point.y - y) * by };
}

/** @param {Point[]} points */
const middle = (points) => ({
  x: points.reduce((sum, point) => sum + point.x, 0) / points.length,
  y: points.reduce((sum, point) => sum + point.y, 0) / points.length,
});

/** @param {Point[]} points  one or two */
const spread = (points) =>
  points.length < 2 ? 1 : Math.hypot(points[1].x - points[0].x, points[1].y - points[0].y) || 1;

/**
 * One finger moves the picture, two also zoom it.
 * @param {View} view
 * @param {Point[]} before
 * @param {Point[]} after  the same fingers
 * @returns {View}
 */
export function dragged(view, before, after) {
  const [from, to] = [middle(before), middle(after)];
  const zoomed = zoomedAt(view, spread(after) / spread(before), from);
  return { scale: zoomed.scale, x: zoomed.x + to.x - from.x, y: zoomed.y + to.y - from.y };
}
