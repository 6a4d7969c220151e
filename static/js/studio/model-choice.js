// Which checkpoint draws: the chosen one when it is here, else the seedling that stands in, with plain words about it.

import { comparedPair, isStandIn, known, PUBLISHED, standIn } from "../lib/catalog.js";
import { byId, button, el, refill } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";
import { realModelCard } from "./real-model.js";
import { remember, remembered } from "../lib/storage.js";
import { state, subscribe } from "../lib/store.js";
import { toast } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Model} Model */

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
  return [el("p", {}, known(variant())?.summary, " ", trySeedling)];
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
  const subtitles = PUBLISHED.map(({ name }) => subtitle(state.models.get(name)));
  PUBLISHED.forEach(({ name }, index) => (byId(`${name}-sub`).textContent = subtitles[index] || "\u00a0"));
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
  let drawing = "";
  subscribe("model", (model) => {
    tellArrival(model);
    show();
    const now = `${chosenModel()} ${state.models.has(chosenModel())}`;
    if (now !== drawing) changed();
    drawing = now;
  });
  subscribe("view", show);
}
