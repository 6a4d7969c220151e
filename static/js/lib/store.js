// What the page knows, and who wants to hear of changes. Filled by events.js; read by everything else.

/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Memory} Memory */

const HISTORY_S = 120;

export const state = {
  /** @type {"connecting" | "open" | "lost"} */
  connection: "connecting",
  /** @type {Map<string, Job>} */
  jobs: new Map(),
  /** @type {Map<string, Picture>} */
  images: new Map(),
  /** @type {Map<string, Model>} */
  models: new Map(),
  queue: { paused: false },
  /** @type {Map<string, import("./types.js").Run>} */
  runs: new Map(),
  /** @type {Memory | null} */
  memory: null,
  /** @type {Memory[]} the last two minutes, oldest first */
  memoryHistory: [],
};

const bus = new EventTarget();

/**
 * From the server: connection, hello, job, image, image_deleted, images_changed, model, part, memory, queue, worker, pipeline, resync. Within the
 * page: sizes, view, show-jobs, use-recipe, smaller-size, retry, first-picture,
 * edit (ids of pictures that are to be changed), edited (how they are, or which, is another than before).
 * @param {string} topic
 * @param {(detail: any) => void} listener
 */
export function subscribe(topic, listener) {
  bus.addEventListener(topic, (event) => listener(/** @type {CustomEvent} */ (event).detail));
}

/**
 * @param {string} topic
 * @param {unknown} [detail]
 */
export function publish(topic, detail) {
  bus.dispatchEvent(new CustomEvent(topic, { detail }));
}

/** @param {Job} job */
export const isActive = (job) => job.status === "queued" || job.status === "running";

/** Without those that were lost and asked for again, which stand in their places. @param {Job[]} jobs  of a group, oldest first */
export const current = (jobs) => [...new Map(jobs.map((job) => [JSON.stringify([job.model, job.request]), job])).values()];

/** @returns {Job[]} running first, then in the order they wait */
export function activeJobs() {
  return [...state.jobs.values()].filter(isActive).sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
}

/** @param {Job} job */
export function putJob(job) {
  const known = state.jobs.get(job.id);
  if (known && !isActive(known) && isActive(job)) return; // an answer that was overtaken by its own end
  state.jobs.set(job.id, job);
  publish("job", job);
}

/** @param {Picture} image */
export function putImage(image) {
  const isNew = !state.images.has(image.id);
  state.images.set(image.id, image);
  publish("image", { image, isNew });
}

/** @param {string} id */
export function dropImage(id) {
  state.images.delete(id);
  publish("image_deleted", id);
}

/** A part takes the place of one of a model's own; nothing is drawn with it alone. @param {Model} model */
export function putModel(model) {
  if (model.kind !== "model") {
    publish("part", model);
    return;
  }
  state.models.set(model.name, model);
  publish("model", model);
}

/** @param {import("./types.js").Run} run */
export function putRun(run) {
  const known = state.runs.get(run.group);
  const ended = known && ["done", "failed", "cancelled"].includes(known.status);
  if (known && (known.step > run.step || (ended && run.status === "running"))) return; // overtaken, as above
  state.runs.set(run.group, run);
  publish("pipeline", run);
}

/** @param {{paused: boolean}} queue */
export function putQueue(queue) {
  state.queue = queue;
  publish("queue", queue);
}

/** @param {Memory} memory */
export function putMemory(memory) {
  state.memory = memory;
  state.memoryHistory.push(memory);
  while (state.memoryHistory[0].t < memory.t - HISTORY_S) state.memoryHistory.shift();
  publish("memory", memory);
}

/** @param {"connecting" | "open" | "lost"} connection */
export function setConnection(connection) {
  if (state.connection === connection) return;
  state.connection = connection;
  publish("connection", connection);
}
