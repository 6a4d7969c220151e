// The tools above a picture that is being marked, and their keys.

import { byId } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { toastError } from "../lib/toast.js";
import { lookAt, startBenchZoom, zoomByKey } from "./bench-zoom.js";
import { createPainter } from "./painter.js";

/** @typedef {import("./painter.js").Tool} Tool */
/** @typedef {ReturnType<typeof createPainter>} Painter */

const SAY_AFTER_MS = 400; // not every step of a key that is held
const FIRST_SIZE = 1 / 10; // of the picture's longer side
const LARGEST = 1 / 2;
/** @type {Record<string, Tool>} */
const KEYS = { b: "brush", e: "eraser", r: "rectangle", l: "lasso" };

/** @type {Painter | null} */
let painter = null;
let longest = 1;
let timer = 0;
/** @type {() => void} */
let changed = () => {};

const sizeField = () => /** @type {HTMLInputElement} */ (byId("brush-size"));
const tool = () => /** @type {Tool} */ (/** @type {HTMLInputElement} */ (document.querySelector("[name=tool]:checked")).value);
const diameter = () => Number(sizeField().value);

/** @param {string} words */
function say(words) {
  clearTimeout(timer);
  timer = window.setTimeout(() => (byId("paint-status").textContent = words), SAY_AFTER_MS);
}

/** How much is marked, and which buttons have something to do. */
function show() {
  if (!painter) return;
  const { mask } = painter;
  const percent = mask.share * 100;
  const words = percent > 0 && percent < 1 ? "less than 1 %" : `${Math.round(percent)} %`;
  byId("paint-share").textContent = mask.isEmpty ? "Nothing is marked" : `${words} marked`;
  const enabled = { "paint-undo": mask.canUndo, "paint-redo": mask.canRedo, "paint-clear": !mask.isEmpty };
  for (const [id, value] of Object.entries(enabled)) byId(id).setAttribute("aria-disabled", String(!value));
}

function onChange() {
  show();
  say(byId("paint-share").textContent ?? "");
  changed();
}

/** @param {"undo" | "redo" | "invert" | "clear"} what */
function change(what) {
  if (!painter) return;
  painter.giveUp();
  if (what === "clear" && painter.mask.isEmpty) return;
  painter.mask[what]();
  painter.changed();
}

let markAlpha = () => {};

/** @param {string} id  of the mask of what is see-through */
async function takeAlpha(id) {
  const now = painter;
  const { maskAt } = await import("./png.js");
  if (!now) return;
  const isMarked = await maskAt(`/inputs/${id}`, now.mask);
  if (now !== painter) return;
  now.giveUp();
  now.mask.take(isMarked);
  now.changed();
}

/** @param {number} steps */
function resize(steps) {
  const field = sizeField();
  const step = Math.max(1, Math.round(diameter() / 6));
  field.value = String(diameter() + steps * step);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** @param {Tool} name */
function choose(name) {
  painter?.giveUp();
  /** @type {HTMLInputElement} */ (document.querySelector(`[name=tool][value=${name}]`)).checked = true;
  remember("tool", name);
  painter?.refresh();
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  if (command && key === "z") change(event.shiftKey ? "redo" : "undo");
  else if (command && key === "y") change("redo");
  else if (command || event.altKey) return;
  else if (KEYS[key]) choose(KEYS[key]);
  else if (key === "[" || key === "]") resize(key === "]" ? 1 : -1);
  else if (key === "i") change("invert");
  else if (zoomByKey(event));
  else if (key === "delete" || key === "backspace") change("clear");
  else return;
  event.preventDefault();
  event.stopPropagation(); // Ctrl+Z would also bring a deleted picture back
}

/**
 * A picture to be marked.
 * @param {import("./session.js").Slot} slot
 * @returns {HTMLElement}
 */
export function paintOn(slot) {
  longest = Math.max(slot.width, slot.height);
  const field = sizeField();
  field.max = String(Math.round(longest * LARGEST));
  field.value = String(Math.round(longest * remembered("brush", FIRST_SIZE)));
  painter = createPainter(slot, { tool, diameter, onChange, say });
  byId("paint-alpha").hidden = !slot.alpha;
  markAlpha = () => takeAlpha(slot.alpha ?? "").catch(toastError);
  lookAt(painter);
  showSize();
  show();
  return painter.element;
}

/** What is marked of the picture, to be sent. */
export const paintedMask = () => painter?.mask ?? null;

function showSize() {
  byId("brush-size-value").textContent = `${diameter()} px`;
}

/** @param {() => void} onMark  called after every change of what is marked */
export function startPaintTools(onMark) {
  changed = onMark;
  choose(remembered("tool", "brush"));
  byId("workbench").addEventListener("keydown", (event) => painter?.element.isConnected && onKey(event));
  byId("tools").addEventListener("change", ({ target }) => {
    const field = /** @type {HTMLInputElement} */ (target);
    if (field.name === "tool") choose(/** @type {Tool} */ (field.value));
  });
  sizeField().addEventListener("input", () => {
    remember("brush", diameter() / longest);
    showSize();
    painter?.refresh();
  });
  for (const what of /** @type {const} */ (["undo", "redo", "invert", "clear"])) {
    byId(`paint-${what}`).addEventListener("click", () => change(what));
  }
  byId("paint-alpha").addEventListener("click", () => markAlpha());
  startBenchZoom();
}
