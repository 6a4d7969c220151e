// The form: reads it, checks it, fills it from a recipe, sends it, and says what the server refused.

import { ApiError, createGrid, createJobs, getJob } from "../lib/api.js";
import { isStandIn, known } from "../lib/catalog.js";
import { byId, button, el, fill, isComposing } from "../lib/dom.js";
import { changedPicture, requestedPictures, sizesItself } from "../editor/editor.js";
import { chosenAdapters, showAdapters, useAdapters } from "./adapters.js";
import { axesChanged, axesOf, axesProblem, isGrid, startAxes } from "../words/axes.js";
import { chosenChance, isWordless, showChance, startChance, useChance } from "./chance.js";
import { showExamples } from "./examples.js";
import { formatSize, plural } from "../lib/format.js";
import { keepPrompt, startHistory } from "../words/history.js";
import { chosenGuidance, showGuidance, startGuidance, useGuidance } from "./guidance.js";
import { isSide, isWhole, MAX_SEED, MAX_STEPS } from "../lib/limits.js";
import { chooseModel, chosenModel, comparesSeedlings, startModelChoice } from "./model-choice.js";
import { nextSeed, seedText, setSeed, spendSeed, startSeed } from "./seed.js";
import { chooseSize, chosenSize, isTypedSize, loadSizes, sizeHint, startSizes } from "./sizes.js";
import { chooseStyles, inStyles, startStyles } from "../words/styles.js";
import { startTool } from "../words/tools.js";
import { replacedBy, typedBefore, writtenOn, wrote } from "../words/written.js";
import { showInTurn } from "../stage/stage.js";
import { remember, remembered } from "../lib/storage.js";
import { putRun, state, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Recipe} Recipe */

const prompt = /** @type {HTMLTextAreaElement} */ (byId("prompt"));
const steps = /** @type {HTMLInputElement} */ (byId("steps"));
const count = /** @type {HTMLSelectElement} */ (byId("count"));
const generate = /** @type {HTMLButtonElement} */ (byId("generate"));
const compare = /** @type {HTMLButtonElement} */ (byId("compare"));

const WORDLESS = "anything"; // what a picture is called that was drawn without words

let waitTimer = 0;
let sending = false;
let recommendedSteps = 0; // of the model that draws, once it is known
let gathering = false; // what goes into the picture: sending it may take a moment

/** Not `disabled`: a button that is disabled under the user's finger loses the focus. @param {boolean} value */
function setSending(value) {
  sending = value;
  for (const button of [generate, compare]) button.setAttribute("aria-disabled", String(value));
}

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

/** What is told of the prompt while it is typed. */
function promptChanged() {
  axesChanged();
  const sure = known(modelInUse())?.embedded ? SURE_BYTES_OF_EMBEDDED : SURE_BYTES;
  const long = new TextEncoder().encode(prompt.value).length > sure;
  if (!long && byId("prompt-length").hidden) return;
  const request = { prompt: prompt.value, model: modelInUse() || undefined, ...inStyles() };
  import("../words/prompt-length.js").then(
    ({ measureSoon, measureNothing }) => (long ? measureSoon(request) : measureNothing()),
    toastError,
  );
}

/**
 * Say what is wrong with a field, below it and to screen readers; an empty text takes it back.
 * @param {"prompt" | "seed" | "steps" | "size" | "guidance" | "temperature"} name
 * @param {string} text
 */
function problem(name, text) {
  byId(`${name}-error`).textContent = text;
  byId(`${name}-error`).hidden = !text;
  const field = document.getElementById(name);
  if (text) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
}

/** Seed and steps: as soon as one leaves the field, and before anything is drawn. */
function checkNumbers() {
  const seed = seedText().trim() === "" ? NaN : Number(seedText());
  problem("seed", isWhole(seed, 0, MAX_SEED) ? "" : `A whole number from 0 to ${MAX_SEED}.`);
  problem("steps", isWhole(Number(steps.value), 1, MAX_STEPS) ? "" : `A whole number from 1 to ${MAX_STEPS}.`);
}

/**
 * What the form asks for, or null after saying what is wrong and taking the user there.
 * @param {"generate" | "compare"} how  a comparison is of words
 * @returns {Record<string, unknown> | null}
 */
function readForm(how) {
  // sizes still to come: the server takes the recommended one; a picture that is edited has its own
  const size = sizesItself() ? {} : (chosenSize() ?? (isTypedSize() ? null : {}));
  const seed = nextSeed();
  const model = state.models.size ? chosenModel() : undefined; // unknown yet: the server chooses
  const wordless = how === "generate" && isWordless(model ?? "");
  problem("prompt", wordless || prompt.value.trim() ? "" : "Describe the picture in a few words.");
  checkNumbers();
  for (const name of /** @type {const} */ (["guidance", "temperature"])) problem(name, ""); // the server knows their bounds
  problem("size", size ? "" : "Width and height: multiples of 16 from 64 to 2048.");
  const wrong = document.querySelector(".composer [aria-invalid=true]");
  if (wrong instanceof HTMLElement || !size) {
    if (wrong !== prompt) byId("settings").setAttribute("open", "");
    (wrong instanceof HTMLElement ? wrong : byId("width")).focus();
    return null;
  }
  const chance = how === "generate" ? chosenChance(model ?? "") : {};
  const further = { ...chosenAdapters(), ...(!wordless && inStyles()), ...chosenGuidance(model ?? ""), ...chance };
  const words = wordless ? WORDLESS : prompt.value;
  return { prompt: words, seed, steps: Number(steps.value), ...size, model, ...further };
}

/** What a grid is planned with while its values are typed: without complaints about other fields. */
const draft = () => ({
  prompt: prompt.value.trim() || "?",
  seed: Number(seedText()) || 0,
  count: Number(count.value),
  ...(isWhole(Number(steps.value), 1, MAX_STEPS) && { steps: Number(steps.value) }),
  ...(!sizesItself() && chosenSize()),
  model: modelInUse() || undefined,
  ...changedPicture(),
  ...chosenAdapters(),
  ...inStyles(),
});

/** @param {"generate" | "compare"} how */
async function submit(how) {
  if (sending || gathering) return;
  const request = readForm(how);
  if (!request) return;
  const pictures = await gathered();
  if (!pictures) return;
  Object.assign(request, pictures);
  const axes = axesOf(request, Number(count.value));
  if (axes && (await asGrid(request))) {
    if (how === "compare") {
      note("warn", "Compare draws one pair. Leave out what has several values, or press Generate.");
      return;
    }
    request.axes = axes;
  } else if (how === "compare") askForPair(request);
  else if (Number(count.value) > 1) request.count = Number(count.value);
  if (!request.axes && !request.styles && typedBefore()) request.typed = typedBefore(); // styles note what they were put around
  await send(request);
}

/** Whether it is a grid; braces that are no alternatives are drawn as they stand. @param {Record<string, unknown>} request */
async function asGrid(request) {
  gathering = true;
  try {
    if (await isGrid(request)) return true;
    request.prompt = String(request.prompt).replace(/\\([{}|\\])/g, "$1");
    return false;
  } catch (error) {
    if (error instanceof ApiError) return true; // what is wrong is said when it is asked for
    throw error;
  } finally {
    gathering = false;
  }
}

/** What the request says of pictures that go in; null when that is not to be had, which has been said. */
async function gathered() {
  gathering = true;
  try {
    return await requestedPictures();
  } catch (error) {
    toastError(error);
    return null;
  } finally {
    gathering = false;
  }
}

/**
 * The server compares the pair that is complete. If that is not the chosen kind of model, size and steps are its own.
 * @param {Record<string, unknown>} request
 */
function askForPair(request) {
  request.compare = true;
  for (const name of ["model", "guidance", "negative_prompt"]) delete request[name];
  const seedlings = comparesSeedlings();
  if (!state.models.size || seedlings === isStandIn(chosenModel())) return;
  for (const name of ["width", "height", "steps"]) delete request[name];
  toast(
    seedlings
      ? "Compared with the seedlings at their own size: not both of the models that are compared are here."
      : "Compared with Bonsai Image 4B at its recommended size.",
  );
}

/** @param {Record<string, unknown>} request */
export async function send(request) {
  if (sending) return;
  note();
  setSending(true);
  try {
    const { jobs } = await (request.axes ? createGrid(request) : createJobs(request));
    spendSeed(request.seed);
    if (!request.unconditional) keepPrompt(String(request.prompt));
    tellOfWaiting(jobs);
  } catch (error) {
    refused(error, request);
  } finally {
    if (!waitTimer) setSending(false);
  }
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

/** @param {import("../lib/types.js").Job[]} jobs  that are shown as soon as the stage is theirs */
function tellOfWaiting(jobs) {
  if (!showInTurn(jobs)) toast(`${jobs.length > 1 ? "They wait" : "It waits"} in the queue: what is being drawn goes first.`);
}

/** One of the six that an empty studio offers: drawn live, by what can draw here. @param {Recipe} picture */
export async function drawFirst({ prompt: words, seed }) {
  const model = state.models.get(chosenModel());
  setPrompt(String(words));
  setSeed(Number(seed));
  const [width, height] = model?.recommended_size ?? [256, 256];
  await send({ prompt: words, seed, width, height, steps: model?.recommended_steps, model: model?.name });
}

/** Whether an answer is awaited that will take the stage. */
export const isSending = () => sending && !waitTimer;

/** @param {unknown} error @param {Record<string, unknown>} request */
function refused(error, request) {
  if (!(error instanceof ApiError)) throw error;
  const field = error.field === "width" || error.field === "height" ? "size" : error.field;
  if (error.code === "queue_full") waitForQueue(error);
  else if (error.code === "does_not_fit") note("warn", error.message, sendAnyway(request));
  else if (error.code === "model_missing")
    note("warn", error.message, el("a", { class: "button small", href: "/model-manager" }, "Open models"));
  else if (field === "axes" || field?.startsWith("axes.")) axesProblem([error.message, error.remedy].filter(Boolean).join(" "));
  else if (field === "prompt" || field === "seed" || field === "steps" || field === "size" || field === "guidance" || field === "temperature")
    problem(field, error.message);
  else note("bad", [error.message, error.remedy].filter(Boolean).join(" "));
}

/** @param {Record<string, unknown>} request */
function sendAnyway(request) {
  return button({ class: "button small", on: { click: () => send({ ...request, force: true }) } }, "Try anyway");
}

/**
 * The line above the buttons.
 * @param {"warn" | "bad"} [tone]
 * @param {string} [text]
 * @param {HTMLElement | null} [action]
 */
function note(tone, text, action = null) {
  const box = byId("submit-note");
  box.hidden = !text;
  box.dataset.tone = tone ?? "";
  fill(box, text && el("p", {}, text), action && el("div", { class: "button-row" }, action));
}

/** @param {ApiError} error  the queue is full: count down, then let the user send again */
function waitForQueue(error) {
  let seconds = Math.max(1, Math.ceil(error.retryAfterS ?? 5));
  const countdown = el("span", { "aria-hidden": "true" }); // an alert that changed would be read out every second
  const tick = () => {
    if (seconds > 0) {
      countdown.textContent = ` You can send again in ${plural(seconds, "second")}.`;
      seconds -= 1;
      return;
    }
    clearInterval(waitTimer);
    waitTimer = 0;
    setSending(false);
    note();
  };
  waitTimer = window.setInterval(tick, 1000);
  tick();
  note("warn", `${error.message} Nothing you typed is lost.`, countdown);
}

/** @returns {string} "" while the models are not known */
const modelInUse = () => (state.models.size ? chosenModel() : "");

/** @param {Recipe} recipe  fill the form; what the recipe does not say stays */
export function applyRecipe(recipe) {
  if (recipe.prompt !== undefined && !recipe.unconditional) {
    const restyled = Boolean(recipe.styles?.length && recipe.typed);
    setPrompt((restyled && recipe.typed) || recipe.prompt);
    if (!restyled && recipe.typed) wrote(recipe.typed, recipe.prompt);
    chooseStyles((restyled && recipe.styles) || []);
  }
  if (recipe.model !== undefined) chooseModel(recipe.model);
  // a whole recipe that names no adapters was drawn without
  const whole = recipe.model !== undefined && recipe.seed !== undefined;
  if (recipe.loras || whole) useAdapters(recipe.loras ?? []);
  if (recipe.guidance || whole) useGuidance(recipe);
  if (whole) useChance(recipe);
  if (isWhole(recipe.steps, 1, MAX_STEPS)) setSteps(Number(recipe.steps));
  if (isWhole(recipe.seed, 0, MAX_SEED)) {
    setSeed(Number(recipe.seed)); // for the next picture; the lock is the user's
  }
  if (isSide(recipe.width) && isSide(recipe.height)) {
    chooseSize(Number(recipe.width), Number(recipe.height), recipe.model ?? modelInUse());
  }
  summarise();
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
  startAxes(draft);
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
  compare.addEventListener("click", () => submit("compare"));
  prompt.addEventListener("input", () => (writtenOn(prompt.value), setPrompt(prompt.value)));
  steps.addEventListener("input", () => (remember("steps", steps.value), summarise()));
  count.addEventListener("change", () => (remember("count", Number(count.value)), axesChanged()));
  byId("seed").addEventListener("input", summarise);
  for (const field of [byId("seed"), steps]) field.addEventListener("change", checkNumbers);
  document.addEventListener("keydown", onKey);
  subscribe("image", ({ isNew }) => isNew && refreshSizes());
  subscribe("edited", axesChanged);
  addEventListener("resize", autosize);
}
