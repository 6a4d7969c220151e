// A pipeline that is carried out, as a chain below its pictures: what is done, what is being done, what is to come. The
// stage follows it from step to step while it shows one of them.

import { cancelPipeline } from "./cancel.js";
import { byId, button, el, icon, refill } from "../lib/dom.js";
import { WAYS } from "../lib/progress.js";
import { state, subscribe } from "../lib/store.js";
import { isChosen, isIdle, showImage, showJobs, shownImage, showsJob } from "./stage.js";

/** @typedef {import("../lib/types.js").Run} Run */

/** @param {Run} run */
const isShown = ({ jobs, image_ids: images }) => jobs.some(showsJob) || images.includes(shownImage() ?? "");

/** The one that the stage shows a part of, or that shows nothing yet because its first step writes. @returns {Run | undefined} */
function runToShow() {
  const runs = [...state.runs.values()].reverse();
  return runs.find(isShown) ?? runs.find((run) => run.status === "running" && !run.jobs.length);
}

/** @param {Run} run @returns {Map<number, string>} by the place of their steps, which may write and make none */
function picturesOf({ ways, image_ids: images }) {
  const drawing = ways.flatMap((way, place) => (way === "write" ? [] : [place]));
  return new Map(images.map((id, index) => [drawing[index], id]));
}

const MARKS = { done: "Done", now: "Now", failed: "Not done", later: "To come" };

/** @param {Run} run @param {number} place @returns {keyof typeof MARKS} */
function stateOf({ status, step }, place) {
  if (status === "done" || place < step - 1) return "done";
  if (place > step - 1) return "later";
  return status === "running" ? "now" : "failed";
}

/** @param {Run} run @param {string} way @param {number} place @param {string | undefined} picture */
function step(run, way, place, picture) {
  const at = stateOf(run, place);
  const words = `${WAYS[way]} (${MARKS[at]})`;
  const known = picture ? state.images.get(picture) : undefined;
  const mark = known
    ? el("img", { src: known.thumbnail_url, alt: "", width: 44, height: 44 })
    : el("span", { class: "run-mark", "aria-hidden": "true" }, at === "done" ? icon("check") : place + 1);
  const content = [mark, el("span", { class: "run-way" }, WAYS[way]), el("span", { class: "visually-hidden" }, MARKS[at])];
  const current = at === "now" && "step";
  if (!known) return el("li", { data: { state: at }, "aria-current": current }, ...content);
  const props = { type: "button", class: "run-step", "aria-label": `Show: ${words}`, on: { click: () => showImage(known) } };
  return el("li", { data: { state: at } }, el("button", props, ...content));
}

/** @param {Run} run */
function words({ status, step: at, steps, ways, error }) {
  const doing = `Step ${at} of ${steps}: ${WAYS[ways[at - 1]].toLowerCase()}`;
  if (status === "done") return steps === 1 ? "Its step is done." : `All ${steps} steps are done.`;
  if (status === "running") return ways[at - 1] === "write" ? `${doing}. Your words become a scene…` : `${doing}…`;
  if (status === "cancelled") return `Cancelled at step ${at} of ${steps}. What was drawn is kept.`;
  return [`Ended at step ${at} of ${steps}.`, error?.message, error?.remedy].filter(Boolean).join(" ");
}

/** @type {Set<string>} groups of runs that were begun here, before they had a job */
const awaited = new Set();

/** @param {string} group  its first job takes the stage, once there is one */
export const awaitRun = (group) => awaited.add(group);

let shown = "";

function show() {
  const run = runToShow();
  byId("run").hidden = !run;
  const signature = run ? JSON.stringify([run, run.image_ids.map((id) => state.images.has(id))]) : "";
  if (signature === shown || !run) return;
  shown = signature;
  const pictures = picturesOf(run);
  byId("run-words").textContent = `${run.name ?? "Pipeline"}. ${words(run)}`;
  refill(
    byId("run-steps"),
    byId("stage"),
    ...run.ways.map((way, place) => step(run, way, place, pictures.get(place))),
  );
  refill(
    byId("run-cancel"),
    byId("stage"),
    run.status === "running" && (run.steps > 1 || !run.jobs.length) && button({ class: "button small", on: { click: () => cancelPipeline(run) } }, "Cancel all steps"),
  );
}

/** @param {Run} run  its newest job takes the stage from the one before */
function follow(run) {
  const newest = state.jobs.get(run.jobs.at(-1) ?? "");
  const before = run.jobs.slice(0, -1);
  const follows = before.some(showsJob) || (!before.length && (awaited.has(run.group) ? isIdle() : !isChosen()));
  if (run.status === "running" && newest && !showsJob(newest.id) && follows) showJobs([newest]);
}

export function startRuns() {
  subscribe("pipeline", (run) => (follow(run), show()));
  for (const topic of ["view", "job", "image", "image_deleted"]) subscribe(topic, show);
  state.runs.forEach(follow);
  show();
}
