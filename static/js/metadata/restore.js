// The dialog that shows what a dropped picture says, setting by setting, and applies what is ticked.

import { ApiError, decodePicture } from "../lib/api.js";
import { button, el } from "../lib/dom.js";
import { handOver } from "../lib/storage.js";
import { publish } from "../lib/store.js";
import { rowsOf } from "./rows.js";

/** @typedef {import("./metadata.js").Reading} Reading */
/** @typedef {import("../lib/types.js").Recipe} Recipe */
/** @typedef {import("./rows.js").Row} Row */

/** @param {Row} row @param {number} index */
function tableRow(row, index) {
  const box = row.recipe
    ? el("input", {
        type: "checkbox",
        checked: row.checked,
        data: { row: String(index) },
        "aria-label": `Apply ${row.label}`,
      })
    : null;
  return el(
    "tr",
    row.recipe ? {} : { "data-unused": true },
    el("td", {}, box),
    el("th", { scope: "row" }, row.label),
    el(
      "td",
      {},
      el("span", { class: "value", dir: "auto" }, row.value),
      row.note && el("span", { class: "hint" }, row.note),
    ),
  );
}

/** @param {Row[]} rows */
function table(rows) {
  const head = ["Apply", "Setting", "In the picture"].map((name) => el("th", { scope: "col" }, name));
  return el(
    "table",
    { class: "found-table" },
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody", {}, ...rows.map(tableRow)),
  );
}

/** @param {Recipe} recipe */
function apply(recipe) {
  if (document.getElementById("composer")) return publish("use-recipe", recipe);
  handOver({ recipe });
  return location.assign("/");
}

/** A file with a code: what that stands for is shown, exactly and without drawing. @param {string} code @param {HTMLImageElement} picture */
function decoding(code, picture) {
  const words = el("p", { class: "hint", role: "status" }, `Its bits are in the file: ${code.length} characters are all of it.`);
  const show = button({ class: "button small", on: { click: shown } }, "Show it from its bits");
  async function shown() {
    try {
      picture.src = URL.createObjectURL(await decodePicture(code));
      words.textContent = "This is what its bits say, exactly; nothing was drawn.";
      picture.alt = "The picture that the bits stand for";
      show.hidden = true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      words.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
    }
  }
  return el("div", {}, words, show);
}

/**
 * @param {File} file
 * @param {Reading} reading
 * @param {() => void} edit  what the picture may be meant for instead
 */
export function offerRestore(file, reading, edit) {
  const rows = rowsOf(reading);
  const url = URL.createObjectURL(file);
  const picture = el("img", { src: url, alt: "" });
  const change = button({ icon: "edit" }, "Edit this picture");
  const accept = button({ class: "button primary" }, "Apply");
  const content = table(rows);
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "restore-title" },
    el(
      "div",
      { class: "found" },
      picture,
      el(
        "div",
        {},
        el("h2", { id: "restore-title" }, `Settings from ${reading.source}`),
        el("p", { class: "hint" }, "Read by your own server, which keeps nothing of the file unless you edit it."),
        reading.code ? decoding(reading.code, picture) : null,
      ),
    ),
    content,
    el("div", { class: "button-row" }, button({ "data-close": true }, "Cancel"), change, accept),
  );
  const ticked = () =>
    [...content.querySelectorAll("input")].filter((box) => box.checked).map((box) => rows[Number(box.dataset.row)]);
  const show = () => (accept.disabled = ticked().length === 0);
  content.addEventListener("change", show);
  change.addEventListener("click", () => {
    dialog.close();
    edit();
  });
  accept.addEventListener("click", () => {
    const whole = ticked().length === rows.filter((row) => row.recipe).length;
    const recipe = Object.assign({ whole }, ...ticked().map((row) => row.recipe));
    dialog.close();
    apply(recipe);
  });
  dialog.addEventListener("close", () => {
    for (const one of [url, picture.src]) URL.revokeObjectURL(one);
    dialog.remove();
  });
  document.body.append(dialog);
  show();
  dialog.showModal();
  accept.focus({ preventScroll: true });
}
