// The stage when there is no picture: before the first one, and when one could not be drawn.

import { button, byId, el, icon } from "../lib/dom.js";
import { formatSize } from "../lib/format.js";
import { isEnlarging } from "../lib/picture-actions.js";
import { publish, state } from "../lib/store.js";

/** @typedef {import("../lib/types.js").Job} Job */

/** Whether there is nothing but what came with the program. */
export const isFirstRun = () =>
  ![...state.models.values()].some((model) => !model.embedded && model.state === "ready");

/** Six pictures to press, which are then drawn here, and a place for the card about the real model. */
function firstRun() {
  const pictures = /** @type {HTMLTemplateElement} */ (byId("first-pictures")).content.cloneNode(true);
  const list = el("ul", { class: "first-pictures", role: "list" }, pictures);
  list.addEventListener("click", (event) => {
    const chosen = /** @type {Element} */ (event.target).closest("button");
    if (chosen) publish("first-picture", { prompt: chosen.dataset.prompt, seed: Number(chosen.dataset.seed) });
  });
  return el(
    "div",
    { class: "first-run" },
    el("h2", {}, "Press one, and watch it being drawn"),
    list,
    el("div", { class: "first-run-card", id: "first-run-card" }),
  );
}

export function emptyStage() {
  if (isFirstRun()) return firstRun();
  return el(
    "div",
    { class: "empty stage-empty" },
    icon("bonsai", "bonsai"),
    el("h2", {}, "Nothing drawn yet"),
    el("p", {}, "Describe a picture and press Generate. Nothing leaves this machine."),
  );
}

/** @param {Job} job @returns {[string, string]} */
function problemWords(job) {
  switch (job.status) {
    case "cancelled":
      return ["Cancelled", "Nothing was kept. The settings are still there."];
    case "interrupted":
      return ["Interrupted", job.error?.message ?? "The server stopped while this picture was being drawn."];
    default:
      break;
  }
  const message = job.error?.message ?? "The engine gave no reason.";
  switch (job.error?.code) {
    case "out_of_memory":
      return ["Out of memory", message];
    case "model_missing":
      return ["The model is not here", message];
    case "disk_full":
      return ["The disk is full", message];
    default:
      return ["This picture could not be drawn", message];
  }
}

/** All that the job says, to ask for the same once more. @param {Job} job */
export const again = ({ request: { operation: _operation, version: _version, ...request }, model }) => ({ ...request, model });

/** @param {Job} job */
function remedies(job) {
  const ask = () => (isEnlarging(job) ? publish("enlarge-again", job) : publish("retry", again(job)));
  const retry = button({ class: "button primary", on: { click: ask } }, "Try again");
  if (job.error?.code === "out_of_memory") {
    const smaller = button({ on: { click: () => publish("smaller-size", again(job)) } }, "Use a smaller size");
    return el("div", { class: "button-row" }, smaller, retry);
  }
  if (job.error?.code === "model_missing") return el("a", { class: "button", href: "/model-manager" }, "Open models");
  return el("div", { class: "button-row" }, retry);
}

/**
 * What to show instead of a picture that will not come, or null while it still may.
 * @param {Job} job
 */
export function problemOf(job) {
  if (job.status === "queued" || job.status === "running" || job.status === "done") return null;
  const [title, message] = problemWords(job);
  const size = job.error?.code === "out_of_memory" ? ` It was ${formatSize(job.width, job.height)}.` : "";
  return el(
    "div",
    { class: "empty stage-empty stage-problem" },
    el("h2", {}, title),
    el("p", {}, message + size),
    job.error?.remedy && el("p", {}, job.error.remedy),
    remedies(job),
  );
}
