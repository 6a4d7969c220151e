// The dialog in which styles are added, changed, deleted and restored. What is not saved when it closes is there when it
// opens again.

import { deleteStyle, restoreStyles, saveStyle } from "../lib/api.js";
import { byId, button, el, fill, refill } from "../lib/dom.js";
import { UNDO } from "../lib/toast.js";
import { knownStyles, takeStyles } from "./styles.js";

/** @typedef {import("../lib/types.js").Style} Style */

/** @type {Map<string, string>} texts that were typed and not saved, by the styles' names */
const drafts = new Map();
let draftName = ""; // of a new style

/** Said beside the buttons: messages of the page lie under the dialog. @param {string} text @param {() => Promise<unknown>} [undo] */
function say(text, undo) {
  const back = undo && button({ class: "button small", on: { click: () => (say(""), undo().catch(sayError)) } }, UNDO);
  fill(byId("style-said"), text, back);
}

const sayError = (/** @type {unknown} */ error) => say(error instanceof Error ? error.message : String(error));

/** As the server compares names. @param {string} name */
const folded = (name) => name.split(/\s+/).filter(Boolean).join(" ").toLowerCase();

/** @param {Style} style  put back as it was */
async function putBack({ name, text, steps, width, height }) {
  taken(await saveStyle({ name, text, steps, width, height }), name);
}

async function restore() {
  const before = knownStyles();
  taken(await restoreStyles(), null);
  const now = new Map(knownStyles().map((style) => [style.name, style.text]));
  const lost = before.filter(({ name, text }) => now.get(name) !== text);
  const back = knownStyles().filter(({ name }) => !before.some((style) => style.name === name));
  if (!lost.length && !back.length) return say("They are as they came.");
  say("The built-in styles are as they came.", async () => {
    for (const style of lost) await putBack(style);
    for (const { name } of back) taken(await deleteStyle(name), name);
  });
}

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
  const refuse = (/** @type {string} */ words) => {
    problem.textContent = words;
    problem.hidden = false;
  };
  const save = async () => {
    const same = style ? undefined : knownStyles().find((one) => folded(one.name) === folded(name.value));
    if (same) return refuse(`There is a style called ${same.name} already. Change it below, or give this one another name.`);
    try {
      const { steps, width, height } = style ?? {};
      const sent = text.value;
      const answer = await saveStyle({ name: name.value, text: sent, steps, width, height });
      taken(answer, text.value === sent ? own : null); // what was typed since is not lost
    } catch (error) {
      refuse(/** @type {Error} */ (error).message);
    }
  };
  const remove = async () => {
    taken(await deleteStyle(own), own);
    say(`${own} is deleted.`, () => putBack(/** @type {Style} */ (style)));
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
      style && button({ class: "button small", on: { click: () => remove().catch(sayError) } }, `Delete ${style.name}`),
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

const fields = () => [...byId("style-editors").querySelectorAll("textarea")];
const newName = () => /** @type {HTMLInputElement} */ (byId("style-editors").querySelector("input"));

function keepDrafts() {
  drafts.clear();
  for (const field of fields()) if (field.value !== field.defaultValue) drafts.set(field.name, field.value);
  draftName = newName().value;
}

function bringDrafts() {
  for (const field of fields()) field.value = drafts.get(field.name) ?? field.value;
  newName().value = draftName;
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
      el("p", { class: "hint style-said", id: "style-said", role: "status" }),
      button({ on: { click: () => restore().catch(sayError) } }, "Restore the built-in styles"),
      button({ class: "button primary", on: { click: () => dialog.close() } }, "Done"),
    ),
  );
  dialog.addEventListener("close", () => (keepDrafts(), dialog.remove()));
  document.body.append(dialog);
  showEditors(null);
  bringDrafts();
  dialog.showModal();
  byId("style-editors").querySelector("input")?.focus();
  dialog.scrollTop = 0; // its title too, which is above what has the focus
}
