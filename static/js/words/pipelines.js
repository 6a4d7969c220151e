// "My pipelines": the steps that a picture came about by, kept under a name and carried out on other words.

import { ApiError, deletePipeline, getPipeline, keepPipeline, listPipelines, putPipeline, runPipeline } from "../lib/api.js";
import { byId, button, el, fill } from "../lib/dom.js";
import { chainWords } from "../lib/progress.js";
import { subscribe } from "../lib/store.js";
import { toast, toastError, UNDO } from "../lib/toast.js";
import { shownImage } from "../stage/stage.js";

/** @typedef {import("../lib/api.js").Pipeline} Pipeline */

const MAX_NAME = 60;
const UNDO_MS = 15_000;

/** @type {{words: () => string, seed: () => number, ran: (run: import("../lib/types.js").Run, seed: number) => void, problem: (text: string) => void}} */
let form = { words: () => "", seed: () => 0, ran: () => undefined, problem: () => undefined };

/** @param {string} text */
function say(text) {
  byId("pipelines-status").textContent = text;
  byId("pipelines-status").hidden = !text;
}

/** @param {string} text */
function complain(text) {
  byId("pipelines-error").textContent = text;
  byId("pipelines-error").hidden = !text;
}

/** What a route refuses is said in the panel. @param {() => Promise<void>} action */
async function told(action) {
  complain("");
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    complain([error.message, error.remedy].filter(Boolean).join(" "));
  }
}

/** @param {(...parameters: any[]) => Promise<void>} action */
const guarded = (action) => (/** @type {any[]} */ ...parameters) => told(() => action(...parameters)).catch(toastError);

/** @param {Pipeline} pipeline */
async function run({ name, takes_prompt: takesWords }) {
  const prompt = form.words().trim();
  form.problem(takesWords && !prompt ? "Say in a few words what the pipeline is to draw." : "");
  if (takesWords && !prompt) return byId("prompt").focus();
  const seed = form.seed();
  const started = await runPipeline({ name, seed, ...(takesWords && { prompt }) });
  form.ran(started, seed);
}

/** @param {Pipeline} pipeline */
async function remove({ name }) {
  const { steps } = await getPipeline(name);
  await deletePipeline(name);
  await show();
  byId("pipeline-name").focus();
  const bringBack = () => putPipeline(name, steps).then(show, toastError);
  toast(`“${name}” is deleted.`, { action: UNDO, onAction: bringBack, showMs: UNDO_MS });
}

/** @param {string} name  of a file that is no pipeline */
async function removeBroken(name) {
  await deletePipeline(name);
  await show();
}

async function keep() {
  const field = /** @type {HTMLInputElement} */ (byId("pipeline-name"));
  const image = shownImage();
  if (!image) return;
  say("");
  if (!field.value.trim()) {
    field.focus();
    return complain("Give it a name.");
  }
  const sent = field.value;
  const kept = await keepPipeline(image, sent.trim());
  if (field.value === sent) field.value = ""; // what was typed since is another one's
  await show();
  say(`Kept: ${chainWords(kept.ways)}.`);
}

/** @param {Pipeline} pipeline */
function row(pipeline) {
  const { name, ways, takes_prompt: takesWords } = pipeline;
  const runs = takesWords ? `Run ${name} on the words above` : `Run ${name}`;
  return el(
    "li",
    { class: "pipeline" },
    el("span", { class: "pipeline-name", dir: "auto" }, name),
    el("span", { class: "hint" }, chainWords(ways), !takesWords && "; its words are its own"),
    el(
      "span",
      { class: "tool-buttons" },
      button({ icon: "play", class: "button small", "aria-label": runs, title: runs, on: { click: guarded(() => run(pipeline)) } }, "Run"),
      button({ icon: "trash", label: `Delete ${name}`, class: "button quiet small square", on: { click: guarded(() => remove(pipeline)) } }),
    ),
  );
}

/** @param {{name: string, problem: string}} file */
function brokenRow({ name, problem }) {
  const remove = button({ icon: "trash", label: `Delete ${name}`, class: "button quiet small square", on: { click: guarded(() => removeBroken(name)) } });
  return el("li", { class: "pipeline" }, el("span", { class: "pipeline-name", dir: "auto" }, name), el("span", { class: "hint" }, problem), remove);
}

async function show() {
  const { pipelines, problems } = await listPipelines();
  fill(byId("pipeline-list"), ...pipelines.map(row), ...problems.map(brokenRow));
  byId("pipeline-list").hidden = !pipelines.length && !problems.length;
  say(pipelines.length ? "" : "None is kept yet. A pipeline is what was done with a picture, step by step, to do it again on other words.");
}

/** Only what was drawn can be kept. */
function showKeeping() {
  if (!document.getElementById("keep-pipeline")) return;
  const image = shownImage();
  /** @type {HTMLButtonElement} */ (byId("keep-pipeline")).disabled = !image;
  /** @type {HTMLInputElement} */ (byId("pipeline-name")).disabled = !image;
  byId("keep-hint").hidden = Boolean(image);
}

function build() {
  const name = { class: "input", id: "pipeline-name", maxlength: MAX_NAME, placeholder: "Sketch, then large", autocomplete: "off" };
  const onEnter = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    event.preventDefault(); // it is within the form that draws
    guarded(keep)();
  };
  fill(
    byId("pipelines"),
    el("ul", { class: "pipeline-list", role: "list", id: "pipeline-list", "aria-label": "My pipelines" }),
    el("p", { class: "hint", id: "pipelines-status", role: "status", hidden: true }),
    el(
      "div",
      { class: "keep-pipeline" },
      el("label", { class: "label", for: "pipeline-name" }, "Keep the steps of this picture as"),
      el("input", { ...name, on: { keydown: onEnter } }),
      button({ class: "button small", id: "keep-pipeline", on: { click: guarded(keep) } }, "Keep"),
    ),
    el("p", { class: "hint", id: "keep-hint" }, "Draw a picture, or open one, to keep its steps."),
    el("p", { class: "field-error", id: "pipelines-error", role: "alert", hidden: true }),
  );
  for (const topic of ["view", "job", "image_deleted"]) subscribe(topic, showKeeping);
}

/** @param {typeof form} around */
export async function openPipelines(around) {
  form = around;
  if (!document.getElementById("pipeline-list")) build();
  showKeeping();
  await told(show);
}
