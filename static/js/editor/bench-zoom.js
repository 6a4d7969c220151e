// Looking closer at the picture that is marked: wheel, two fingers, keys and buttons. It is made larger itself, so what is
// painted lands where the pointer is. One finger paints; two look.

import { byId } from "../lib/dom.js";
import { bounded, dragged, FIT, zoomedAt } from "../stage/zoom.js";

/** @typedef {import("../stage/zoom.js").Point} Point */

const STEP = 1.5;
const ROOM_PX = 56; // between the keyboard's brush and the edge of what is in sight

let view = FIT;
/** @type {{element: HTMLElement, giveUp: () => void} | null} */
let painter = null;
/** @type {Map<number, Point>} fingers that are down, in the bench */
const fingers = new Map();
let looking = false; // two fingers were down, and one of them still is
/** @type {{id: number, at: Point} | null} the middle button pulls */
let pull = null;

const bench = () => byId("bench");
const frame = () => ({ width: bench().clientWidth, height: bench().clientHeight });

/** @returns {import("../stage/zoom.js").Size} of the picture as large as it fits */
function fitted() {
  const { width, height } = /** @type {HTMLElement} */ (painter?.element).getBoundingClientRect();
  return { width: width / view.scale, height: height / view.scale };
}

/** @param {import("../stage/zoom.js").View} wanted */
function look(wanted) {
  if (!painter?.element.isConnected) return;
  const size = fitted();
  view = bounded(wanted, size, frame());
  const { style } = painter.element;
  style.setProperty("--zoom", String(view.scale));
  style.translate = `${view.x}px ${view.y}px`;
  bench().classList.toggle("zoomed", view.scale > 1);
  byId("bench-zoom").textContent = `${Math.round(view.scale * 100)} %`;
}

/** @param {number} factor @param {Point} [point] */
const zoom = (factor, point = { x: 0, y: 0 }) => look(zoomedAt(view, factor, point));

/** @param {MouseEvent} event @returns {Point} from the middle of the bench */
function pointOf({ clientX, clientY }) {
  const { left, top, width, height } = bench().getBoundingClientRect();
  return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
}

/** @param {WheelEvent} event  with Shift, and across, it moves */
function onWheel(event) {
  if (!painter?.element.isConnected) return;
  event.preventDefault();
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (sideways) look({ ...view, x: view.x - (event.deltaX || event.deltaY), y: view.y });
  else zoom(2 ** (-event.deltaY / 300), pointOf(event));
}

/** Before the painter hears of it. @param {PointerEvent} event */
function onDown(event) {
  if (!painter?.element.isConnected) return;
  if (event.button === 1) {
    event.preventDefault();
    pull = { id: event.pointerId, at: pointOf(event) };
    bench().setPointerCapture(event.pointerId);
  }
  if (event.pointerType !== "touch") return;
  fingers.set(event.pointerId, pointOf(event));
  if (fingers.size < 2) return;
  looking = true;
  painter.giveUp(); // what the first finger has begun
  event.stopPropagation();
}

/** @param {PointerEvent} event */
function onMove(event) {
  const now = pointOf(event);
  if (pull?.id === event.pointerId) {
    look({ ...view, x: view.x + now.x - pull.at.x, y: view.y + now.y - pull.at.y });
    pull.at = now;
  }
  if (!fingers.has(event.pointerId)) return;
  const before = [...fingers.values()];
  fingers.set(event.pointerId, now);
  if (!looking) return;
  event.stopPropagation();
  if (fingers.size === 2) look(dragged(view, before, [...fingers.values()]));
}

/** @param {PointerEvent} event */
function onUp(event) {
  if (pull?.id === event.pointerId) pull = null;
  if (!fingers.delete(event.pointerId) || !looking) return;
  event.stopPropagation();
  looking = fingers.size > 0;
}

/** The brush that arrow keys move stays in sight. */
function followBrush() {
  const ring = painter?.element.querySelector(".brush-ring:not([hidden])");
  if (!ring || view.scale === 1) return;
  const [own, around] = [ring.getBoundingClientRect(), bench().getBoundingClientRect()];
  const past = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ least, /** @type {number} */ most) =>
    Math.max(0, least + ROOM_PX - (from + to) / 2) || Math.min(0, most - ROOM_PX - (from + to) / 2);
  const across = past(own.left, own.right, around.left, around.right);
  const down = past(own.top, own.bottom, around.top, around.bottom);
  if (across || down) look({ ...view, x: view.x + across, y: view.y + down });
}

/** @type {Record<string, () => void>} */
const KEYS = { "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: () => look(FIT) };

/** @param {KeyboardEvent} event @returns {boolean} whether it was one of these keys */
export function zoomByKey({ key }) {
  KEYS[key]?.();
  return key in KEYS;
}

/** A picture that is marked from now on, as large as it fits. @param {NonNullable<typeof painter>} next */
export function lookAt(next) {
  [painter, view] = [next, FIT];
  fingers.clear();
  looking = false;
  bench().classList.remove("zoomed");
  byId("bench-zoom").textContent = "100 %";
}

export function startBenchZoom() {
  bench().addEventListener("wheel", onWheel, { passive: false });
  bench().addEventListener("pointerdown", onDown, true);
  bench().addEventListener("pointermove", onMove, true);
  for (const type of /** @type {const} */ (["pointerup", "pointercancel"])) bench().addEventListener(type, onUp, true);
  bench().addEventListener("keydown", () => requestAnimationFrame(followBrush), true);
  byId("bench-in").addEventListener("click", () => zoom(STEP));
  byId("bench-out").addEventListener("click", () => zoom(1 / STEP));
  byId("bench-zoom").addEventListener("click", () => look(FIT));
  new ResizeObserver(() => look(view)).observe(bench());
}
