// The dialog that shows what a dropped picture says, setting by setting, and applies what is ticked.

import { ApiError, decodePicture } from "../lib/api.js";
import { known } from "../lib/catalog.js";
import { button, el } from "../lib/dom.js";
import { formatSize, modelTitle } from "../lib/format.js";
import { isWhole, MAX_SEED, MAX_SIDE_PX, MAX_STEPS, nearestSide } from "../lib/limits.js";
import { handOver } from "../lib/storage.js";
import { publish, state } from "../lib/store.js";

/** @typedef {import("./metadata.js").Reading} Reading */
/** @typedef {import("../lib/types.js").Recipe} Recipe */
/** @typedef {{label: string, value: string, note?: string, recipe?: Recipe, checked?: boolean}} Row */

const MANY_STEPS = 8; // a count above this was meant for an undistilled model

const onlySeedling = () =>
  state.models.size > 0 && ![...state.models.values()].some((m) => !m.embedded && m.state === "ready");

/** @param {Reading} reading @returns {Row[]} */
function seedRow({ found }) {
  const value = found.seedText ?? (found.seed === undefined ? undefined : String(found.seed));
  if (value === undefined) return [];
  if (!isWhole(found.seed, 0, MAX_SEED))
    return [{ label: "Seed", value, note: `Seeds here go from 0 to ${MAX_SEED}.` }];
  return [{ label: "Seed", value, recipe: { seed: found.seed }, checked: true }];
}

/** @param {Reading} reading @returns {Row[]} */
function stepsRow({ found, ours }) {
  if (found.steps === undefined) return [];
  const value = String(found.steps);
  if (!isWhole(found.steps, 1, MAX_STEPS)) return [{ label: "Steps", value, note: `1 to ${MAX_STEPS} are possible.` }];
  const foreign = !ours && found.steps > MANY_STEPS;
  const note = foreign ? "Meant for another model; 4 are enough here." : undefined;
  return [{ label: "Steps", value, note, recipe: { steps: found.steps }, checked: !foreign }];
}

/** @param {Reading} reading @returns {Row[]} */
function sizeRow({ found, ours }) {
  const { width, height } = found;
  if (width === undefined || height === undefined) return [];
  const value = formatSize(width, height);
  if (width > MAX_SIDE_PX || height > MAX_SIDE_PX || width < 1 || height < 1) {
    return [{ label: "Size", value, note: `At most ${formatSize(MAX_SIDE_PX, MAX_SIDE_PX)} here.` }];
  }
  const recipe = { width: nearestSide(width), height: nearestSide(height) };
  const changed = recipe.width !== width || recipe.height !== height;
  const large = !ours && onlySeedling();
  const rounded = changed
    ? `Becomes ${formatSize(recipe.width, recipe.height)}: sides are multiples of 16.`
    : undefined;
  return [
    {
      label: "Size",
      value,
      note: large ? "The seedling draws best at its own small size." : rounded,
      recipe,
      checked: !large,
    },
  ];
}

/** @param {Reading} reading @returns {Row[]} */
function modelRow({ found, ours }) {
  if (!found.model) return [];
  if (ours && known(found.model)) {
    return [{ label: "Model", value: modelTitle(found.model), recipe: { model: found.model }, checked: true }];
  }
  return [{ label: "Model", value: found.model, note: "Another model: the picture will differ." }];
}

/** @param {Reading} reading @returns {Row[]} */
function adaptersRow({ found }) {
  if (!found.loras) return [];
  const value = found.loras.map(({ name, strength }) => `${name} ${strength}`).join("\n");
  return [{ label: "Adapters", value, recipe: { loras: found.loras }, checked: true }];
}

/** @param {Reading} reading @returns {Row[]} */
export function rowsOf(reading) {
  const { found } = reading;
  /** @type {Row[]} */
  const prompt = found.prompt
    ? [{ label: "Prompt", value: found.prompt, recipe: { prompt: found.prompt }, checked: true }]
    : [];
  /** @type {Row[]} */
  const negative = found.negative
    ? [{ label: "Negative prompt", value: found.negative, note: "Bonsai takes none." }]
    : [];
  const others = (found.others ?? []).map((pair) => pair.join(": ")).join("\n");
  /** @type {Row[]} */
  const unused = others ? [{ label: "Others", value: others, note: "Not used here." }] : [];
  return [
    ...prompt,
    ...seedRow(reading),
    ...stepsRow(reading),
    ...sizeRow(reading),
    ...modelRow(reading),
    ...adaptersRow(reading),
    ...negative,
    ...unused,
  ];
}

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
    const recipe = Object.assign({}, ...ticked().map((row) => row.recipe));
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
