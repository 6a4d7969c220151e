// Several values at once: {red|blue} in the prompt, and up to two lists, drawn as one labelled grid. What that would be is
// asked of the server while it is typed, and told before anything is drawn.

import { ApiError, planGrid } from "../lib/api.js";
import { byId, el } from "../lib/dom.js";
import { formatSeconds, plural } from "../lib/format.js";
import { remember, remembered } from "../lib/storage.js";

const AXES = { "": "nothing", seed: "seeds", steps: "steps", model: "models", style: "styles" };
const HINTS = { "": "", seed: "1..4 or 7, 21, 99", steps: "1, 2, 4", model: "ternary, binary", style: "Comic, Ink wash" };
const WAIT_MS = 400;
const MOST = 1000;

/** @typedef {{name: string, values: (string | number)[]}} Axis */

let timer = 0;
let asked = 0;
/** @type {() => Record<string, unknown>} */
let request = () => ({});

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

/** @param {string} prompt  whether it may hold alternatives; the server knows for certain */
export const mayHoldAlternatives = (prompt) => /\{[^]*\|[^]*\}/.test(prompt);

/** @param {number} place */
const select = (place) => /** @type {HTMLSelectElement} */ (byId(`axis-${place}`));
/** @param {number} place */
const input = (place) => /** @type {HTMLInputElement} */ (byId(`axis-${place}-values`));

/** @returns {Axis[]} */
export function chosenAxes() {
  return [1, 2]
    .map((place) => ({ name: select(place).value, values: parseValues(input(place).value, select(place).value) }))
    .filter((axis) => axis.name && axis.values.length);
}

/** @param {string} text  what is wrong with the values; empty: nothing */
export function axesProblem(text) {
  byId("axes-error").textContent = text;
  byId("axes-error").hidden = !text;
  if (text) byId("axes").setAttribute("open", "");
}

/** @param {string} text */
function tell(text) {
  byId("axes-summary").textContent = text || "off";
}

/** @param {{count: number, columns: string[], rows: string[], seconds: number | null, message: string | null}} plan */
function planWords({ count, columns, rows, seconds, message }) {
  if (message) return message;
  const shape = rows.length > 1 ? `, ${columns.length} across and ${rows.length} down` : "";
  return `${plural(count, "picture")}${shape}${seconds ? `, about ${formatSeconds(seconds)}` : ""}`;
}

async function ask() {
  const mine = ++asked;
  const body = request();
  const axes = chosenAxes();
  axesProblem("");
  if (!axes.length && !mayHoldAlternatives(String(body.prompt ?? ""))) return tell("");
  try {
    const plan = await planGrid({ ...body, axes });
    if (mine !== asked) return;
    tell(plan.fits ? planWords(plan) : `${plural(plan.count, "picture")}: too many`);
    axesProblem(plan.message ?? "");
  } catch (error) {
    if (mine !== asked) return;
    if (!(error instanceof ApiError)) throw error;
    tell("");
    const nothing = !axes.length && error.field === "axes"; // braces that are no alternatives
    if (!nothing) axesProblem([error.message, error.remedy].filter(Boolean).join(" "));
  }
}

/** Ask what would be drawn, a moment after the last change. */
export function axesChanged() {
  clearTimeout(timer);
  timer = window.setTimeout(ask, WAIT_MS);
}

/** @param {number} place */
function row(place) {
  const kept = remembered(`axis-${place}`, { name: "", values: "" });
  const options = Object.entries(AXES).map(([name, label]) => el("option", { value: name, selected: name === kept.name }, label));
  const named = place === 1 ? "Across" : "Down";
  const keep = () => {
    input(place).placeholder = HINTS[/** @type {keyof typeof HINTS} */ (select(place).value)];
    input(place).disabled = !select(place).value;
    remember(`axis-${place}`, { name: select(place).value, values: input(place).value });
    axesChanged();
  };
  return el(
    "div",
    { class: "axis" },
    el("label", { class: "label", for: `axis-${place}` }, named),
    el("select", { class: "input", id: `axis-${place}`, on: { change: keep } }, ...options),
    el("input", {
      class: "input",
      id: `axis-${place}-values`,
      "aria-label": `Values, ${named.toLowerCase()}`,
      value: kept.values,
      placeholder: HINTS[/** @type {keyof typeof HINTS} */ (kept.name)] ?? "",
      disabled: !kept.name,
      on: { input: keep },
    }),
  );
}

/**
 * @param {HTMLElement} place
 * @param {() => Record<string, unknown>} readRequest  what one picture would be asked for with
 */
export function startAxes(place, readRequest) {
  request = readRequest;
  place.append(
    el(
      "details",
      { class: "fold tool", id: "axes" },
      el(
        "summary",
        {},
        el("span", { class: "label" }, "Several values"),
        el("span", { class: "hint", id: "axes-summary", role: "status" }, "off"),
      ),
      row(1),
      row(2),
      el("p", { class: "hint" }, "One picture for each, as a labelled grid. In the prompt, {red|blue} does the same."),
    ),
    el("p", { class: "field-error", id: "axes-error", role: "alert", hidden: true }),
  );
  axesChanged();
}
