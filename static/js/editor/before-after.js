// A picture and what it was made from, one over the other: pulled with a slider, or shown for as long as a button is held.

import { button, el, icon, shaped } from "../lib/dom.js";
import { pullAnywhere } from "../stage/compare.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

/** Where what was extended lies in the picture, in parts of it. @param {Picture} image */
export function placeOfBefore({ width, height, recipe }) {
  const [left, top, right, bottom] = recipe.extend ?? [0, 0, 0, 0];
  return {
    left: left / width,
    top: top / height,
    width: (width - left - right) / width,
    height: (height - top - bottom) / height,
  };
}

/** @param {string} url @param {Picture} image */
function before(url, image) {
  const picture = el("img", { src: url, alt: "Before" });
  for (const [name, part] of Object.entries(placeOfBefore(image))) picture.style.setProperty(name, `${part * 100}%`);
  return el("div", { class: "wipe-over before" }, picture);
}

/** @param {string} url  of what it was made from @param {Picture} image */
function comparison(url, image) {
  const range = el("input", {
    class: "wipe-range",
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    value: 50,
    "aria-label": "How much of the picture is shown as it was before",
  });
  const after = el("img", { src: image.url, width: image.width, height: image.height, alt: `After: ${image.prompt}` });
  const knob = el("span", { class: "wipe-knob" }, icon("compare"));
  const frame = shaped(
    el("div", { class: "frame wipe" }, after, before(url, image), range, knob),
    image.width,
    image.height,
  );
  const cut = (/** @type {number} */ percent) => frame.style.setProperty("--cut", `${percent}%`);
  const move = () => {
    cut(range.valueAsNumber);
    range.setAttribute("aria-valuetext", `${range.value} % before`);
  };
  pullAnywhere(frame, range);
  range.addEventListener("input", move);
  move();
  return { frame, hold: () => cut(100), release: move };
}

/** @param {{hold: () => void, release: () => void}} shown */
function holdButton({ hold, release }) {
  const made = button({ "aria-pressed": "false" }, "Hold to see before");
  const set = (/** @type {boolean} */ held) => {
    made.setAttribute("aria-pressed", String(held));
    if (held) hold();
    else release();
  };
  made.addEventListener("pointerdown", () => set(true));
  made.addEventListener("keydown", ({ key }) => (key === " " || key === "Enter") && set(true));
  for (const type of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
    made.addEventListener(type, () => set(false));
  }
  return made;
}

/** @param {string} url  of what it was made from @param {Picture} image */
export function showBeforeAfter(url, image) {
  const shown = comparison(url, image);
  const dialog = el(
    "dialog",
    { class: "dialog before-after", "aria-labelledby": "before-after-title" },
    el("h2", { id: "before-after-title" }, "Before and after"),
    shown.frame,
    el("div", { class: "button-row" }, holdButton(shown), button({ "data-close": true }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("input")?.focus();
}
