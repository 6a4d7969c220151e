// Which checkpoint draws: the chosen one when it is here, else the seedling that stands in, with plain words about it.

import { comparedPair, isStandIn, known, OTHERS, PUBLISHED, standIn } from "../lib/catalog.js";
import { byId, button, el, refill } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";
import { realModelCard } from "./real-model.js";
import { remember, remembered } from "../lib/storage.js";
import { state, subscribe } from "../lib/store.js";
import { toast } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Model} Model */

/** @type {Record<string, string>} */
const SUBTITLES = {
  paused: "paused",
  partial: "partly here",
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
  return SUBTITLES[model.state] ?? "not here";
}

function seedlingNote() {
  const use = button({ class: "button small", on: { click: () => setSeedling(false) } }, `Use ${variant()} 4B`);
  const words = el("p", {}, el("strong", {}, "Drawing with the seedling"), ", a tiny demonstration model.");
  return [words, el("div", { class: "button-row" }, use)];
}

function bonsaiNote() {
  const trySeedling = el(
    "button",
    { type: "button", class: "link-button", on: { click: () => setSeedling(true) } },
    "Try the seedling",
  );
  const words = known(variant())?.summary || state.models.get(variant())?.note;
  return [el("p", {}, el("span", { class: "note-words" }, words), " ", OTHERS.some(({ name }) => name === variant()) ? "" : trySeedling)];
}

/** The models behind "More models": those of which something is here. They are downloaded on the Models page. */
function showOthers() {
  const here = OTHERS.filter(({ name }) => !["absent", undefined].includes(state.models.get(name)?.state));
  const missing = here.filter(({ name }) => !radioOf(name));
  if (!missing.length) return;
  const box = document.getElementById("more-models") ?? moreModels();
  for (const { name, label } of missing) {
    const radio = el("input", { type: "radio", name: "variant", value: name });
    const sub = el("span", { class: "sub", id: `${name}-sub` }, "\u00a0");
    box.querySelector(".segmented")?.append(el("label", {}, radio, el("span", {}, label), sub));
    if (remembered("variant", "") === name) radio.checked = true;
  }
}

function moreModels() {
  const box = el("details", { id: "more-models" }, el("summary", {}, "More models"), el("div", { class: "segmented" }));
  byId("variants").after(box);
  box.addEventListener("change", modelChanged);
  return box;
}

let shownNote = "";

/** The card stands on the empty stage; the note above the settings has it otherwise. @param {Model} model */
function showCard(model) {
  const card = realModelCard(model, model.name === PUBLISHED[0].name);
  const place = document.getElementById("first-run-card") ?? byId("model-note");
  if (card.parentElement !== place) place.replaceChildren(card);
  byId("model-note").hidden = place.id !== "model-note";
  shownNote = "";
}

function show() {
  showOthers();
  const shown = [...PUBLISHED, ...OTHERS].filter(({ name }) => document.getElementById(`${name}-sub`));
  const subtitles = shown.map(({ name }) => subtitle(state.models.get(name)));
  shown.forEach(({ name, label, featured }, index) => {
    const term = featured ? label : ""; // what is said above is what it means
    byId(`${name}-sub`).textContent = [term, subtitles[index]].filter(Boolean).join(", ") || "\u00a0";
  });
  const note = byId("model-note");
  const wanted = state.models.get(variant());
  if (!wanted) return;
  note.classList.remove("reserved");
  if (wanted.state !== "ready") return showCard(wanted);
  note.hidden = false;
  const signature = [chosenModel(), ...subtitles].join();
  if (signature === shownNote) return; // a button must not be replaced while it is pressed
  shownNote = signature;
  refill(note, byId("variants"), ...(isStandIn(chosenModel()) ? seedlingNote() : bonsaiNote()));
}

/** @type {Map<string, string>} the state of each model when it was last heard of */
const before = new Map();

/** @param {Model} model */
function tellArrival(model) {
  const last = before.get(model.name);
  before.set(model.name, model.state);
  if (model.state !== "ready" || last === undefined || last === "ready" || model.embedded) return;
  if (isReady(variant())) setSeedling(false);
  toast(`${model.title} is here${chosenModel() === model.name ? " and draws from now on" : ""}.`, { showMs: 20_000 });
}

function modelChanged() {
  remember("variant", variant());
  show();
  changed();
}

/** @param {() => void} onChange  called whenever another model would draw */
export function startModelChoice(onChange) {
  changed = onChange;
  const radio = radioOf(remembered("variant", variant()));
  if (radio) radio.checked = true;
  byId("variants").addEventListener("change", modelChanged);
  let drawing = "";
  subscribe("model", (model) => {
    tellArrival(model);
    show();
    const now = `${chosenModel()} ${state.models.has(chosenModel())}`;
    if (now !== drawing) changed();
    drawing = now;
  });
  // what draws the stage anew takes the card's place away with it
  for (const topic of ["view", "connection", "queue", "sizes", "image"]) subscribe(topic, () => queueMicrotask(show));
}
