// Under what is being drawn: words, time left and a bar; and what is said of it to those who do not see it.

import { byId, button, el, refill } from "../lib/dom.js";
import { isActive, state } from "../lib/store.js";
import { commonWords, statusWords, timeLeftWords } from "../lib/progress.js";

/** @typedef {import("../lib/types.js").Job} Job */

/**
 * Updated in place: replacing the button on every event would take the focus away.
 * @param {HTMLElement} foot
 * @param {Job[]} jobs
 * @param {() => void} cancel
 */
export function showProgress(foot, jobs, cancel) {
  const current = jobs.find((job) => job.status === "running") ?? jobs.find(isActive) ?? jobs[0];
  const done = jobs.filter((job) => !isActive(job)).length;
  const total = jobs.reduce((sum, job) => sum + (isActive(job) ? job.progress : 1), 0) / jobs.length;
  foot.hidden = false;
  if (!foot.querySelector("progress")) {
    delete foot.dataset.shows;
    refill(foot, byId("stage"), progressFrame(commonWords(jobs.map(({ prompt }) => prompt)), cancel));
  }
  const several = jobs.length > 1 ? `Picture ${Math.min(done + 1, jobs.length)} of ${jobs.length}: ` : "";
  const lost = state.connection === "lost"; // nobody knows how far it is
  byId("stage-words").textContent = lost ? "The server does not answer" : `${several}${statusWords(current)}`;
  byId("stage-left").textContent = lost ? "" : timeLeftWords(jobs.filter(isActive));
  /** @type {HTMLProgressElement} */ (byId("stage-progress")).value = total;
}

/** @param {string} prompt @param {() => void} cancel */
function progressFrame(prompt, cancel) {
  return el(
    "div",
    { class: "stage-status" },
    el(
      "div",
      { class: "stage-line" },
      el("p", { class: "stage-prompt", dir: "auto" }, prompt),
      button({ icon: "close", id: "cancel", on: { click: cancel } }, "Cancel"),
    ),
    el("progress", { class: "bar", id: "stage-progress", max: 1, value: 0, "aria-label": "Progress" }),
    el("div", { class: "facts numeric" }, el("b", { id: "stage-words" }), el("span", { id: "stage-left" })),
  );
}

let announced = "";

/** @param {string} words  once: a screen reader that is told every step is switched off */
function announce(words) {
  if (words === announced) return;
  announced = words;
  byId("announcer").textContent = words;
}

/** @param {Job[]} jobs  a request that takes the stage */
export function announceStart(jobs) {
  if (!jobs.some(isActive)) return;
  announced = "";
  announce(jobs.length > 1 ? `Drawing ${jobs.length} pictures.` : "Drawing.");
}

/** @param {Job} job  one that has just ended @param {Job[]} jobs  all of its request */
export function announceEnd(job, jobs) {
  const done = jobs.filter(({ status }) => status === "done").length;
  if (jobs.length === 1) announce(job.status === "done" ? "The picture is done." : statusWords(job));
  else if (!jobs.some(isActive))
    announce(done === jobs.length ? `All ${done} pictures are done.` : `${done} of ${jobs.length} pictures are done.`);
  else if (job.status === "done") announce(`Picture ${done} of ${jobs.length} is done.`);
}
