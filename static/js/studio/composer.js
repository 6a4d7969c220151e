// The form: what is typed and chosen in it is kept, told of and filled from a recipe. request.js reads it, sending.js sends it.

import { getJob } from "../lib/api.js";
import { known } from "../lib/catalog.js";
import { byId, el, isComposing } from "../lib/dom.js";
import { formatSize, plural } from "../lib/format.js";
import { isSide, isWhole, MAX_SEED, MAX_STEPS } from "../lib/limits.js";
import { remember, remembered } from "../lib/storage.js";
import { putRun, state, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";
import { offerWays } from "../editor/editor.js";
import { axesChanged, startAxes } from "../words/axes.js";
import { keepPrompt, startHistory } from "../words/history.js";
import { chooseStyles, inStyles, startStyles, styledBy } from "../words/styles.js";
import { startTool } from "../words/tools.js";
import { replacedBy, writtenOn, wrote } from "../words/written.js";
import { showAdapters, useAdapters } from "./adapters.js";
import { showChance, startChance, useChance } from "./chance.js";
import { showExamples } from "./examples.js";
import { showGuidance, startGuidance, useGuidance } from "./guidance.js";
import { chooseModel, chosenModel, startModelChoice } from "./model-choice.js";
import { checkNumbers, draft, modelInUse, submit } from "./request.js";
import { nextSeed, seedText, setSeed, spendSeed, startSeed } from "./seed.js";
import { editedNow, problem, send, tellOfWaiting } from "./sending.js";
import { chooseSize, chosenSize, loadSizes, sizeHint, startSizes, tellTypedTime } from "./sizes.js";

/** @typedef {import("../lib/types.js").Recipe} Recipe */

const prompt = /** @type {HTMLTextAreaElement} */ (byId("prompt"));
const steps = /** @type {HTMLInputElement} */ (byId("steps"));
const count = /** @type {HTMLSelectElement} */ (byId("count"));

let recommendedSteps = 0; // of the model that draws, once it is known

function autosize() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}

/** @param {string} text */
function setPrompt(text) {
  prompt.value = text;
  replacedBy(text);
  remember("prompt", text);
  autosize();
  problem("prompt", "");
  promptChanged();
}

// No more than is read, whatever the language: a token has a byte at least. Models that are part of the program read
// little.
const SURE_BYTES = 400;
const SURE_BYTES_OF_EMBEDDED = 32;

/** Whether the prompt may be longer than the model reads: styles put any number of words around it. */
function mayBeLong() {
  if (!prompt.value.trim() || state.models.get(modelInUse())?.state !== "ready") return false;
  const sure = known(modelInUse())?.embedded ? SURE_BYTES_OF_EMBEDDED : SURE_BYTES;
  return Boolean(inStyles().styles) || new TextEncoder().encode(prompt.value).length > sure;
}

/** What is told of the prompt while it is typed, put into styles, or given to another model. */
function promptChanged() {
  axesChanged();
  const long = mayBeLong();
  if (!long && byId("prompt-length").hidden) return;
  const request = { prompt: prompt.value, model: modelInUse() || undefined, ...inStyles() };
  import("../words/prompt-length.js").then(
    ({ measureSoon, measureNothing }) => (long ? measureSoon(request) : measureNothing()),
    toastError,
  );
}

/** A pipeline that is carried out: its steps take the stage one after the other. @param {import("../lib/types.js").Run} run @param {number} seed */
async function ranPipeline(run, seed) {
  spendSeed(seed);
  if (prompt.value.trim()) keepPrompt(prompt.value);
  const { awaitRun } = await import("../stage/run.js");
  awaitRun(run.group);
  if (run.jobs.length) tellOfWaiting([await getJob(run.jobs[0])]);
  putRun(run);
}

/** One of the six that an empty studio offers: drawn live, by what can draw here. @param {Recipe} picture */
export async function drawFirst({ prompt: words, seed }) {
  const model = state.models.get(chosenModel());
  setPrompt(String(words));
  setSeed(Number(seed));
  const [width, height] = model?.recommended_size ?? [256, 256];
  await send({ prompt: words, seed, width, height, steps: model?.recommended_steps, model: model?.name });
}

/** @param {Recipe} recipe  fill the form; what the recipe does not say stays */
export function applyRecipe(recipe) {
  if (!recipe.unconditional) applyWords(recipe);
  if (recipe.model !== undefined) chooseModel(recipe.model);
  // what a whole recipe does not name was not used: adapters, guidance, chance
  const { whole = recipe.model !== undefined && recipe.seed !== undefined } = recipe;
  if (recipe.loras || whole) useAdapters(recipe.loras ?? []);
  useGuidance(recipe, whole);
  useChance(recipe, whole);
  if (isWhole(recipe.steps, 1, MAX_STEPS)) setSteps(Number(recipe.steps));
  if (isWhole(recipe.seed, 0, MAX_SEED)) {
    setSeed(Number(recipe.seed)); // for the next picture; the lock is the user's
  }
  if (isSide(recipe.width) && isSide(recipe.height)) {
    chooseSize(Number(recipe.width), Number(recipe.height), recipe.model ?? modelInUse());
  }
  summarise();
}

/** The words as they were typed, in the styles that they were put into. @param {Recipe} recipe */
function applyWords({ prompt: drawn, typed, styled, styles = [] }) {
  const asTyped = styles.length ? (typed ?? drawn) : drawn;
  if (asTyped !== undefined) setPrompt(asTyped);
  if (!styles.length && typed && drawn) wrote(typed, drawn);
  if (drawn !== undefined || styles.length) chooseStyles(styles);
  const meant = typed ? drawn : styled;
  if (styles.length && asTyped && meant) keepMeaning(styles, asTyped, meant).catch(toastError);
}

/** A style may be gone, or say something else by now: then the words that were drawn are taken. @param {string[]} styles @param {string} typed @param {string} drawn */
async function keepMeaning(styles, typed, drawn) {
  if ((await styledBy(styles, typed)) === drawn || prompt.value !== typed) return;
  setPrompt(drawn);
  wrote(typed, drawn);
  chooseStyles([]);
  toast(`The style ${styles.join(", ")} is not what it was; the words that were drawn are in the prompt.`);
}

/** @param {number} value */
function setSteps(value) {
  steps.value = String(value);
  remember("steps", value);
}

function summarise() {
  axesChanged();
  const size = chosenSize();
  const parts = [
    size ? formatSize(size.width, size.height) : "size?",
    plural(Number(steps.value), "step"),
    `seed ${seedText()}`,
  ];
  byId("settings-summary").textContent = parts.join(" · ");
  byId("levels-field")
    .querySelector("legend")
    ?.replaceChildren("Size ", el("span", { class: "hint numeric" }, sizeHint()));
  tellTypedTime();
}

async function modelChanged() {
  const model = state.models.get(chosenModel());
  if (!model) return;
  showExamples(model.embedded, (text) => {
    setPrompt(text);
    prompt.focus();
  });
  showAdapters(model.name);
  showGuidance(model.name);
  showChance(model.name);
  offerWays(model.family === "bits");
  promptChanged();
  // who has left the steps at what the last model was made for means what this one was made for
  if (recommendedSteps && Number(steps.value) === recommendedSteps) setSteps(model.recommended_steps);
  recommendedSteps = model.recommended_steps;
  byId("steps-hint").textContent = `${plural(model.recommended_steps, "step")} recommended`;
  try {
    await loadSizes(model.name, model.recommended_size);
  } catch (error) {
    chooseSize(...model.recommended_size);
    console.info("The sizes of this model are not known:", error);
  }
}

function refreshSizes() {
  const model = state.models.get(chosenModel());
  if (model)
    loadSizes(model.name, model.recommended_size, true).catch((error) =>
      console.info("Sizes stay as they were:", error),
    );
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  if (isComposing(event) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  submit("generate");
}

export function startComposer() {
  const mac = navigator.platform.startsWith("Mac");
  byId("generate-key").textContent = mac ? "⌘ ⏎" : "Ctrl ⏎";
  startStyles(promptChanged);
  startAxes(draft, (text) => problem("prompt", text));
  startTool("write", async () => {
    const { openWriter } = await import("../words/writer.js");
    openWriter({ read: () => prompt.value, write: setPrompt, model: modelInUse });
  });
  startTool("pipelines", async () => {
    const { openPipelines } = await import("../words/pipelines.js");
    await openPipelines({ words: () => prompt.value, seed: nextSeed, ran: ranPipeline, problem: (text) => problem("prompt", text) });
  });
  startTool("prompts", async () => {
    const { showPrompts } = await import("../words/prompts.js");
    showPrompts({ read: () => prompt.value, write: (text) => (setPrompt(text), prompt.focus()) });
  });
  startGuidance();
  startChance();
  setPrompt(remembered("prompt", ""));
  prompt.dataset.known = ""; // until now the stylesheet went by what theme-early.js found
  steps.value = String(remembered("steps", 4));
  count.value = String(remembered("count", 1));
  startHistory(prompt, setPrompt);
  startSeed();
  startSizes(summarise);
  startModelChoice(modelChanged);
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit("generate");
  });
  byId("compare").addEventListener("click", () => submit("compare"));
  prompt.addEventListener("input", () => (writtenOn(prompt.value), setPrompt(prompt.value)));
  steps.addEventListener("input", () => (remember("steps", steps.value), summarise()));
  count.addEventListener("change", () => (remember("count", Number(count.value)), axesChanged()));
  byId("seed").addEventListener("input", summarise);
  for (const field of [byId("seed"), steps]) field.addEventListener("change", checkNumbers);
  document.addEventListener("keydown", onKey);
  subscribe("image", ({ isNew }) => isNew && refreshSizes());
  subscribe("edited", () => (axesChanged(), editedNow()));
  addEventListener("resize", autosize);
}
