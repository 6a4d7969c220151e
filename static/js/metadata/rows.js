// What a picture's settings would change in the form, a row for each that a person may take or leave.

import { known } from "../lib/catalog.js";
import { formatSize, modelTitle } from "../lib/format.js";
import { isWhole, MAX_SEED, MAX_SIDE_PX, MAX_STEPS, nearestSide } from "../lib/limits.js";
import { state } from "../lib/store.js";

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

/**
 * The words as they were typed, and the styles that they were put into: the prompt that came of both is no one's words.
 * @param {Reading} reading
 * @returns {Row[]}
 */
function wordsRows({ found }) {
  const { prompt, typed, styles } = found;
  if (!prompt) return [];
  if (!styles?.length || !typed)
    return [{ label: "Prompt", value: prompt, recipe: { prompt, ...(typed && { typed }) }, checked: true }];
  return [
    { label: "Prompt", value: typed, recipe: { prompt: typed }, checked: true },
    { label: "Style", value: styles.join(", "), recipe: { styles, styled: prompt }, checked: true },
  ];
}

/** What only some models can be told. @param {Reading} reading @returns {Row[]} */
function ownRows({ found }) {
  const { guidance, negative_prompt: avoid, temperature, unconditional } = found;
  /** @type {[string, string | undefined, Recipe][]} */
  const said = [
    ["Guidance", guidance && guidance > 1 ? String(guidance) : "", { guidance }],
    ["What to avoid", avoid, { negative_prompt: avoid }],
    ["Temperature", temperature && temperature !== 1 ? String(temperature) : "", { temperature }],
    ["Without words", unconditional ? "yes" : "", { unconditional }],
  ];
  return said.flatMap(([label, value, recipe]) => (value ? [{ label, value, recipe, checked: true }] : []));
}

/** @param {Reading} reading @returns {Row[]} */
export function rowsOf(reading) {
  const { found } = reading;
  /** @type {Row[]} */
  const negative = found.negative
    ? [{ label: "Negative prompt", value: found.negative, note: "Bonsai takes none." }]
    : [];
  const others = (found.others ?? []).map((pair) => pair.join(": ")).join("\n");
  /** @type {Row[]} */
  const unused = others ? [{ label: "Others", value: others, note: "Not used here." }] : [];
  return [
    ...wordsRows(reading),
    ...seedRow(reading),
    ...stepsRow(reading),
    ...sizeRow(reading),
    ...modelRow(reading),
    ...adaptersRow(reading),
    ...ownRows(reading),
    ...negative,
    ...unused,
  ];
}
