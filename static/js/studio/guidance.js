// Guidance and the negative prompt, of models that have them.

import { byId } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { state } from "../lib/store.js";

const guidance = () => /** @type {HTMLInputElement} */ (byId("guidance"));
const negative = () => /** @type {HTMLTextAreaElement} */ (byId("negative-prompt"));

/** @param {string} model */
const recommended = (model) => state.models.get(model)?.recommended_guidance ?? 1;

/** What a request says of them. @param {string} model @returns {{guidance?: number, negative_prompt?: string}} */
export function chosenGuidance(model) {
  if (recommended(model) <= 1) return {};
  const said = Number(guidance().value);
  const amount = guidance().value.trim() && Number.isFinite(said) ? { guidance: said } : {};
  return { ...amount, ...(negative().value.trim() && said !== 1 && { negative_prompt: negative().value.trim() }) };
}

/** Show them where the model has them. @param {string} model */
export function showGuidance(model) {
  byId("guidance-fields").hidden = recommended(model) <= 1;
  byId("guidance-hint").textContent = `${recommended(model)} is recommended; more follows the words more strictly.`;
  guidance().placeholder = String(recommended(model));
}

/** @param {{guidance?: number, negative_prompt?: string}} recipe @param {boolean} whole  what it does not say it had not */
export function useGuidance({ guidance: amount, negative_prompt: words }, whole) {
  if (amount || whole) guidance().value = amount && amount > 1 ? String(amount) : "";
  if (words || whole) negative().value = words ?? "";
  keep();
}

function keep() {
  remember("guidance", guidance().value);
  remember("negative-prompt", negative().value);
}

export function startGuidance() {
  guidance().value = remembered("guidance", "");
  negative().value = remembered("negative-prompt", "");
  for (const field of [guidance(), negative()]) field.addEventListener("input", keep);
}
