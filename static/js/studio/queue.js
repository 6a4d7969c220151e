// What is being drawn and what waits, shown when there is more than the stage can tell: a request is one row with the
// pictures that it has so far. A press on its prompt brings it to the stage.

import { cancelJobs, orderQueue, pauseQueue } from "../lib/api.js";
import { cancelRequest } from "../stage/cancel.js";
import { byId, button, el, fill, setIcon } from "../lib/dom.js";
import { formatTimeLeft, modelTitle, plural } from "../lib/format.js";
import { showJobs, showsJob } from "../stage/stage.js";
import { afterPress } from "../lib/press.js";
import { activeJobs, current, putJob, putQueue, state, subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Job} Job */
/** @typedef {{id: string, group: string | null, jobs: Job[]}} Row  its unfinished jobs */

/** @returns {Row[]} */
function rowsOf() {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  for (const job of activeJobs()) {
    const id = job.group ?? job.id;
    const row = rows.get(id) ?? { id, group: job.group, jobs: [] };
    row.jobs.push(job);
    rows.set(id, row);
  }
  return [...rows.values()];
}

/** All jobs of a row that are known here, the finished ones too. @param {Row} row */
const membersOf = ({ group, jobs }) =>
  group ? current([...state.jobs.values()].filter((job) => job.group === group)) : jobs;

/** @param {Row} row @param {number} step  -1: earlier, 1: later */
function move(row, step) {
  const rows = rowsOf();
  const place = rows.findIndex(({ id }) => id === row.id);
  if (!rows[place + step]) return;
  [rows[place], rows[place + step]] = [rows[place + step], rows[place]];
  const ids = rows.flatMap(({ jobs }) => jobs.map((job) => job.id));
  orderQueue(ids).then(({ jobs }) => jobs.forEach(putJob), toastError);
}

/** @param {Row} row */
function thumbs(row) {
  const images = membersOf(row).flatMap((job) => state.images.get(job.image_id ?? "") ?? []);
  const pictures = images.map((image) => el("img", { src: image.thumbnail_url, width: 24, height: 24, alt: "" }));
  return pictures.length ? el("span", { class: "queue-thumbs" }, ...pictures) : null;
}

/** @param {Row} row @param {number} place @param {Row[]} rows */
function line(row, place, rows) {
  const [first] = row.jobs;
  const running = row.jobs.some((job) => job.status === "running");
  const total = membersOf(row).length;
  const name = `${first.prompt.slice(0, 60)}, seed ${first.seed}`;
  const title = `${modelTitle(first.model)}, seed ${first.seed}`;
  const count = total > 1 ? el("span", { class: "muted numeric" }, `${total - row.jobs.length}/${total}`) : null;
  const small = "button quiet small square";
  const movable = (/** @type {number} */ step) => Boolean(rows[place + step]) && !running && !isRunning(rows[place + step]);
  const up = button({ icon: "up", label: `Earlier: ${name}`, class: small, on: { click: () => move(row, -1) } });
  const down = button({ icon: "down", label: `Later: ${name}`, class: small, on: { click: () => move(row, 1) } });
  return el(
    "li",
    { data: { id: row.id } },
    el("span", { class: "muted numeric", role: "img", "aria-label": running ? "Being drawn" : "Waiting" }, running ? "▸" : place + 1),
    el(
      "button",
      { type: "button", class: "queue-prompt", dir: "auto", title, on: { click: () => showJobs(first.group_kind === "pipeline" ? row.jobs : membersOf(row)) } },
      thumbs(row),
      first.prompt,
    ),
    count,
    movable(-1) && up,
    movable(1) && down,
    button({ icon: "close", label: `Cancel ${name}`, class: small, on: { click: () => cancelRequest(row.jobs) } }),
  );
}

/** @type {Map<string, {says: string, element: HTMLElement}>} */
let lines = new Map();

/** One for each row: the one that is there where it would say the same. @param {Row[]} rows */
function linesOf(rows) {
  const before = lines;
  lines = new Map(
    rows.map((row, place) => {
      const near = [rows[place - 1], row, rows[place + 1]].map((one) => one && isRunning(one));
      const drawn = membersOf(row).map((job) => state.images.has(job.image_id ?? ""));
      const says = JSON.stringify([place, near, row.jobs.map((job) => job.id), drawn]);
      const kept = before.get(row.id);
      return [row.id, kept?.says === says ? kept : { says, element: line(row, place, rows) }];
    }),
  );
  return [...lines.values()].map(({ element }) => element);
}

/** @param {Row} row */
const isRunning = (row) => row.jobs.some((job) => job.status === "running");

let shown = "";

const show = () => afterPress(byId("queue"), showNow);

function showNow() {
  const jobs = activeJobs();
  const { paused } = state.queue;
  byId("queue-panel").hidden = !jobs.length || (jobs.length < 2 && !paused && jobs.every((job) => showsJob(job.id)));
  const rows = rowsOf();
  const done = rows.map((row) => membersOf(row).filter((job) => state.images.has(job.image_id ?? "")).length);
  const signature = [paused, ...jobs.map((job) => `${job.id} ${job.position}`), ...done].join();
  if (signature === shown) return; // progress alone changes nothing here, and the focus stays where it is
  shown = signature;
  const waiting = jobs.filter((job) => job.status === "queued").length;
  const left = Math.max(0, ...jobs.map((job) => job.eta_s ?? 0));
  byId("queue-words").textContent = [
    paused ? "paused" : "",
    waiting ? `${plural(waiting, "picture")} waiting` : "",
    left && !paused ? formatTimeLeft(left) : "",
  ]
    .filter(Boolean)
    .join(", ");
  byId("queue-pause").setAttribute("aria-label", paused ? "Go on with the queue" : "Pause the queue");
  byId("queue-pause").title = byId("queue-pause").ariaLabel ?? "";
  setIcon(byId("queue-pause"), paused ? "play" : "pause");
  const focused = focusedControl();
  fill(byId("queue"), ...linesOf(rows));
  if (!focused) return;
  const queue = byId("queue");
  const controls = [...(queue.querySelector(`[data-id="${focused.id}"]`)?.querySelectorAll("button") ?? [])];
  const same = controls.find((control) => control.getAttribute("aria-label") === focused.name) ?? controls[0];
  (same ?? queue.querySelector("button") ?? byId("queue-pause")).focus();
}

/** @returns {{id: string | null, name: string | null} | null} of which row, and which of its buttons */
function focusedControl() {
  const item = document.activeElement?.closest(".queue li");
  if (!item) return null;
  return { id: item.getAttribute("data-id"), name: document.activeElement?.getAttribute("aria-label") ?? null };
}

export function startQueue() {
  for (const topic of ["job", "view", "queue", "image"]) subscribe(topic, show);
  byId("queue-pause").addEventListener("click", () => pauseQueue(!state.queue.paused).then(putQueue, toastError));
  byId("queue-cancel").addEventListener("click", () =>
    cancelJobs().then(({ jobs }) => jobs.forEach(putJob), toastError),
  );
  show();
}
