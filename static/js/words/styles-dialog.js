// The dialog in which styles are added, changed, deleted and restored.

import { deleteStyle, restoreStyles, saveStyle } from "../lib/api.js";
import { byId, button, el, refill } from "../lib/dom.js";
import { toastError } from "../lib/toast.js";
import { knownStyles, takeStyles } from "./styles.js";

/** @typedef {import("../lib/types.js").Style} Style */

/** @param {{styles: Style[]}} answer  to whatever was changed @param {string | null} changed  the style that was */
function taken({ styles }, changed) {
  takeStyles(styles);
  showEditors(changed);
}

/** @param {Style | null} style  null: a new one */
function editor(style) {
  const name = el("input", { class: "input", value: style?.name ?? "", maxlength: 60, readonly: Boolean(style), required: true });
  const own = style?.name ?? "";
  const text = el("textarea", { class: "input", name: own, rows: 2, maxlength: 2000, required: true }, style?.text ?? "");
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  const save = async () => {
    try {
      const { steps, width, height } = style ?? {};
      const sent = text.value;
      const answer = await saveStyle({ name: name.value, text: sent, steps, width, height });
      taken(answer, text.value === sent ? own : null); // what was typed since is not lost
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      problem.hidden = false;
    }
  };
  const remove = () => deleteStyle(own).then((answer) => taken(answer, own), toastError);
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

/** @param {string | null} changed  the style whose editor is made anew, the others' stay as they are, typed in or not */
function showEditors(changed) {
  const list = byId("style-editors");
  const shown = new Map([...list.querySelectorAll("textarea")].map((field) => [field.name, field]));
  const rows = [null, ...[...knownStyles()].reverse()].map((style) => {
    const field = shown.get(style?.name ?? "");
    const same = field && (field.value !== field.defaultValue || field.defaultValue === (style?.text ?? ""));
    return same && field.name !== changed ? field.closest("li") : editor(style);
  });
  refill(list, list, ...rows); // the user's own come first
}

export function editStyles() {
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "style-dialog-title" },
    el("h2", { id: "style-dialog-title" }, "Styles"),
    el("p", { class: "hint" }, "A style is a text around your words. They are kept on this computer, for every page and program."),
    el("ul", { role: "list", class: "style-editors", id: "style-editors", tabindex: -1 }),
    el(
      "div",
      { class: "button-row" },
      button({ on: { click: () => restoreStyles().then((answer) => taken(answer, null), toastError) } }, "Restore the built-in styles"),
      button({ class: "button primary", on: { click: () => dialog.close() } }, "Done"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  showEditors(null);
  dialog.showModal();
  byId("style-editors").querySelector("input")?.focus();
  dialog.scrollTop = 0; // its title too, which is above what has the focus
}
