// What only models that draw in bits can be told: a temperature, and to draw without words.

import { byId } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { state } from "../lib/store.js";

const temperature = () => /** @type {HTMLInputElement} */ (byId("temperature"));
const wordless = () => /** @type {HTMLInputElement} */ (byId("unconditional"));

/** @param {string} model */
const drawsBits = (model) => state.models.get(model)?.family === "bits";

/** Whether the words above are not read. @param {string} model */
export const isWordless = (model) => drawsBits(model) && wordless().checked;

/** What a request says of them. @param {string} model @returns {{temperature?: number, unconditional?: true}} */
export function chosenChance(model) {
  if (!drawsBits(model)) return {};
  const said = temperature().value.trim();
  return { ...(said && { temperature: Number(said) }), ...(wordless().checked && { unconditional: true }) };
}

/** Show them where the model has them. @param {string} model */
export function showChance(model) {
  byId("chance-fields").hidden = !drawsBits(model);
}

/** @param {{temperature?: number, unconditional?: boolean}} recipe @param {boolean} whole  what it does not say it had not */
export function useChance({ temperature: amount, unconditional }, whole) {
  if (amount || whole) temperature().value = amount && amount !== 1 ? String(amount) : "";
  if (unconditional || whole) wordless().checked = Boolean(unconditional);
  keep();
}

function keep() {
  remember("temperature", temperature().value);
  remember("unconditional", wordless().checked);
}

export function startChance() {
  temperature().value = remembered("temperature", "");
  wordless().checked = remembered("unconditional", false);
  temperature().addEventListener("input", keep);
  wordless().addEventListener("change", keep);
}
