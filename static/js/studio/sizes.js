// Shape and size. The server says which sizes there are and how each fits this machine; any other can be typed.

import { getFit, getSizes } from "../lib/api.js";
import { isStandIn } from "../lib/catalog.js";
import { byId, button, el, fill } from "../lib/dom.js";
import { fitKey, listedFits, typedFits } from "../stage/fits.js";
import { formatBytes, formatSeconds, formatSize } from "../lib/format.js";
import { isSide, nearestSide } from "../lib/limits.js";
import { remember, remembered } from "../lib/storage.js";
import { publish, state } from "../lib/store.js";

/** @typedef {import("../lib/types.js").Fit} Fit */

const RATIOS = { "1:1": 1, "4:3": 4 / 3, "3:4": 3 / 4, "3:2": 3 / 2, "2:3": 2 / 3, "16:9": 16 / 9, "9:16": 9 / 16 };
const CUSTOM = "Other";
const VERDICTS = {
  fits: { words: "fits", tone: "good", long: "fits in memory" },
  tight: { words: "tight", tone: "warn", long: "is tight in memory; close other programs" },
  swaps: { words: "will swap", tone: "bad", long: "does not fit in memory and will swap" },
};

const JUDGE_AFTER_MS = 300; // not every half of a number that is being typed
let judging = 0;
/** @type {Fit[]} */
let fits = [];
let model = "";
let shownFor = ""; // the model whose sizes are shown: another one is chosen before its own have arrived
/** @type {Promise<void>} */
let arriving = Promise.resolve();
let aspect = "1:1";
let chosenFor = remembered("size-model", ""); // the model that the chosen size is meant for; "": any
/** @type {{width: number, height: number} | null} */
let chosen = null;
let choices = 0; // made by the user on this page
/** @type {() => void} */
let changed = () => {};

/** @param {{width: number, height: number}} size */
function aspectOf({ width, height }) {
  const distance = (/** @type {number} */ ratio) => Math.abs(Math.log(width / height / ratio));
  return Object.entries(RATIOS).reduce((best, entry) => (distance(entry[1]) < distance(best[1]) ? entry : best))[0];
}

const levels = () =>
  fits.filter((fit) => aspectOf(fit) === aspect).sort((a, b) => a.width * a.height - b.width * b.height);

/** @param {{width: number, height: number}} a @param {{width: number, height: number} | null} b */
const same = (a, b) => b !== null && a.width === b.width && a.height === b.height;

const widthField = () => /** @type {HTMLInputElement} */ (byId("width"));
const heightField = () => /** @type {HTMLInputElement} */ (byId("height"));

/** @returns {{width: number, height: number} | null} null when the typed size cannot be drawn */
export function chosenSize() {
  if (aspect !== CUSTOM) return chosen;
  const size = { width: Number(widthField().value), height: Number(heightField().value) };
  return isSide(size.width) && isSide(size.height) ? size : null;
}

/** Whether the size is typed, and so may be one that cannot be drawn. */
export const isTypedSize = () => aspect === CUSTOM;

/** @returns {Fit | undefined} what the server knows of the chosen size */
export function chosenFit() {
  const size = chosenSize();
  return fits.find((fit) => same(fit, size)) ?? (size ? typedFits.get(typedKey(size)) : undefined);
}

/**
 * @param {number} width
 * @param {number} height
 * @param {string} [forModel]  keep it when this model's sizes arrive, even if it is not among them
 */
export function chooseSize(width, height, forModel = model) {
  chosen = { width, height };
  chosenFor = forModel;
  remember("size-model", forModel);
  aspect = fits.some((fit) => same(fit, chosen)) ? aspectOf(chosen) : CUSTOM;
  widthField().value = String(width);
  heightField().value = String(height);
  show();
}

/** The largest listed size that is smaller and fits. @returns {boolean} whether there was one */
export function chooseSmaller() {
  const size = chosenSize();
  if (!size) return false;
  const area = size.width * size.height;
  const smaller = fits.filter((fit) => fit.verdict === "fits" && fit.width * fit.height < area);
  const best = smaller.sort((a, b) => b.width * b.height - a.width * a.height)[0];
  if (best) chooseSize(best.width, best.height);
  return Boolean(best);
}

/** @param {{width: number, height: number}} size */
const typedKey = (size) => fitKey(model, size);

/** Say how a typed size fits this machine; asks the server a moment after the last key. */
function judgeTyped() {
  clearTimeout(judging);
  const size = isTypedSize() ? chosenSize() : null;
  const fit = size ? chosenFit() : undefined;
  const line = byId("size-verdict");
  if (isTypedSize() && !size) return tellNearest(line);
  const shows = size ? typedKey(size) : "";
  if (!size || line.dataset.shows !== shows) line.hidden = true;
  if (fit && (line.hidden || line.dataset.verdict !== fit.verdict)) {
    line.dataset.shows = shows;
    line.dataset.verdict = fit.verdict;
    line.hidden = false;
    fill(byId("size-verdict-words"), ...verdictWords(fit));
  }
  tellTypedTime();
  if (!fit && size && model) judging = window.setTimeout(() => askForVerdict(size), JUDGE_AFTER_MS);
}

/** A typed size that cannot be drawn: which can. @param {HTMLElement} line */
function tellNearest(line) {
  if (line.dataset.shows !== "") line.hidden = true;
  line.dataset.shows = "";
  byId("size-time").textContent = "";
  judging = window.setTimeout(() => {
    const sides = [widthField(), heightField()].map(({ value }) => nearestSide(Number(value)));
    const [width, height] = sides;
    const use = button({ class: "button small", on: { click: () => chooseSize(width, height) } }, `Use ${formatSize(width, height)}`);
    line.dataset.verdict = "";
    line.hidden = false;
    fill(byId("size-verdict-words"), "Sides are multiples of 16, from 64 to 2048. ", use);
  }, JUDGE_AFTER_MS);
}

/** @param {{width: number, height: number}} size */
async function askForVerdict(size) {
  const key = typedKey(size);
  try {
    typedFits.set(key, await getFit(model, size));
    publish("sizes");
  } catch (error) {
    console.info("How this size fits is not known:", error);
    return;
  }
  const now = chosenSize();
  if (!now || typedKey(now) !== key) return; // another one was typed meanwhile
  judgeTyped();
  changed();
}

/** @param {Fit} fit */
function verdictWords({ verdict, peak_bytes: peak }) {
  const { words, tone } = VERDICTS[verdict];
  const remedy = verdict === "fits" ? "" : verdict === "tight" ? "; close other programs" : "; choose a smaller size";
  return [
    el("span", { class: "mark", data: { tone } }, words),
    `: ${formatBytes(peak)} at its peak${remedy}`,
  ];
}

/** @param {string} name */
function aspectShape(name) {
  const shape = el("i");
  const ratio = RATIOS[/** @type {keyof typeof RATIOS} */ (name)] ?? 1;
  const side = 1.05;
  shape.style.width = `${Math.min(side, side * ratio)}rem`;
  shape.style.height = `${Math.min(side, side / ratio)}rem`;
  if (name === CUSTOM) shape.style.borderStyle = "dashed";
  return el("span", { class: "aspect-shape", "aria-hidden": "true" }, shape);
}

/** @param {string} name */
function aspectChoice(name) {
  const radio = el("input", { type: "radio", name: "aspect", value: name, checked: name === aspect });
  return el("label", {}, radio, aspectShape(name), el("span", {}, name));
}

/** @param {Fit} fit */
function level(fit) {
  const verdict = VERDICTS[fit.verdict];
  const value = `${fit.width}x${fit.height}`;
  const radio = el("input", { type: "radio", name: "size", value, checked: same(fit, chosen) });
  const title = `Needs ${formatBytes(fit.peak_bytes)} at its peak and ${verdict.long}.`;
  return el(
    "label",
    { class: "level numeric", title },
    radio,
    el("span", { class: "level-size" }, formatSize(fit.width, fit.height)),
    el("span", { class: "muted level-bytes" }, formatBytes(fit.peak_bytes)),
    el("span", { class: "mark", data: { tone: verdict.tone } }, verdict.words),
  );
}

function show() {
  const focused = document.activeElement instanceof HTMLInputElement ? document.activeElement : null;
  const present = Object.keys(RATIOS).filter((name) => fits.some((fit) => aspectOf(fit) === name));
  byId("aspects").replaceChildren(...[...present, CUSTOM].map(aspectChoice));
  byId("levels").replaceChildren(...levels().map(level));
  byId("levels").classList.toggle("several", levels().length > 1);
  byId("levels-field").hidden = aspect === CUSTOM;
  byId("custom-size").hidden = aspect !== CUSTOM;
  if (focused?.name === "aspect" || focused?.name === "size") refocus(focused.name);
  warnOfOtherSizes();
  judgeTyped();
  if (chosenSize()) remember("size", chosenSize()); // not a number half typed
  changed();
}

/** @param {string} name  the group whose radio had the focus before the choices were drawn anew */
function refocus(name) {
  /** @type {HTMLInputElement | null} */ (document.querySelector(`[name=${name}]:checked`))?.focus();
}

/** @param {string} name */
function chooseAspect(name) {
  const area = chosen ? chosen.width * chosen.height : 0;
  aspect = name;
  if (name === CUSTOM) {
    widthField().value ||= String(chosen?.width ?? 512);
    heightField().value ||= String(chosen?.height ?? 512);
  } else {
    const distance = (/** @type {Fit} */ fit) => Math.abs(fit.width * fit.height - area);
    const { width, height } = levels().reduce((best, fit) => (distance(fit) < distance(best) ? fit : best));
    chosen = { width, height }; // not the whole of it: a request takes no verdict
  }
  show();
}

/**
 * The words beside "Size": the learned time of the chosen size, with as many steps as are asked for.
 * @returns {string}
 */
export function sizeHint() {
  const { seconds, seconds_per_step: perStep } = chosenFit() ?? {};
  const steps = Number(/** @type {HTMLInputElement} */ (byId("steps")).value);
  const more = steps >= 1 ? steps - (state.models.get(model)?.recommended_steps ?? steps) : 0;
  return seconds ? `about ${formatSeconds(seconds + more * (perStep ?? 0))} here` : "";
}

/** The same beside a typed size's verdict, but not read out: another time is learned with every picture. */
export function tellTypedTime() {
  const words = isTypedSize() ? sizeHint() : "";
  byId("size-time").textContent = words && `; ${words}`;
}

/** Say so where a model was taught one size and another one is typed. */
function warnOfOtherSizes() {
  const note = byId("size-note");
  note.hidden = fits.length !== 1 || same(fits[0], chosenSize());
  if (note.hidden) return;
  const only = formatSize(fits[0].width, fits[0].height);
  const words = `This model was taught ${only} only; others come out cut or repeated.`;
  if (note.textContent !== words) note.textContent = words;
}

/**
 * Show the sizes of a model. The chosen size stays if this model has it, or if it was chosen for this model.
 * @param {string} name
 * @param {[number, number]} recommended
 * @param {boolean} [again]  ask the server even if the answer is known: free memory and learned times change
 */
export function loadSizes(name, recommended, again = false) {
  arriving = load(name, recommended, again);
  return arriving;
}

/** @param {string} name @param {[number, number]} recommended @param {boolean} again */
async function load(name, recommended, again) {
  model = name;
  const before = choices;
  if (again || !listedFits.has(name)) {
    const { sizes } = await getSizes(name);
    listedFits.set(name, sizes);
    typedFits.clear(); // free memory and learned times have changed for these as well
    publish("sizes");
  }
  if (model !== name) return; // another model was chosen meanwhile
  fits = listedFits.get(name) ?? [];
  shownFor = name;
  if (aspect === CUSTOM && (again || choices !== before)) return keepTyped();
  const kept = chosenSize() ?? remembered("size", null);
  const keep = kept && (isMeantFor(name) || fits.some((fit) => same(fit, kept)));
  if (keep) chooseSize(kept.width, kept.height);
  else chooseSize(...recommended);
}

/** Until the size that is chosen is meant for the chosen model, which may have none of the last one's. */
export const sizesOfModel = () => (shownFor && shownFor !== model ? arriving.catch(() => {}) : undefined);

/** What is being typed while sizes arrive stays as it is, for the model that it is typed for. */
function keepTyped() {
  chosenFor = model;
  remember("size-model", model);
  show();
}

/** Whether the chosen size is meant for this model: those that stand in for others draw small. @param {string} name */
const isMeantFor = (name) => chosenFor === "" || isStandIn(chosenFor) === isStandIn(name);

/** @param {() => void} onChange */
export function startSizes(onChange) {
  changed = onChange;
  byId("aspects").addEventListener("change", (event) => {
    choices += 1;
    chooseAspect(/** @type {HTMLInputElement} */ (event.target).value);
  });
  byId("levels").addEventListener("change", (event) => {
    choices += 1;
    const [width, height] = /** @type {HTMLInputElement} */ (event.target).value.split("x").map(Number);
    chooseSize(width, height);
  });
  for (const field of [widthField(), heightField()]) {
    field.addEventListener("input", () => {
      choices += 1;
      if (chosenSize()) remember("size", chosenSize());
      warnOfOtherSizes();
      judgeTyped();
      changed();
    });
  }
}
