// A job in words: what is happening, how long it still takes.

import { formatTimeLeft, modelTitle, plural } from "./format.js";

import { state } from "./store.js";

/** @typedef {import("./types.js").Job} Job */

const LATE_S = 1; // of an estimate that has run out nothing more is promised
const received = new WeakMap(); // job -> when its figures were true, so that the time left counts down between events

/** @param {Job} job */
function timeLeft(job) {
  if (job.eta_s === null) return null;
  if (!received.has(job)) received.set(job, performance.now());
  return job.eta_s - (performance.now() - received.get(job)) / 1000;
}

/** @param {Job} job */
function phaseWords(job) {
  switch (job.phase) {
    case "enlarge":
      return "Enlarging the picture";
    case "load":
      return "Loading the model";
    case "encode":
      return "Reading the prompt";
    case "encode image":
      return "Looking at the picture";
    case "denoise":
      return `Step ${Math.min(job.step + 1, job.steps_total)} of ${job.steps_total}`;
    case "decode":
      return "Developing the picture";
    default:
      return "Starting";
  }
}

/** @param {Job} job */
export function statusWords(job) {
  switch (job.status) {
    case "queued":
      if (state.queue.paused) return "Waiting: the queue is paused";
      return job.position && job.position > 1
        ? `Waiting, ${plural(job.position - 1, "picture")} before it`
        : "Waiting, next in line";
    case "running":
      return phaseWords(job);
    case "done":
      return "Done";
    case "cancelled":
      return "Cancelled";
    case "interrupted":
      return "Interrupted when the server stopped";
    default:
      return job.error?.message ?? "Failed";
  }
}

/** @param {Job[]} jobs  of one request; the last one's estimate covers them all */
export function timeLeftWords(jobs) {
  const estimates = jobs.map(timeLeft).filter((seconds) => seconds !== null);
  if (!estimates.length) return "";
  const left = Math.max(...estimates);
  return left < -LATE_S ? "longer than usual" : formatTimeLeft(Math.max(0, left));
}

/** What several texts begin and end with, and "…" for what differs. @param {string[]} texts */
export function commonWords([first, ...others]) {
  const differs = others.find((other) => other !== first);
  if (differs === undefined) return first;
  const begun = (/** @type {string} */ text) => others.every((other) => other.startsWith(text));
  const ended = (/** @type {string} */ text) => others.every((other) => other.endsWith(text));
  let [head, tail] = [first, first];
  while (!begun(head)) head = head.slice(0, -1);
  while (!ended(tail) || head.length + tail.length > first.length) tail = tail.slice(1);
  return `${head.replace(/\S+$/, "")}…${tail.replace(/^\S+/, "")}`;
}

/** @param {Job} job */
export function tag(job) {
  if (job.cell) return [job.cell.columns[job.cell.column], job.cell.rows[job.cell.row]].filter(Boolean).join(", ");
  return job.group_kind === "compare" ? modelTitle(job.model) : `Seed ${job.seed}`;
}

/** What a step of a pipeline does. @type {Record<string, string>} */
export const WAYS = {
  write: "Write",
  draw: "Draw",
  change: "Change",
  redraw: "Redraw",
  repaint: "Repaint",
  extend: "Extend",
  enlarge: "Enlarge",
};

/** @param {string[]} ways */
export const chainWords = (ways) => ways.map((way, place) => (place ? WAYS[way].toLowerCase() : WAYS[way])).join(", then ");
