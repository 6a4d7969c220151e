// Shapes as rows of pixels. A pixel belongs to a shape when its middle does; nothing is smoothed: the server's feather
// does that. All coordinates are pixels of the mask, (0, 0) its upper left corner.

/** @typedef {{x: number, y: number}} Point */
/** @typedef {(y: number, from: number, to: number) => void} Row  takes pixels from `from` up to, without, `to` */

/** @param {number} left @param {number} right  the pixels whose middles lie between the two */
const pixelsBetween = (left, right) => /** @type {const} */ ([Math.ceil(left - 0.5), Math.floor(right - 0.5) + 1]);

/**
 * A disc drawn from `a` to `b`.
 * @param {Point} a
 * @param {Point} b
 * @param {number} radius
 * @param {Row} row
 */
export function capsule(a, b, radius, row) {
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  const across = length ? { x: (-(b.y - a.y) / length) * radius, y: ((b.x - a.x) / length) * radius } : null;
  const sides = across && [
    { x: a.x + across.x, y: a.y + across.y },
    { x: b.x + across.x, y: b.y + across.y },
    { x: b.x - across.x, y: b.y - across.y },
    { x: a.x - across.x, y: a.y - across.y },
  ];
  const [top, bottom] = pixelsBetween(Math.min(a.y, b.y) - radius, Math.max(a.y, b.y) + radius);
  for (let y = top; y < bottom; y += 1) {
    const crossings = [...discAt(a, radius, y + 0.5), ...discAt(b, radius, y + 0.5)];
    if (sides) crossings.push(...crossingsAt(sides, y + 0.5));
    if (crossings.length) row(y, ...pixelsBetween(Math.min(...crossings), Math.max(...crossings)));
  }
}

/** @param {Point} middle @param {number} radius @param {number} y @returns {number[]} */
function discAt(middle, radius, y) {
  const half = Math.sqrt(radius ** 2 - (y - middle.y) ** 2);
  return Number.isNaN(half) ? [] : [middle.x - half, middle.x + half];
}

/** @param {Point[]} corners @param {number} y @returns {number[]} where the outline meets this height */
function crossingsAt(corners, y) {
  return corners.flatMap((from, index) => {
    const to = corners[(index + 1) % corners.length];
    if (from.y <= y === to.y <= y) return [];
    return [from.x + ((y - from.y) / (to.y - from.y)) * (to.x - from.x)];
  });
}

/**
 * The inside of an outline; where it crosses itself, what lies inside twice is outside.
 * @param {Point[]} corners
 * @param {Row} row
 */
export function polygon(corners, row) {
  const heights = corners.map(({ y }) => y);
  const [top, bottom] = pixelsBetween(Math.min(...heights), Math.max(...heights));
  for (let y = top; y < bottom; y += 1) {
    const crossings = crossingsAt(corners, y + 0.5).sort((one, other) => one - other);
    for (let index = 0; index + 1 < crossings.length; index += 2) {
      row(y, ...pixelsBetween(crossings[index], crossings[index + 1]));
    }
  }
}

/**
 * @param {Point} a  a corner
 * @param {Point} b  the one across from it
 * @param {Row} row
 */
export function rectangle(a, b, row) {
  const [left, right] = pixelsBetween(Math.min(a.x, b.x), Math.max(a.x, b.x));
  const [top, bottom] = pixelsBetween(Math.min(a.y, b.y), Math.max(a.y, b.y));
  for (let y = top; y < bottom; y += 1) row(y, left, right);
}
