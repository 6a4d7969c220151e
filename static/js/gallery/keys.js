// The gallery by keyboard: arrows from picture to picture, X or Space to select, Shift with an arrow for a range.

import { reveal } from "./near.js";
import { shown } from "./sheet.js";

/** @param {HTMLElement} item */
const middleOf = (item) => {
  const box = item.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
};

/**
 * The picture above or below, as it is seen: of the next row that has one, the nearest.
 * @param {HTMLElement[]} items
 * @param {number} at
 * @param {1 | -1} way
 */
function vertical(items, at, way) {
  const from = middleOf(items[at]);
  const height = items[at].getBoundingClientRect().height;
  let best = at;
  let row = Number.NaN;
  let distance = Infinity;
  for (let next = at + way; next >= 0 && next < items.length; next += way) {
    const { x, y } = middleOf(items[next]);
    if (Math.abs(y - from.y) < height / 2) continue;
    if (Number.isNaN(row)) row = y;
    if (Math.abs(y - row) > 1) break;
    if (Math.abs(x - from.x) < distance) [best, distance] = [next, Math.abs(x - from.x)];
  }
  return best;
}

/**
 * Where a key leads from a picture; null for a key that leads nowhere.
 * @param {string} key
 * @param {HTMLElement} item
 * @returns {HTMLElement | null}
 */
export function target(key, item) {
  const items = shown();
  const at = items.indexOf(item);
  const index = {
    ArrowLeft: () => at - 1,
    ArrowRight: () => at + 1,
    ArrowUp: () => vertical(items, at, -1),
    ArrowDown: () => vertical(items, at, 1),
    Home: () => 0,
    End: () => items.length - 1,
  }[key];
  return index ? (items[index()] ?? item) : null;
}

/** @param {HTMLElement} item */
export function focus(item) {
  reveal(item);
  item.querySelector("a")?.focus();
  item.scrollIntoView({ block: "nearest" });
}
