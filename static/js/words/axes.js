// Several values at once: {red|blue} in the prompt, and up to two lists, drawn as one labelled grid. What that would be is
// asked of the server while it is typed, and told before anything is drawn.

import { ApiError, planGrid } from "../lib/api.js";
import { PUBLISHED } from "../lib/catalog.js";
import { bringIntoSight, byId, el } from "../lib/dom.js";
import { formatSeconds, plural } from "../lib/format.js";
import { remember, remembered } from "../lib/storage.js";
import { sentenceOf } from "./sentences.js";
import { labelTool, startTool } from "./tools.js";

const ADAPTER = "lora:"; // and its name: an axis over its strengths
/** @type {Record<string, string>} */
const HINTS = { seed: "1..4 or 7, 21, 99", steps: "1, 2, 4", style: "Comic, Ink wash", strength: "0.3, 0.6, 0.9" };
HINTS[ADAPTER] = "0, 0.5, 1";
HINTS.model = PUBLISHED.map(({ name }) => name).join(", ");
/** @type {Record<string, string>} */
const KINDS = { seed: "seeds", steps: "steps", style: "styles", strength: "strengths", model: "models", [ADAPTER]: "strengths" };
const PLACES = [1, 2];
const WAIT_MS = 400;
const MOST = 1000;

/** @typedef {{name: string, values: (string | number)[]}} Axis */

let timer = 0;
let asked = 0;
/** @type {() => Record<string, unknown>} */
let request = () => ({});
/** @type {(text: string) => void}  what is wrong with the braces is said under them */
let promptProblem = () => undefined;

/** @param {string} text  as it is typed @param {string} name @returns {(string | number)[]} */
export function parseValues(text, name) {
  const parts = text.split(",").map((part) => part.trim());
  if (name === "style" || name === "model") return parts.filter((part, index) => part || (name === "style" && index < parts.length - 1));
  return parts.filter(Boolean).flatMap((part) => {
    const range = /^(\d+)\.\.(\d+)$/.exec(part);
    if (!range) return [Number(part)];
    const [first, last] = [Number(range[1]), Number(range[2])];
    return Array.from({ length: Math.min(MOST + 1, Math.max(0, last - first + 1)) }, (_, index) => first + index);
  });
}

/** @param {string} prompt  whether it may hold alternatives, closed or not; the server knows for certain */
export const mayHoldAlternatives = (prompt) => /\{[^]*\|/.test(prompt);

/** @param {number} place */
const select = (place) => /** @type {HTMLSelectElement} */ (byId(`axis-${place}`));
/** @param {number} place */
const input = (place) => /** @type {HTMLInputElement} */ (byId(`axis-${place}-values`));

/** @returns {Axis[]} as they stand in the form */
const typedAxes = () =>
  PLACES.map((place) => ({ name: select(place).value, values: parseValues(input(place).value, select(place).value) })).filter(
    (axis) => axis.name && axis.values.length,
  );

/** @param {string} adapter @param {string | number} strength  at 0 it is left out */
const inUse = (adapter, strength) => (strength === 0 ? "" : `${adapter}=${strength}`);

/** @returns {Axis[]} as the server takes them */
const chosenAxes = () =>
  typedAxes().map(({ name, values }) => {
    if (!name.startsWith(ADAPTER)) return { name, values };
    return { name: "lora", values: values.map((value) => inUse(name.slice(ADAPTER.length), value)) };
  });

/** Adapters whose strengths a list says, whatever their sliders say. */
export const listedAdapters = () =>
  typedAxes().flatMap(({ name }) => (name.startsWith(ADAPTER) ? [name.slice(ADAPTER.length)] : []));

/** The adapters that the chosen model takes: an axis for the strengths of each. @param {string[]} names */
export function offerAdapters(names) {
  for (const place of PLACES) {
    select(place).querySelectorAll(`[value^="${ADAPTER}"]`).forEach((option) => option.remove());
    select(place).append(...names.map((name) => el("option", { value: ADAPTER + name }, `strengths of ${name}`)));
    show(place);
  }
  axesChanged();
}

/**
 * The lists that a request is drawn over, with consecutive seeds where several pictures of each are asked for; null where
 * it is no grid.
 * @param {{prompt?: unknown, seed?: unknown}} asked
 * @param {number} count
 * @returns {Axis[] | null}
 */
export function axesOf({ prompt, seed }, count) {
  const axes = chosenAxes();
  if (!axes.length && !mayHoldAlternatives(String(prompt))) return null;
  if (count === 1 || axes.some(({ name }) => name === "seed")) return axes;
  return [...axes, { name: "seed", values: Array.from({ length: count }, (_, index) => (Number(seed) + index) % 2 ** 32) }];
}

/** Whether a refusal says that the braces of a prompt without lists are no alternatives. @param {unknown} error */
const isNoGrid = (error) => error instanceof ApiError && error.field === "axes" && !chosenAxes().length;

/** Whether it is a grid; ApiError for what else is wrong with it. @param {Record<string, unknown>} body */
export async function isGrid(body) {
  if (chosenAxes().length) return true;
  const { count: _count, compare: _compare, ...picture } = body;
  try {
    await planGrid({ ...picture, axes: [] });
    return true;
  } catch (error) {
    if (isNoGrid(error)) return false;
    throw error;
  }
}

/** @param {string} text  what is wrong with the values; empty: nothing */
export function axesProblem(text) {
  byId("axes-error").textContent = text;
  byId("axes-error").hidden = !text;
}

/** To the lists and what is said of them: to the first that cannot be read, if there is one. */
export function leadToAxes() {
  if (byId("axes").hidden) byId("axes-toggle").click();
  const wrong = PLACES.find((place) => misread(input(place).value, select(place).value));
  (wrong ? input(wrong) : select(1)).focus();
  bringIntoSight(byId("axes-error"));
}

/** @param {string} text  as it is typed @param {string} name @returns {string} how to write it, where it cannot be read */
export function misread(text, name) {
  if (!name || !text.trim()) return "";
  const values = parseValues(text, name);
  if (values.length && !values.some(Number.isNaN)) return "";
  const kind = name.startsWith(ADAPTER) ? ADAPTER : name;
  return `Write ${KINDS[kind]} like ${HINTS[kind]}.`;
}

/** Whether every list can be read; says how to write the first that cannot. */
export function axesReadable() {
  const wrong = PLACES.map((place) => misread(input(place).value, select(place).value)).find(Boolean) ?? "";
  axesProblem(wrong);
  return !wrong;
}

/** @param {string} text */
function tell(text) {
  const line = byId("axes-summary");
  if (line.textContent !== text) line.textContent = text;
  line.hidden = !text;
  labelTool("axes", "Several values", Boolean(text));
}

/** @param {{count: number, columns: string[], rows: string[], seconds: number | null}} plan */
function planWords({ count, columns, rows, seconds }) {
  const shape = rows.length > 1 ? `, ${columns.length} × ${rows.length}` : "";
  return `${plural(count, "picture")}${shape}${seconds ? `, about ${formatSeconds(seconds)}` : ""}`;
}

async function ask() {
  const mine = ++asked;
  const { count, ...body } = request();
  const axes = axesOf(body, Number(count));
  if (!axesReadable() || !axes) return tell("");
  try {
    const plan = await planGrid({ ...body, axes });
    if (mine !== asked) return;
    tell(plan.fits ? planWords(plan) : `${plural(plan.count, "picture")}: too many`);
    axesProblem(plan.message ?? "");
  } catch (error) {
    if (mine !== asked) return;
    if (!(error instanceof ApiError)) throw error;
    tell("");
    if (error.field === "prompt") promptProblem(sentenceOf(error));
    else if (!isNoGrid(error)) axesProblem(sentenceOf(error));
  }
}

/** Ask what would be drawn, a moment after the last change. */
export function axesChanged() {
  clearTimeout(timer);
  timer = window.setTimeout(ask, WAIT_MS);
}

/** @param {number} place */
function hint(place) {
  const name = select(place).value;
  input(place).placeholder = HINTS[name.startsWith(ADAPTER) ? ADAPTER : name] ?? "";
  input(place).disabled = !name;
}

/** What was chosen before, as far as it is offered. @param {number} place */
function show(place) {
  const { name, values } = remembered(`axis-${place}`, { name: "", values: "" });
  const offered = [...select(place).options].some((option) => option.value === name);
  select(place).value = offered ? name : "";
  input(place).value = offered ? values : "";
  hint(place);
}

/** @param {number} place */
function follow(place) {
  const keep = () => {
    hint(place);
    remember(`axis-${place}`, { name: select(place).value, values: input(place).value });
    axesChanged();
  };
  show(place);
  select(place).addEventListener("change", keep);
  input(place).addEventListener("input", keep);
}

/**
 * @param {() => Record<string, unknown>} readRequest  what one picture would be asked for with, and `count`
 * @param {(text: string) => void} onPromptProblem
 */
export function startAxes(readRequest, onPromptProblem) {
  request = readRequest;
  promptProblem = onPromptProblem;
  PLACES.forEach(follow);
  startTool("axes", () => select(1).focus());
  axesChanged();
}
