// Two pictures of the same prompt and seed: side by side, or under a divider that keyboard and pointer move.

import { el, fill, icon, shaped } from "../lib/dom.js";
import { formatBytes, formatSeconds, modelTitle } from "../lib/format.js";
import { remember, remembered } from "../lib/storage.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

/** @param {Picture} image */
function caption(image) {
  const time = image.timings.total === undefined ? null : formatSeconds(image.timings.total);
  const peak = image.peak_memory_bytes === null ? null : `${formatBytes(image.peak_memory_bytes)} peak`;
  return el(
    "p",
    { class: "compare-caption numeric" },
    el("b", {}, modelTitle(image.model)),
    el("span", {}, [time, peak].filter(Boolean).join(", ")),
  );
}

/** @param {Picture} image */
const photo = (image) =>
  el("img", {
    src: image.url,
    width: image.width,
    height: image.height,
    alt: `${modelTitle(image.model)}: ${image.prompt}`,
  });

/** @param {Picture} image */
function side(image) {
  const frame = el("a", { class: "frame", href: `/i/${image.id}`, data: { view: image.id } }, photo(image));
  return el("div", { class: "compare-side" }, shaped(frame, image.width, image.height), caption(image));
}

/**
 * The range moves with a pointer anywhere on the frame; by itself, on an iPhone, only with one on its small thumb.
 * @param {HTMLElement} frame
 * @param {HTMLInputElement} range
 */
export function pullAnywhere(frame, range) {
  /** @param {PointerEvent} event */
  const follow = ({ clientX }) => {
    const { left, width } = frame.getBoundingClientRect();
    range.valueAsNumber = ((clientX - left) / width) * 100; // the range keeps it to its limits and steps
    range.dispatchEvent(new Event("input"));
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    frame.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => frame.hasPointerCapture(event.pointerId) && follow(event));
  frame.addEventListener("mousedown", (event) => event.preventDefault()); // it would take the focus away again
}

/** @param {Picture} left @param {Picture} right */
function wipe(left, right) {
  const over = photo(left);
  over.classList.add("wipe-over");
  const range = el("input", {
    class: "wipe-range",
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    value: 50,
    "aria-label": `How much of ${modelTitle(left.model)} is shown over ${modelTitle(right.model)}`,
  });
  const knob = el("span", { class: "wipe-knob" }, icon("compare"));
  const frame = el("div", { class: "frame wipe" }, photo(right), over, range, knob);
  const move = () => {
    frame.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${modelTitle(left.model)}`);
  };
  pullAnywhere(frame, range);
  range.addEventListener("input", move);
  move();
  return [shaped(frame, left.width, left.height), el("div", { class: "wipe-labels" }, caption(left), caption(right))];
}

/**
 * @param {string} value
 * @param {string} text
 * @param {string} glyph
 * @param {string} chosen
 */
function mode(value, text, glyph, chosen) {
  const radio = el("input", { type: "radio", name: "compare-mode", value, checked: value === chosen });
  return el("label", {}, radio, icon(glyph), text);
}

/**
 * @param {Picture} left
 * @param {Picture} right
 */
export function compareView(left, right) {
  const chosen = remembered("compare-mode", "side");
  const body = el("div", { class: "compare" });
  const modes = el(
    "fieldset",
    { class: "segmented compare-modes", "aria-label": "How to compare" },
    mode("side", "Side by side", "side", chosen),
    mode("wipe", "Slider", "compare", chosen),
  );
  /** @param {string} how */
  const show = (how) =>
    how === "wipe"
      ? fill(body, modes, ...wipe(left, right))
      : fill(body, modes, el("div", { class: "compare-pair" }, side(left), side(right)));
  modes.addEventListener("change", (event) => {
    const radio = /** @type {HTMLInputElement} */ (event.target);
    remember("compare-mode", radio.value);
    show(radio.value);
    radio.focus(); // the controls moved with the new view
  });
  show(chosen);
  return body;
}
