// A picture as large as the window, in place: zoom with wheel, fingers and keys, the next one with arrows, back with Esc.
// It is in the address (#view=ID), so that Back closes it and a reload opens it again.

import { button, el, icon } from "../lib/dom.js";
import { downloadUrl, toggleFavourite } from "../lib/picture-actions.js";
import { state, subscribe } from "../lib/store.js";
import { bounded, dragged, FIT, zoomedAt } from "./zoom.js";

/** @typedef {import("../lib/types.js").Picture} Picture */
/** @typedef {import("./zoom.js").Point} Point */

const STEP = 1.5;
const PAN_PX = 80;
const SWIPE_PX = 60;
const HASH = "#view=";

/** @type {() => Picture[]} */
let pictures = () => [];
/** @type {(picture: Picture) => void} */
let closed = () => {};
/** @type {Picture | null} */
let shown = null;
/** @type {import("./zoom.js").View} */
let view = FIT;
/** @type {Map<number, Point>} */
const pointers = new Map();
let travelled = { x: 0, y: 0 }; // by the fingers that are down now

const picture = el("img", { class: "viewer-picture", alt: "", draggable: "false" });
const canvas = el("div", { class: "viewer-canvas" }, picture);
const words = el("p", { class: "viewer-words", role: "status", dir: "auto" });
const previous = button({ icon: "left", label: "Previous picture", class: "button square", on: { click: () => move(-1) } });
const next = button({ icon: "right", label: "Next picture", class: "button square", on: { click: () => move(1) } });
const heart = button({
  icon: "heart",
  label: "Favourite",
  class: "button square heart",
  on: { click: () => shown && toggleFavourite(shown) },
});
const download = el("a", { class: "button square", download: true, "aria-label": "Download" }, icon("download"));
const details = el("a", { class: "button" }, "Details");
const full = button({ icon: "full", label: "Full screen", class: "button square", on: { click: toggleFull } });
const tools = el(
  "div",
  { class: "viewer-tools" },
  button({ icon: "minus", label: "Zoom out", class: "button square", on: { click: () => zoom(1 / STEP) } }),
  button({ icon: "plus", label: "Zoom in", class: "button square", on: { click: () => zoom(STEP) } }),
  heart,
  download,
  details,
  full,
  button({ icon: "close", label: "Close", class: "button square", on: { click: closeViewer } }),
);
const body = el("div", { class: "viewer-body" }, canvas, words, previous, next, tools); // what goes full screen: no dialog may
const dialog = el("dialog", { class: "viewer", id: "viewer", tabindex: -1, "aria-label": "The picture, enlarged" }, body);

const frameSize = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });

function fittedSize() {
  const frame = frameSize();
  const { width, height } = shown ?? frame;
  const scale = Math.min(frame.width / width, frame.height / height);
  return { width: width * scale, height: height * scale };
}

/** @param {import("./zoom.js").View} wanted */
function draw(wanted) {
  const fitted = fittedSize();
  view = bounded(wanted, fitted, frameSize());
  picture.style.width = `${fitted.width}px`;
  picture.style.height = `${fitted.height}px`;
  picture.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  canvas.classList.toggle("zoomed", view.scale > 1);
}

/** @param {number} factor @param {Point} [point] */
function zoom(factor, point = { x: 0, y: 0 }) {
  draw(zoomedAt(view, factor, point));
}

const place = () => pictures().findIndex(({ id }) => id === shown?.id);

/** @param {number} step */
function move(step) {
  const other = pictures()[place() + step];
  if (other) look(other);
}

/** @param {Picture} image */
function look(image) {
  shown = image;
  history.replaceState(history.state, "", `${HASH}${image.id}`);
  picture.src = image.url;
  picture.alt = image.prompt;
  download.setAttribute("href", downloadUrl(image, "full"));
  details.setAttribute("href", `/i/${image.id}`);
  tell();
  draw(FIT);
  for (const step of [1, -1]) {
    const other = pictures()[place() + step];
    if (other) new Image().src = other.url; // its turn may come next
  }
}

function tell() {
  if (!shown) return;
  const all = pictures();
  const at = place();
  const seed = shown.seed === null ? "" : `, seed ${shown.seed}`;
  words.textContent = `${at + 1} of ${all.length}${seed}: ${shown.prompt}`;
  previous.hidden = at <= 0;
  next.hidden = at >= all.length - 1;
  heart.setAttribute("aria-pressed", String(shown.favourite));
}

/**
 * @param {Picture} image
 * @param {boolean} [pushed]  whether it gets an entry of its own in the history; not where the address has it already
 */
export function openViewer(image, pushed = true) {
  if (!pictures().some(({ id }) => id === image.id)) return;
  if (!dialog.isConnected) document.body.append(dialog);
  if (pushed) history.pushState({ ...history.state, viewer: true }, "", `${HASH}${image.id}`);
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus(); // its keys work at once, and no button seems to be chosen
  }
  full.hidden = !document.fullscreenEnabled; // an iPhone has none
  look(image);
}

/** By a key, a button or a click: the entry in the history goes too. */
function closeViewer() {
  if (history.state?.viewer) return history.back();
  history.replaceState(history.state, "", location.pathname);
  hide();
}

function hide() {
  if (!dialog.open) return;
  if (document.fullscreenElement) document.exitFullscreen();
  dialog.close();
  if (shown) closed(shown);
  shown = null;
}

/** @returns {string | null} the picture that the address asks for */
export const asked = () => (location.hash.startsWith(HASH) ? location.hash.slice(HASH.length) : null);

/** After Back or Forward. */
function followAddress() {
  const image = state.images.get(asked() ?? "");
  if (!image) hide();
  else if (image.id !== shown?.id) openViewer(image, false);
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (document.fullscreenEnabled) body.requestFullscreen();
}

/** @param {PointerEvent | WheelEvent | MouseEvent} event @returns {Point} */
function pointOf({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
}

/** @param {PointerEvent} event */
function onPointerDown(event) {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  if (!pointers.size) travelled = { x: 0, y: 0 };
  pointers.set(event.pointerId, pointOf(event));
}

/** @param {PointerEvent} event */
function onPointerMove(event) {
  if (!pointers.has(event.pointerId)) return;
  const before = [...pointers.values()];
  const last = /** @type {Point} */ (pointers.get(event.pointerId));
  const now = pointOf(event);
  travelled = { x: travelled.x + now.x - last.x, y: travelled.y + now.y - last.y };
  pointers.set(event.pointerId, now);
  draw(dragged(view, before, [...pointers.values()]));
}

/** @param {PointerEvent} event */
function onPointerUp(event) {
  const alone = pointers.delete(event.pointerId) && !pointers.size;
  if (!alone || view.scale > 1 || event.type === "pointercancel") return;
  const { x, y } = travelled;
  if (Math.abs(x) > SWIPE_PX && Math.abs(x) > 2 * Math.abs(y)) move(x < 0 ? 1 : -1);
  else if (Math.hypot(x, y) < 5 && isBeside(pointOf(event))) closeViewer();
}

/** @param {Point} point */
function isBeside({ x, y }) {
  const { width, height } = fittedSize();
  return Math.abs(x) > width / 2 || Math.abs(y) > height / 2;
}

/** @type {Record<string, () => void>} */
const KEYS = {
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  0: () => draw(FIT),
  f: toggleFull,
  PageUp: () => move(-1),
  PageDown: () => move(1),
};
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** @param {KeyboardEvent} event  arrows move a picture that is zoomed, and go to the next one otherwise */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!arrow && !act) return;
  event.preventDefault();
  if (act) act();
  else if (view.scale > 1) draw({ ...view, x: view.x + arrow[0] * PAN_PX, y: view.y + arrow[1] * PAN_PX });
  else if (arrow[0]) move(-arrow[0]);
}

/**
 * @param {() => Picture[]} list  what the arrows go through
 * @param {(last: Picture) => void} onClose  told of the picture that was looked at last
 */
export function startViewer(list, onClose) {
  pictures = list;
  closed = onClose;
  dialog.addEventListener("cancel", (event) => (event.preventDefault(), closeViewer()));
  dialog.addEventListener("keydown", onKey);
  canvas.addEventListener("pointerdown", onPointerDown);
  canvas.addEventListener("pointermove", onPointerMove);
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, onPointerUp);
  canvas.addEventListener("dblclick", (event) => draw(view.scale > 1 ? FIT : zoomedAt(view, 2.5, pointOf(event))));
  canvas.addEventListener("wheel", (event) => (event.preventDefault(), zoom(2 ** (-event.deltaY / 300), pointOf(event))), {
    passive: false,
  });
  addEventListener("resize", () => dialog.open && draw(view));
  addEventListener("popstate", followAddress);
  subscribe("image", ({ image }) => {
    if (image.id !== shown?.id) return;
    shown = image;
    tell();
  });
  subscribe("image_deleted", (id) => id === shown?.id && closeViewer());
}
