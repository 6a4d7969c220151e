// "Help me write": a few words become scenes to choose from, written word by word. What is chosen is the prompt, to be
// changed and drawn; the words that it was made of are kept, and come back.

import { ApiError } from "../lib/api.js";
import { byId, button, el, fill } from "../lib/dom.js";
import { activeJobs } from "../lib/store.js";
import { toastError } from "../lib/toast.js";
import { typedBefore, wrote } from "./written.js";
import { writeScenes } from "./writing-stream.js";

/** @typedef {import("./writing-stream.js").Proposal} Proposal */
/** @typedef {{text: string, whole: boolean, note: string | null}} Scene */

const COUNT_WORDS = ["First", "Second", "Third"];

/** @type {{read: () => string, write: (text: string) => void, model: () => string}} */
let field = { read: () => "", write: () => undefined, model: () => "" };
/** @type {AbortController | null} while it writes */
let writing = null;
/** @type {Scene[]} */
let scenes = [];
let words = ""; // that they are made of
let status = "";
/** @type {ApiError | null} */
let problem = null;

/** The words to write on: what was typed, also where the prompt is a scene that was made of it. */
const typed = () => (typedBefore() || field.read()).trim();

/** @param {string} text  said once, not for every word */
function say(text) {
  if (status !== text) byId("write-status").textContent = text;
  status = text;
  byId("write-status").hidden = !text;
}

/** @param {Scene} scene */
function use(scene) {
  const text = scene.text.trim();
  field.write(text);
  wrote(words, text);
  say("It is your prompt now: change it as you like, then press Generate.");
  showScenes();
}

function useTyped() {
  field.write(typedBefore());
  say("Your own words are back.");
  showScenes();
  byId("write-go").focus();
}

/** @param {Scene} scene @param {number} place */
function row(scene, place) {
  const chosen = field.read().trim() === scene.text.trim();
  const ready = scene.whole || (!writing && scene.text);
  const name = scene.text ? {} : { "aria-label": `${COUNT_WORDS[place]} scene, being written` };
  const props = { class: "proposal", dir: "auto", ...name, "aria-pressed": String(chosen), disabled: !ready };
  return el(
    "li",
    {},
    el("button", { type: "button", ...props, on: { click: () => use(scene) } }, scene.text || "…"),
    scene.note && el("p", { class: "hint", dir: "auto" }, scene.note),
  );
}

function showScenes() {
  const list = byId("proposals");
  const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
  fill(list, ...scenes.map(row));
  list.hidden = scenes.length === 0;
  if (focused >= 0) list.children[focused]?.querySelector("button")?.focus({ preventScroll: true });
  byId("write-undo").hidden = !typedBefore();
}

function showProblem() {
  const box = byId("write-problem");
  box.hidden = !problem;
  if (!problem) return;
  const missing = problem.code === "model_missing";
  const said = [missing ? `There is no writer for this model: ${problem.message}` : problem.message, problem.remedy];
  fill(
    box,
    el("p", { role: "alert" }, said.filter(Boolean).join(" ")),
    missing && el("a", { class: "button small", href: "/model-manager" }, "Open models"),
  );
}

function show() {
  const go = byId("write-go");
  go.textContent = writing ? "Stop" : problem ? "Try again" : scenes.length ? "Write three others" : "Write three scenes";
  showScenes();
  showProblem();
}

/** @param {number} place @returns {Scene} */
const scene = (place) => (scenes[place] ??= { text: "", whole: false, note: null });

/** @param {Proposal} whole */
function finished({ proposal, text, note }) {
  Object.assign(scene(proposal), { text, note, whole: true });
  say(`${COUNT_WORDS[proposal] ?? "Another"} scene is written.`);
  showScenes();
}

/** @param {{proposal: number, text: string}} word */
function grown({ proposal, text }) {
  if (!scene(proposal).text) say(`Writing scene ${proposal + 1} of ${COUNT_WORDS.length}…`);
  scene(proposal).text += text;
  showScenes();
}

async function write() {
  words = typed();
  if (!words) {
    say("Type a few words above first.");
    byId("prompt").focus();
    return;
  }
  const mine = (writing = new AbortController());
  [scenes, problem] = [[], null];
  say(activeJobs().length ? "Waits until the picture is drawn…" : "Reading your words…");
  show();
  try {
    await writeScenes({ prompt: words, model: field.model() || undefined }, { word: grown, proposal: finished }, mine.signal);
    say("Press a scene to use it.");
  } catch (error) {
    if (!(error instanceof ApiError)) {
      if (!mine.signal.aborted) throw error;
      say(scenes.length ? "Stopped. What is written can be used." : "Stopped.");
    } else {
      problem = error;
      say("");
    }
  } finally {
    writing = null;
    show();
  }
}

/** @param {typeof field} promptField */
export function openWriter(promptField) {
  field = promptField;
  if (!document.getElementById("write-go")) {
    const press = () => (writing ? writing.abort() : write().catch(toastError));
    fill(
      byId("write"),
      el("p", { class: "hint" }, "Makes a whole scene of your few words. It is written on this computer; nothing is sent anywhere."),
      el(
        "div",
        { class: "tool-buttons" },
        button({ id: "write-go", class: "button small", on: { click: press } }),
        button({ id: "write-undo", class: "button small quiet", on: { click: useTyped } }, "Back to my words"),
      ),
      el("p", { class: "hint", id: "write-status", role: "status", hidden: true }),
      el("div", { class: "notice", id: "write-problem", "data-tone": "warn", hidden: true }),
      el("ul", { class: "proposals", role: "list", id: "proposals", "aria-label": "Scenes to choose from" }),
    );
  }
  show();
  if (!writing && typed() && words !== typed()) write().catch(toastError);
}
