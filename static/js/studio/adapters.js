// The adapters in the folder, each with a slider for its strength. There is nothing to see where there are none.

import { listLoras } from "../lib/api.js";
import { byId, el, fill } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { listedAdapters, offerAdapters } from "../words/axes.js";

/** @typedef {{name: string, strength: number, sha256?: string}} Lora */
/** @typedef {{name: string, models: string[], trigger_words: string | null}} Listed */

const MOST = 2; // of the sliders; a request may ask for more
/** @type {Map<string, number>} */
const strengths = new Map(Object.entries(remembered("loras", /** @type {Record<string, number>} */ ({}))));
/** @type {Listed[]} */
let listed = [];
let model = "";

const fitting = () => listed.filter((one) => !model || one.models.includes(model));

/** Those that are not at 0, as a request names them. @returns {{loras?: Lora[]}} */
export function chosenAdapters() {
  const loras = fitting()
    .map(({ name }) => ({ name, strength: strengths.get(name) ?? 0 }))
    .filter((one) => one.strength !== 0 && !listedAdapters().includes(one.name));
  return loras.length ? { loras } : {};
}

/** @param {string} name @param {number} strength */
function setStrength(name, strength) {
  if (strength) strengths.set(name, strength);
  else strengths.delete(name);
  remember("loras", Object.fromEntries(strengths));
}

/** @param {Listed} one */
function row(one) {
  const value = el("output", { class: "hint numeric" });
  const slider = el("input", {
    type: "range",
    min: -MOST,
    max: MOST,
    step: 0.05,
    value: strengths.get(one.name) ?? 0,
    "aria-label": `Strength of ${one.name}`,
  });
  const show = () => {
    const strength = Number(slider.value);
    value.textContent = strength ? strength.toFixed(2) : "off";
    slider.setAttribute("aria-valuetext", value.textContent);
    slider.style.setProperty("--at", String((strength + MOST) / (2 * MOST)));
    setStrength(one.name, strength);
  };
  slider.addEventListener("input", show);
  show();
  return el(
    "div",
    { class: "adapter" },
    el("span", { class: "adapter-name", dir: "auto" }, one.name),
    value,
    slider,
    one.trigger_words && el("p", { class: "hint", dir: "auto" }, `Say in the prompt: ${one.trigger_words}`),
  );
}

function show() {
  const rows = fitting();
  byId("adapters").hidden = rows.length === 0;
  fill(byId("adapter-rows"), ...rows.map(row));
  offerAdapters(rows.map(({ name }) => name));
}

/** Set every slider as a recipe has it, and say which adapters are not here. @param {Lora[]} loras */
export function useAdapters(loras) {
  strengths.clear();
  for (const { name, strength } of loras) setStrength(name, strength);
  remember("loras", Object.fromEntries(strengths));
  show();
  const missing = loras.filter(({ name }) => !listed.some((one) => one.name === name)).map(({ name }) => name);
  const note = byId("adapters-note");
  note.hidden = missing.length === 0;
  note.textContent = `Not in your folder of adapters, and left out: ${missing.join(", ")}.`;
  if (missing.length) byId("adapters").hidden = false;
}

/** Show those that fit a model. @param {string} name */
export async function showAdapters(name) {
  model = name;
  try {
    listed = (await listLoras()).loras;
  } catch (error) {
    console.info("The adapters are not known:", error);
  }
  show();
}
