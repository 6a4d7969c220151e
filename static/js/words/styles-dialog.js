// The dialog in which styles are added, changed, deleted and restored.

import { deleteStyle, restoreStyles, saveStyle } from "../lib/api.js";
import { byId, button, el, fill } from "../lib/dom.js";
import { toastError } from "../lib/toast.js";
import { knownStyles, takeStyles } from "./styles.js";

/** @typedef {import("../lib/types.js").Style} Style */

/** @param {{styles: Style[]}} answer  to whatever was changed */
function taken({ styles }) {
  takeStyles(styles);
  showEditors();
}

/** @param {Style | null} style  null: a new one */
function editor(style) {
  const name = el("input", { class: "input", value: style?.name ?? "", maxlength: 60, readonly: Boolean(style), required: true });
  const text = el("textarea", { class: "input", rows: 2, maxlength: 2000, required: true });
  text.value = style?.text ?? "";
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  const save = async () => {
    try {
      const { steps, width, height } = style ?? {};
      taken(await saveStyle({ name: name.value, text: text.value, steps, width, height }));
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      problem.hidden = false;
    }
  };
  const remove = () => deleteStyle(/** @type {Style} */ (style).name).then(taken, toastError);
  return el(
    "li",
    { class: "style-editor" },
    el("label", { class: "field" }, el("span", { class: "label" }, style ? "Name" : "Name of a new style"), name),
    el("label", { class: "field" }, el("span", { class: "label" }, "Text; {prompt} is where your words go"), text),
    problem,
    el(
      "div",
      { class: "style-buttons" },
      style && button({ class: "button small", on: { click: remove } }, `Delete ${style.name}`),
      button({ class: "button small", on: { click: save } }, style ? `Save ${style.name}` : "Add"),
    ),
  );
}

function showEditors() {
  fill(byId("style-editors"), editor(null), ...[...knownStyles()].reverse().map(editor)); // the user's own come first
}

export function editStyles() {
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "style-dialog-title" },
    el("h2", { id: "style-dialog-title" }, "Styles"),
    el("p", { class: "hint" }, "A style is a text around your words. They are kept on this computer, for every page and program."),
    el("ul", { role: "list", class: "style-editors", id: "style-editors" }),
    el(
      "div",
      { class: "button-row" },
      button({ on: { click: () => restoreStyles().then(taken, toastError) } }, "Restore the built-in styles"),
      button({ class: "button primary", on: { click: () => dialog.close() } }, "Done"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  showEditors();
  dialog.showModal();
}
