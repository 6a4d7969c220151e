// Style chips under the prompt, and the dialog in which styles are changed. Which are chosen is remembered by name.

import { byId, button, el, fill } from "../lib/dom.js";
import { deleteStyle, listStyles, restoreStyles, saveStyle } from "../lib/api.js";
import { remember, remembered } from "../lib/storage.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Style} Style */

/** @type {Style[]} */
let styles = [];
/** @type {string[]} */
let chosen = [];
let changed = () => {};

/** @returns {string[]} the names of the styles to draw in, in the order in which they were chosen */
export const chosenStyles = () => [...chosen];

/** @param {readonly string[]} names */
export function chooseStyles(names) {
  chosen = names.filter((name) => !styles.length || styles.some((style) => style.name === name));
  remember("styles", chosen);
  show();
  changed();
}

/** @param {string} name */
const toggle = (name) =>
  chooseStyles(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);

/** @param {Style} style */
function chip(style) {
  const pressed = String(chosen.includes(style.name));
  const on = { click: () => toggle(style.name) };
  return el("li", {}, el("button", { type: "button", class: "chip style-chip", title: style.text, "aria-pressed": pressed, on }, style.name));
}

function show() {
  const list = byId("style-chips");
  const focused = document.activeElement?.closest(".style-chip")?.textContent;
  fill(list, ...styles.map(chip));
  const again = [...list.querySelectorAll("button")].find((one) => focused && one.textContent === focused);
  again?.focus({ preventScroll: true });
  byId("styles-summary").textContent = chosen.join(", ") || "none";
}

/** @param {Style[]} next */
function take(next) {
  styles = next;
  chooseStyles(chosen);
}

// The dialog

/** @param {Style | null} style  null: a new one */
function editor(style) {
  const name = el("input", { class: "input", value: style?.name ?? "", maxlength: 60, readonly: Boolean(style), required: true });
  const text = el("textarea", { class: "input", rows: 2, maxlength: 2000, required: true });
  text.value = style?.text ?? "";
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  const save = async () => {
    try {
      const { steps, width, height } = style ?? {};
      take((await saveStyle({ name: name.value, text: text.value, steps, width, height })).styles);
      showEditors();
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      problem.hidden = false;
    }
  };
  const remove = async () => {
    take((await deleteStyle(/** @type {Style} */ (style).name)).styles);
    showEditors();
  };
  return el(
    "li",
    { class: "style-editor" },
    el("label", { class: "field" }, el("span", { class: "label" }, style ? "Name" : "Name of a new style"), name),
    el("label", { class: "field" }, el("span", { class: "label" }, "Text; {prompt} is where your words go"), text),
    problem,
    el(
      "div",
      { class: "style-buttons" },
      style && button({ class: "button small", on: { click: () => remove().catch(toastError) } }, `Delete ${style.name}`),
      button({ class: "button small", on: { click: save } }, style ? `Save ${style.name}` : "Add"),
    ),
  );
}

function showEditors() {
  fill(byId("style-editors"), editor(null), ...[...styles].reverse().map(editor)); // the user's own come first
}

async function restore() {
  take((await restoreStyles()).styles);
  showEditors();
}

function openDialog() {
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "style-dialog-title" },
    el("h2", { id: "style-dialog-title" }, "Styles"),
    el("p", { class: "hint" }, "A style is a text around your words. They are kept on this computer, for every page and program."),
    el("ul", { class: "style-editors", id: "style-editors", role: "list" }),
    el(
      "div",
      { class: "button-row" },
      button({ on: { click: () => restore().catch(toastError) } }, "Restore the built-in styles"),
      button({ class: "button primary", on: { click: () => dialog.close() } }, "Done"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  showEditors();
  dialog.showModal();
}

/** @param {HTMLElement} place @param {() => void} onChange */
export function startStyles(place, onChange) {
  chosen = remembered("styles", []);
  place.append(
    el(
      "details",
      { class: "fold tool", id: "styles" },
      el("summary", {}, el("span", { class: "label" }, "Style"), el("span", { class: "hint", id: "styles-summary" }, "none")),
      el("ul", { class: "style-chips", id: "style-chips", role: "list", "aria-label": "Styles" }),
      el("button", { type: "button", class: "link-button", id: "edit-styles", on: { click: openDialog } }, "Edit styles…"),
    ),
  );
  changed = onChange;
  listStyles().then((found) => take(found.styles), toastError);
}
