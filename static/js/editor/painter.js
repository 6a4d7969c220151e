// Marking a place of a picture: with a pointer of any kind, or with the keyboard alone.

import { el } from "../lib/dom.js";
import { easel, guide, pointAt } from "./easel.js";
import { Mask, maskSize } from "./mask.js";

/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {"brush" | "eraser" | "rectangle" | "lasso"} Tool */

const KEY_STEP = 1 / 50; // of the longer side, for an arrow key; with Shift one pixel
const LEAST_PRESSURE = 0.25; // of a pencil: so thin is a stroke at least
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {import("./session.js").Slot} slot
 * @param {{tool: () => Tool, diameter: () => number, onChange: () => void, say: (words: string) => void}} desk
 *   `diameter` in the picture's pixels; `say` tells those who do not see the pointer
 */
export function createPainter(slot, { tool, diameter, onChange, say }) {
  const size = maskSize(slot.width, slot.height);
  const mask = new Mask(size.width, size.height);
  const lines = guide(size);
  const ring = el("span", { class: "brush-ring", hidden: true });
  const surface = el("canvas", {
    class: "easel-mask",
    width: size.width,
    height: size.height,
    tabindex: 0,
    role: "application",
    "aria-label": "Mark what is to be drawn anew",
    "aria-describedby": "paint-keys",
  });
  const paper = /** @type {CanvasRenderingContext2D} */ (surface.getContext("2d"));
  /** @type {Point} where the keyboard's brush is */
  let cursor = { x: size.width / 2, y: size.height / 2 };
  /** @type {Point[]} of the shape that is being made */
  let points = [];
  /** @type {"pointer" | "keys" | null} what makes it */
  let making = null;
  let marking = true;

  const radius = () => Math.max(0.5, ((diameter() / 2) * size.width) / slot.width);

  function paint() {
    const dirty = mask.takeDirty();
    if (!dirty) return;
    const [width, height] = [dirty.right - dirty.left, dirty.bottom - dirty.top];
    const { color, textDecorationColor } = getComputedStyle(surface);
    const [line, gap] = [color, textDecorationColor].map((name) => (name.match(/[\d.]+/g) ?? []).map(Number));
    const pixels = paper.createImageData(width, height);
    const stripe = Math.max(2, Math.round(size.width / 100));
    for (let index = 0; index < width * height; index += 1) {
      const [x, y] = [dirty.left + (index % width), dirty.top + Math.floor(index / width)];
      if (!mask.data[y * size.width + x]) continue;
      const isLine = Math.floor((x + y) / stripe) % 2 === 0;
      pixels.data.set([...(isLine ? line : gap).slice(0, 3), 150], index * 4);
    }
    paper.putImageData(pixels, dirty.left, dirty.top);
  }

  function changed() {
    paint();
    slot.mask = mask.isEmpty ? null : mask.toText();
    onChange();
  }

  /** @param {Point} at @param {number} [pressure] */
  function showRing(at, pressure = 1) {
    const shown = 2 * radius() * pressure;
    ring.hidden = tool() === "rectangle" || tool() === "lasso" ? making !== "keys" && document.activeElement !== surface : false;
    const wide = tool() === "brush" || tool() === "eraser" ? shown : Math.max(4, size.width / 60);
    ring.style.left = `${(at.x / size.width) * 100}%`;
    ring.style.top = `${(at.y / size.height) * 100}%`;
    ring.style.width = `${(wide / size.width) * 100}%`;
  }

  const isFree = () => tool() === "brush" || tool() === "eraser";

  /** @param {Point} at @param {"pointer" | "keys"} by @param {boolean} mark @param {number} [pressure] */
  function start(at, by, mark, pressure = 1) {
    making = by;
    marking = mark && tool() !== "eraser";
    points = [at];
    mask.begin();
    if (isFree()) mask.stroke([at], radius() * pressure, marking);
    paint();
  }

  /** @param {Point} at @param {number} [pressure] */
  function go(at, pressure = 1) {
    if (isFree()) {
      mask.stroke([points[points.length - 1], at], radius() * pressure, marking);
      points = [at];
      paint();
    } else if (tool() === "rectangle") {
      const [from] = points;
      lines.show([from, { x: at.x, y: from.y }, at, { x: from.x, y: at.y }, from]);
    } else if (making === "pointer") {
      points.push(at);
      lines.show(points);
    } else {
      lines.show([...points, at, points[0]]);
    }
  }

  /** @param {Point} at */
  function finish(at) {
    if (tool() === "rectangle") mask.rectangle(points[0], at, marking);
    if (tool() === "lasso") mask.polygon(points, marking);
    making = null;
    lines.show([]);
    if (mask.end()) changed();
  }

  function giveUp() {
    if (!making) return false;
    making = null;
    mask.abandon();
    lines.show([]);
    paint();
    return true;
  }

  /** @param {PointerEvent} event */
  const pressureOf = ({ pointerType, pressure }) =>
    pointerType === "pen" ? Math.max(LEAST_PRESSURE, Math.min(1, pressure * 2)) : 1; // half is a pencil's usual one

  surface.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || making === "pointer") return;
    giveUp();
    surface.setPointerCapture(event.pointerId);
    surface.focus({ preventScroll: true });
    cursor = pointAt(event, surface, size);
    start(cursor, "pointer", !event.altKey, pressureOf(event));
    showRing(cursor, pressureOf(event));
  });
  surface.addEventListener("pointermove", (event) => {
    const at = pointAt(event, surface, size);
    showRing(at, making ? pressureOf(event) : 1);
    if (making !== "pointer" || !surface.hasPointerCapture(event.pointerId)) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const step of between.length ? between : [event]) go(pointAt(step, surface, size), pressureOf(step));
    cursor = at;
  });
  surface.addEventListener("pointerup", (event) => {
    if (making !== "pointer" || !surface.hasPointerCapture(event.pointerId)) return;
    cursor = pointAt(event, surface, size);
    finish(cursor);
  });
  surface.addEventListener("pointercancel", giveUp);
  surface.addEventListener("pointerleave", () => making || document.activeElement === surface || (ring.hidden = true));
  surface.addEventListener("blur", () => {
    if (making === "keys") giveUp();
    ring.hidden = true;
  });
  surface.addEventListener("focus", () => showRing(cursor));

  /** @param {KeyboardEvent} event */
  function move(event) {
    const [across, down] = ARROWS[event.key];
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(size.width, size.height) * KEY_STEP));
    cursor = {
      x: Math.min(size.width, Math.max(0, cursor.x + across * step)),
      y: Math.min(size.height, Math.max(0, cursor.y + down * step)),
    };
    if (making === "keys") go(cursor);
    showRing(cursor);
    const percent = (/** @type {number} */ part, /** @type {number} */ whole) => Math.round((100 * part) / whole);
    const here = mask.isMarked(cursor) ? "marked" : "not marked";
    say(`${percent(cursor.x, size.width)} % across, ${percent(cursor.y, size.height)} % down, ${here}`);
  }

  /** Space begins a shape and ends it; of a lasso it sets a corner, and Enter ends it. @param {KeyboardEvent} event */
  function press(event) {
    if (making !== "keys") {
      start(cursor, "keys", !event.altKey);
      say({ brush: "Brush down", eraser: "Eraser down", rectangle: "First corner", lasso: "First point" }[tool()]);
    } else if (tool() === "lasso" && event.key === " ") {
      points.push(cursor);
      say(`Point ${points.length}`);
    } else {
      if (tool() === "lasso") points.push(cursor);
      finish(cursor);
    }
    showRing(cursor);
  }

  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    if (ARROWS[event.key]) move(event);
    else if (event.key === " " || event.key === "Enter") press(event);
    else if (event.key !== "Escape" || !giveUp()) return;
    event.preventDefault(); // the page would scroll, or cancel what is drawn
    event.stopPropagation();
  });

  if (slot.mask) mask.setText(slot.mask);
  paint();
  return {
    element: easel(slot, surface, lines.element, ring),
    surface,
    mask,
    changed,
    /** The brush has another size or shape. */
    refresh: () => document.activeElement === surface && showRing(cursor),
    giveUp,
  };
}
