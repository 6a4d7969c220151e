// The list of what is being drawn and what waits, shown when there is more than the stage can tell. A press on a prompt
// brings its request to the stage.

import { cancelJob } from "../lib/api.js";
import { byId, button, el } from "../lib/dom.js";
import { modelTitle } from "../lib/format.js";
import { showJobs, showsJob } from "../stage/stage.js";
import { activeJobs, putJob, state, subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Job} Job */

/** @param {Job} job  shown with those of its request that are known here */
function lookAt(job) {
  showJobs(job.group ? [...state.jobs.values()].filter(({ group }) => group === job.group) : [job]);
}

/** @param {Job} job */
function row(job) {
  const look = () => lookAt(job);
  const cancel = () => cancelJob(job.id).then(putJob, toastError);
  const place = job.status === "running" ? "▸" : String(job.position ?? "");
  const title = `${modelTitle(job.model)}, seed ${job.seed}`;
  const label = `Cancel ${job.prompt.slice(0, 60)}, seed ${job.seed}`;
  return el(
    "li",
    { data: { id: job.id } },
    el("span", { class: "muted numeric", "aria-label": job.status === "running" ? "Being drawn" : "Waiting" }, place),
    el("button", { type: "button", class: "queue-prompt", dir: "auto", title, on: { click: look } }, job.prompt),
    button({ icon: "close", label, class: "button quiet small square", on: { click: cancel } }),
  );
}

let shown = "";

function show() {
  const jobs = activeJobs();
  byId("queue-panel").hidden = jobs.length < 2 && jobs.every((job) => showsJob(job.id));
  const signature = jobs.map((job) => `${job.id} ${job.position}`).join();
  if (signature === shown) return; // progress alone changes nothing here, and the focus stays where it is
  shown = signature;
  const focused = focusedControl();
  byId("queue").replaceChildren(...jobs.map(row));
  if (!focused) return;
  const queue = byId("queue");
  const controls = queue.querySelector(`[data-id="${focused.id}"]`)?.querySelectorAll("button");
  (controls?.[focused.index] ?? queue.querySelector("button"))?.focus();
}

/** @returns {{id: string | null, index: number} | null} of which job, and which of its buttons */
function focusedControl() {
  const item = document.activeElement?.closest(".queue li");
  if (!item) return null;
  const index = [...item.querySelectorAll("button")].findIndex((control) => control === document.activeElement);
  return { id: item.getAttribute("data-id"), index };
}

export function startQueue() {
  subscribe("job", show);
  subscribe("view", show);
  show();
}
