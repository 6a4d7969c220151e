// The list of what is being drawn and what waits, shown when there is more than the stage can tell.

import { cancelJob } from "./api.js";
import { byId, button, el } from "./dom.js";
import { modelTitle } from "./format.js";
import { activeJobs, putJob, subscribe } from "./store.js";
import { toastError } from "./toast.js";

/** @typedef {import("./types.js").Job} Job */

/** @param {Job} job */
function row(job) {
  const cancel = () => cancelJob(job.id).then(putJob, toastError);
  const place = job.status === "running" ? "▸" : String(job.position ?? "");
  const label = `Cancel ${job.prompt.slice(0, 60)}, seed ${job.seed}`;
  return el(
    "li",
    { data: { id: job.id } },
    el("span", { class: "muted numeric", "aria-label": job.status === "running" ? "Being drawn" : "Waiting" }, place),
    el("span", { class: "queue-prompt", title: `${modelTitle(job.model)}, seed ${job.seed}` }, job.prompt),
    button({ icon: "close", label, class: "button quiet small square", on: { click: cancel } }),
  );
}

let shown = "";

function show() {
  const jobs = activeJobs();
  const signature = jobs.map((job) => `${job.id} ${job.position}`).join();
  if (signature === shown) return; // progress alone changes nothing here, and the focus stays where it is
  shown = signature;
  const focused = document.activeElement?.closest(".queue li")?.getAttribute("data-id");
  byId("queue-panel").hidden = jobs.length < 2;
  byId("queue").replaceChildren(...jobs.map(row));
  if (!focused) return;
  const queue = byId("queue");
  const target = queue.querySelector(`[data-id="${focused}"] button`) ?? queue.querySelector("button");
  /** @type {HTMLElement | null} */ (target)?.focus();
}

export function startQueue() {
  subscribe("job", show);
  show();
}
