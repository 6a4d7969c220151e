// Sends what the form asks for, and says what the server refused: below its field, or above the buttons.

import { ApiError, createGrid, createJobs } from "../lib/api.js";
import { bringIntoSight, button, byId, el, fill } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { toast } from "../lib/toast.js";
import { showInTurn } from "../stage/stage.js";
import { axesProblem, leadToAxes } from "../words/axes.js";
import { keepPrompt } from "../words/history.js";
import { sentenceOf } from "../words/sentences.js";
import { spendSeed } from "./seed.js";

/** @typedef {"prompt" | "seed" | "steps" | "size" | "guidance" | "temperature"} Field */

const FIELDS = /** @type {const} */ (["prompt", "seed", "steps", "size", "guidance", "temperature"]);

let waitTimer = 0;
let unanswered = false; // what the line says: that nobody answers
let sending = false;

/** Whether an answer is awaited, or the time after which one may send again. */
export const isBusy = () => sending;

/** Not `disabled`: a button that is disabled under the user's finger loses the focus. @param {boolean} value */
function setSending(value) {
  sending = value;
  for (const id of ["generate", "compare"]) byId(id).setAttribute("aria-disabled", String(value));
}

/**
 * Say what is wrong with a field, below it and to screen readers; an empty text takes it back.
 * @param {Field} name
 * @param {string} text
 */
export function problem(name, text) {
  byId(`${name}-error`).textContent = text;
  byId(`${name}-error`).hidden = !text;
  const field = document.getElementById(name);
  if (text) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
}

/** To a field that something is wrong with, and to what is said of it. @param {string} name */
export function leadTo(name) {
  const field = byId(name === "size" ? "width" : name);
  if (byId("settings").contains(field)) byId("settings").setAttribute("open", "");
  field.focus();
  bringIntoSight(byId(`${name}-error`));
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

/** @param {import("../lib/types.js").Job[]} jobs  that are shown as soon as the stage is theirs */
export function tellOfWaiting(jobs) {
  if (!showInTurn(jobs)) toast(`${jobs.length > 1 ? "They wait" : "It waits"} in the queue: what is being drawn goes first.`);
}

/** Whether an answer is awaited that will take the stage. */
export const isSending = () => sending && !waitTimer;

/** @param {unknown} error @param {Record<string, unknown>} request */
function refused(error, request) {
  if (!(error instanceof ApiError)) throw error;
  const field = error.field === "width" || error.field === "height" ? "size" : error.field;
  const own = FIELDS.find((name) => name === field);
  if (error.code === "queue_full") waitForQueue(error);
  else if (error.code === "does_not_fit") note("warn", error.message, sendAnyway(request));
  else if (error.code === "model_missing")
    note("warn", error.message, el("a", { class: "button small", href: "/model-manager" }, "Open models"));
  else if (field === "axes" || field?.startsWith("axes.")) {
    axesProblem(sentenceOf(error));
    leadToAxes();
  } else if (own) {
    problem(own, sentenceOf(error));
    leadTo(own);
  }
  else {
    note("bad", sentenceOf(error));
    unanswered = error.status === 0;
  }
}

/** The server is back. */
export function answersAgain() {
  if (unanswered) note();
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
export function note(tone, text, action = null) {
  unanswered = false;
  const box = byId("submit-note");
  box.hidden = !text;
  box.dataset.tone = tone ?? "";
  fill(box, text && el("p", {}, text), action && el("div", { class: "button-row" }, action));
}

/** What was said of other pictures, or of another way to change them, is no longer so; the queue is as full as it was. */
export function editedNow() {
  if (!waitTimer) note();
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
