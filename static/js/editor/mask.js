// What is marked of a picture: one byte a pixel, and every change of it, to be taken back. Knows nothing of the page.

import { capsule, polygon, rectangle } from "./shapes.js";

/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */
/** @typedef {Map<number, Uint8Array>} Step  tiles as they were, by their place */

const MARKED = 255;
const TILE_PX = 64;
const MAX_HISTORY_BYTES = 64 << 20;
const LONGEST_PX = 2048; // of a mask; the server enlarges it to a larger picture's size

/** The size of the mask of a picture. @param {number} width @param {number} height */
export function maskSize(width, height) {
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

export class Mask {
  /** @type {Step[]} */
  #undo = [];
  /** @type {Step[]} */
  #redo = [];
  /** @type {Step | null} the change that is being made */
  #step = null;
  /** @type {Box | null} what has changed since it was last asked for */
  #dirty = null;
  #marked = 0;

  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
    this.across = Math.ceil(width / TILE_PX);
  }

  /** A change may be made of many shapes; all of them are taken back together. */
  begin() {
    this.#step = new Map();
  }

  /** @returns {boolean} whether anything has changed */
  end() {
    const step = this.#step;
    this.#step = null;
    if (!step?.size) return false;
    this.#undo.push(step);
    this.#redo = [];
    this.#forgetOldest();
    return true;
  }

  /** The change that is being made was not meant. */
  abandon() {
    if (this.#step) this.#swap(this.#step);
    this.#step = null;
  }

  /** @param {Point[]} points @param {number} radius @param {boolean} mark  false: rub out */
  stroke(points, radius, mark) {
    const row = this.#row(mark);
    if (points.length === 1) capsule(points[0], points[0], radius, row);
    for (let index = 1; index < points.length; index += 1) capsule(points[index - 1], points[index], radius, row);
  }

  /** @param {Point} a @param {Point} b @param {boolean} mark */
  rectangle(a, b, mark) {
    rectangle(a, b, this.#row(mark));
  }

  /** @param {Point[]} corners @param {boolean} mark */
  polygon(corners, mark) {
    if (corners.length > 2) polygon(corners, this.#row(mark));
  }

  invert() {
    this.#whole((value) => MARKED - value);
  }

  clear() {
    this.#whole(() => 0);
  }

  /** Mark exactly these pixels. @param {(index: number) => boolean} isMarked */
  take(isMarked) {
    this.#whole((_, index) => (isMarked(index) ? MARKED : 0));
  }

  get isEmpty() {
    return this.#marked === 0;
  }

  /** @returns {number} the part of the picture that is marked, 0 to 1 */
  get share() {
    return this.#marked / this.data.length;
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  undo() {
    const step = this.#undo.pop();
    if (step) this.#redo.push(this.#swap(step));
  }

  redo() {
    const step = this.#redo.pop();
    if (step) this.#undo.push(this.#swap(step));
  }

  /** @param {Point} point */
  isMarked({ x, y }) {
    const [column, line] = [Math.floor(x), Math.floor(y)];
    return column >= 0 && line >= 0 && column < this.width && line < this.height && this.data[line * this.width + column] > 0;
  }

  /** @returns {Box | null} what is to be painted anew; asking forgets it */
  takeDirty() {
    const dirty = this.#dirty;
    this.#dirty = null;
    return dirty;
  }

  /** The lengths of what is not marked and what is, in turn, row after row: short enough to be remembered. */
  toText() {
    const lengths = [];
    let value = 0;
    let start = 0;
    for (let index = 0; index <= this.data.length; index += 1) {
      if (index < this.data.length && this.data[index] === value) continue;
      lengths.push((index - start).toString(36));
      start = index;
      value = MARKED - value;
    }
    return lengths.join(",");
  }

  /** What `toText` wrote, for a mask of this size; what is not that marks nothing. @param {string} text */
  setText(text) {
    const lengths = text.split(",").map((length) => parseInt(length, 36));
    if (lengths.reduce((sum, length) => sum + length, 0) !== this.data.length) return;
    let index = 0;
    lengths.forEach((length, place) => {
      this.data.fill(place % 2 ? MARKED : 0, index, index + length);
      this.#marked += place % 2 ? length : 0;
      index += length;
    });
    this.#touch(0, 0, this.width, this.height);
  }

  /** @param {boolean} mark @returns {import("./shapes.js").Row} */
  #row(mark) {
    const value = mark ? MARKED : 0;
    return (y, from, to) => {
      const [start, end] = [Math.max(0, from), Math.min(this.width, to)];
      if (y < 0 || y >= this.height || start >= end) return;
      this.#keepRow(y, start, end);
      const first = y * this.width;
      for (let index = first + start; index < first + end; index += 1) {
        this.#marked += (value - this.data[index]) / MARKED;
        this.data[index] = value;
      }
      this.#touch(start, y, end, y + 1);
    };
  }

  /** @param {(value: number, index: number) => number} change */
  #whole(change) {
    this.begin();
    for (let y = 0; y < this.height; y += TILE_PX) this.#keepRow(y, 0, this.width);
    this.data.forEach((value, index) => (this.data[index] = change(value, index)));
    this.#marked = this.#count();
    this.#touch(0, 0, this.width, this.height);
    this.end();
  }

  /** Keep the tiles of a part of a row as they were before this change. @param {number} y @param {number} from @param {number} to */
  #keepRow(y, from, to) {
    if (!this.#step) throw new Error("A mask is changed between begin and end");
    const line = Math.floor(y / TILE_PX) * this.across;
    for (let tile = Math.floor(from / TILE_PX); tile <= Math.floor((to - 1) / TILE_PX); tile += 1) {
      if (!this.#step.has(line + tile)) this.#step.set(line + tile, this.#tile(line + tile));
    }
  }

  /** @param {number} place @returns {Uint8Array} a copy, row after row */
  #tile(place) {
    const { left, top, right, bottom } = this.#tileBox(place);
    const copy = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y += 1) {
      copy.set(this.data.subarray(y * this.width + left, y * this.width + right), (y - top) * (right - left));
    }
    return copy;
  }

  /** @param {number} place @returns {Box} */
  #tileBox(place) {
    const left = (place % this.across) * TILE_PX;
    const top = Math.floor(place / this.across) * TILE_PX;
    return { left, top, right: Math.min(this.width, left + TILE_PX), bottom: Math.min(this.height, top + TILE_PX) };
  }

  /** Put tiles back. @param {Step} step @returns {Step} the same places as they were until now */
  #swap(step) {
    /** @type {Step} */
    const now = new Map();
    for (const [place, before] of step) {
      now.set(place, this.#tile(place));
      const { left, top, right, bottom } = this.#tileBox(place);
      for (let y = top; y < bottom; y += 1) {
        const from = (y - top) * (right - left);
        this.data.set(before.subarray(from, from + right - left), y * this.width + left);
      }
      this.#touch(left, top, right, bottom);
    }
    this.#marked = this.#count();
    return now;
  }

  #count() {
    let marked = 0;
    for (const value of this.data) marked += value === MARKED ? 1 : 0;
    return marked;
  }

  #forgetOldest() {
    const bytes = (/** @type {Step} */ step) => [...step.values()].reduce((sum, tile) => sum + tile.length, 0);
    let held = this.#undo.reduce((sum, step) => sum + bytes(step), 0);
    while (this.#undo.length > 1 && held > MAX_HISTORY_BYTES) {
      held -= bytes(/** @type {Step} */ (this.#undo.shift()));
    }
  }

  /** @param {number} left @param {number} top @param {number} right @param {number} bottom */
  #touch(left, top, right, bottom) {
    const was = this.#dirty ?? { left, top, right, bottom };
    this.#dirty = {
      left: Math.min(was.left, left),
      top: Math.min(was.top, top),
      right: Math.max(was.right, right),
      bottom: Math.max(was.bottom, bottom),
    };
  }
}
