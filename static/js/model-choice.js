// Which checkpoint draws: the chosen variant's 4B one when it is here, else the seedling, with plain words about it.

import { modelAction } from "./api.js";
import { byId, button, el, refill } from "./dom.js";
import { formatBytes } from "./format.js";
import { remember, remembered } from "./storage.js";
import { putModel, state, subscribe } from "./store.js";
import { toastError } from "./toast.js";

/** @typedef {import("./types.js").Model} Model */

const WORDS = {
  ternary: "Weights of −1, 0 and +1: the more faithful of the two.",
  binary: "Weights of −1 and +1: 0.46 GB smaller, not faster, and a little less faithful.",
};

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

/** @returns {"ternary" | "binary"} */
function variant() {
  const radio = /** @type {HTMLInputElement} */ (document.querySelector("[name=variant]:checked"));
  return radio.value === "binary" ? "binary" : "ternary";
}

/** @param {string} name */
const isReady = (name) => state.models.get(name)?.state === "ready";

/** @returns {string} the model that Generate will use */
export function chosenModel() {
  const name = variant();
  return isReady(name) && !seedlingWanted ? name : `seedling-${name}`;
}

/** Whether Compare draws with the seedlings: the server takes the 4B pair only when both are here. */
export const comparesSeedlings = () => !(isReady("ternary") && isReady("binary"));

/** @param {string} name  as in a recipe: "ternary", "seedling-binary", … */
export function chooseModel(name) {
  const wanted = name.endsWith("binary") ? "binary" : "ternary";
  const radio = /** @type {HTMLInputElement} */ (document.querySelector(`[name=variant][value=${wanted}]`));
  radio.checked = true;
  remember("variant", wanted);
  setSeedling(name.startsWith("seedling"));
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
  const absent = ["ternary", "binary"]
    .flatMap((name) => state.models.get(name) ?? [])
    .filter((model) => model.state !== "ready");
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
  return [el("p", {}, WORDS[variant()], " ", trySeedling)];
}

let shownNote = "";

function show() {
  const subtitles = ["ternary", "binary"].map((name) => subtitle(state.models.get(name)));
  byId("ternary-sub").textContent = subtitles[0] || "\u00a0";
  byId("binary-sub").textContent = subtitles[1] || "\u00a0";
  const note = byId("model-note");
  note.hidden = !state.models.size;
  const failures = [...state.models.values()].map(failureOf);
  const signature = [chosenModel(), isReady(variant()), ...subtitles, ...failures].join();
  if (signature === shownNote) return; // a button must not be replaced while it is pressed
  shownNote = signature;
  refill(note, byId("variants"), ...(chosenModel().startsWith("seedling") ? seedlingNote() : bonsaiNote()));
}

/** @param {() => void} onChange  called whenever another model would draw */
export function startModelChoice(onChange) {
  changed = onChange;
  const saved = remembered("variant", "ternary");
  const radio = /** @type {HTMLInputElement | null} */ (document.querySelector(`[name=variant][value="${saved}"]`));
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
