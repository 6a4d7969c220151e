// Which checkpoint draws: the chosen one when it is here, else the seedling that stands in, with plain words about it.

import { modelAction } from "../lib/api.js";
import { comparedPair, isStandIn, known, PUBLISHED, standIn } from "../lib/catalog.js";
import { byId, button, el, refill } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";
import { remember, remembered } from "../lib/storage.js";
import { putModel, state, subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Model} Model */

const SEEDLING_WORDS =
  ", a tiny demonstration model inside this program: twenty kinds of things from stars to bonsai trees in ten " +
  "colours, and landscapes. Real pictures need Bonsai Image 4B:";

/** @type {Record<string, string>} */
const SUBTITLES = {
  paused: "download paused",
  partial: "partly downloaded",
  verifying: "being checked",
  failed: "download failed",
  damaged: "damaged",
};

let seedlingWanted = remembered("seedling", false);
/** @type {() => void} */
let changed = () => {};

/** @param {string} name */
const radioOf = (name) =>
  /** @type {HTMLInputElement | null} */ (document.querySelector(`[name=variant][value="${CSS.escape(name)}"]`));

/** @returns {string} the published model that is chosen */
function variant() {
  return /** @type {HTMLInputElement} */ (document.querySelector("[name=variant]:checked")).value;
}

/** @param {string} name */
const isReady = (name) => state.models.get(name)?.state === "ready";

/** @returns {string} the model that Generate will use */
export function chosenModel() {
  const name = variant();
  return isReady(name) && !seedlingWanted ? name : standIn(name);
}

/** Whether Compare draws with the seedlings: the server takes the 4B pair only when both are here. */
export const comparesSeedlings = () => !comparedPair().every(isReady);

/** @param {string} name  as in a recipe: one of the catalog's, a stand-in perhaps */
export function chooseModel(name) {
  const wanted = known(name)?.stands_in_for ?? name;
  const radio = radioOf(wanted);
  if (!radio) return;
  radio.checked = true;
  remember("variant", wanted);
  setSeedling(isStandIn(name));
}

/** @param {boolean} wanted */
function setSeedling(wanted) {
  seedlingWanted = wanted;
  remember("seedling", wanted);
  show();
  changed();
}

/** @param {Model | undefined} model */
function subtitle(model) {
  if (!model) return "";
  const size = formatBytes(model.bytes_total);
  if (model.state === "ready") return size;
  if (model.state === "downloading" && model.download) {
    return `${Math.floor((100 * model.download.bytes_done) / Math.max(1, model.download.bytes_total))} % of ${size}`;
  }
  return SUBTITLES[model.state] ?? `${size}, not here`;
}

/** @type {Record<string, string>} */
const VERBS = { partial: "Resume", failed: "Try again:", damaged: "Repair" };

/** Why a model that was asked for is not here, in the server's words. @param {Model} model */
function failureOf(model) {
  if (model.state === "failed") return model.download?.error ?? "The download failed.";
  return model.state === "damaged" ? (model.problems[0] ?? "Its files are damaged.") : "";
}

/** @param {Model} model */
function failureLine(model) {
  const text = failureOf(model);
  return text && el("p", { class: "notice", data: { tone: "bad" }, role: "alert" }, `${model.title}: ${text}`);
}

/** @param {Model} model */
function downloadButton(model) {
  if (["downloading", "paused", "verifying"].includes(model.state)) {
    return el("a", { class: "button small", href: "/model-manager" }, `${model.variant}: ${subtitle(model)}`);
  }
  const action = model.state === "partial" || model.state === "failed" ? "resume" : "download";
  const start = () => modelAction(model.name, action).then(putModel, toastError);
  return button(
    { class: "button small", icon: "download", on: { click: start } },
    `${VERBS[model.state] ?? "Download"} ${model.variant}, ${formatBytes(model.bytes_total)}`,
  );
}

function seedlingNote() {
  const absent = PUBLISHED.flatMap(({ name }) => state.models.get(name) ?? []).filter((model) => model.state !== "ready");
  const available = isReady(variant());
  const switchBack = button({ class: "button small", on: { click: () => setSeedling(false) } }, `Use ${variant()} 4B`);
  return [
    el("p", {}, el("strong", {}, "Drawing with the seedling"), SEEDLING_WORDS),
    ...absent.map(failureLine),
    el("div", { class: "button-row" }, available && switchBack, ...absent.map(downloadButton)),
  ];
}

function bonsaiNote() {
  const trySeedling = el(
    "button",
    { type: "button", class: "link-button", on: { click: () => setSeedling(true) } },
    "Try the seedling",
  );
  return [el("p", {}, known(variant())?.summary, " ", trySeedling)];
}

let shownNote = "";

function show() {
  const subtitles = PUBLISHED.map(({ name }) => subtitle(state.models.get(name)));
  PUBLISHED.forEach(({ name }, index) => (byId(`${name}-sub`).textContent = subtitles[index] || "\u00a0"));
  const note = byId("model-note");
  note.hidden = !state.models.size;
  const failures = [...state.models.values()].map(failureOf);
  const signature = [chosenModel(), isReady(variant()), ...subtitles, ...failures].join();
  if (signature === shownNote) return; // a button must not be replaced while it is pressed
  shownNote = signature;
  refill(note, byId("variants"), ...(isStandIn(chosenModel()) ? seedlingNote() : bonsaiNote()));
}

/** @param {() => void} onChange  called whenever another model would draw */
export function startModelChoice(onChange) {
  changed = onChange;
  const radio = radioOf(remembered("variant", variant()));
  if (radio) radio.checked = true;
  byId("variants").addEventListener("change", () => {
    remember("variant", variant());
    show();
    changed();
  });
  let before = "";
  subscribe("model", () => {
    show();
    const now = `${chosenModel()} ${state.models.has(chosenModel())}`;
    if (now !== before) changed();
    before = now;
  });
}
