// The one open connection to the server. Whatever happens to it, the store ends up as the server's truth: every new one
// begins with `hello`, then comes what happened since the page was written, or since the last event that it heard of.
// Where that is too much, or too long ago, everything is asked for again (`resync`).

import { getJob } from "./api.js";
import {
  activeJobs,
  dropImage,
  isActive,
  publish,
  putImage,
  putJob,
  putMemory,
  putModel,
  putQueue,
  putRun,
  setConnection,
} from "./store.js";

const BANNER_DELAY_MS = 1500; // a blink of the network is not worth a banner
const MAX_RETRY_MS = 15_000;
const SILENT_MS = 15_000; // three times as long as an idle server is ever silent
const WATCH_MS = 5_000;
const FROZEN_MS = 2_000; // a phone may have ended the connection of a page that it hid, and not say so
const HIDDEN_MS = 20_000; // browsers allow six connections per server: a hidden tab gives its one back

/** @type {EventSource | null} */
let source = null;
let attempts = 0;
let retryTimer = 0;
let bannerTimer = 0;
let hiddenTimer = 0;
let hiddenSince = 0;
let lastHeard = 0;
let everOpened = false;
let heard = document.body.dataset.since; // the last event that this page knows, or that it was written after

/** @type {Record<string, (data: any) => void>} */
const handlers = {
  hello: onHello,
  job: putJob,
  image: putImage,
  image_deleted: ({ id }) => dropImage(id),
  images_deleted: ({ ids }) => ids.forEach(dropImage),
  images_changed: () => publish("images_changed"),
  memory: putMemory,
  model: putModel,
  queue: putQueue,
  pipeline: putRun,
  worker: (data) => publish("worker", data),
  reset: () => publish("resync"),
};

/** Open the connection, or open it anew at once. */
export function connect() {
  clearTimeout(retryTimer);
  source?.close();
  source = new EventSource(heard ? `/events?since=${heard}` : "/events");
  lastHeard = Date.now();
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => {
      lastHeard = Date.now();
      heard = event.lastEventId || heard;
      handler(JSON.parse(event.data));
    });
  }
  source.addEventListener("error", onError);
}

/** @param {import("./types.js").Hello} hello */
function onHello({ jobs, memory, models, queue, pipelines = [] }) {
  clearTimeout(bannerTimer);
  bannerTimer = 0;
  attempts = 0;
  const alive = new Set(jobs.map((job) => job.id));
  models.forEach(putModel);
  jobs.forEach(putJob);
  putMemory(memory);
  if (queue) putQueue(queue);
  for (const job of activeJobs()) if (!alive.has(job.id)) settle(job.id);
  pipelines.forEach(putRun);
  setConnection("open");
  publish("hello", { jobs });
  if (everOpened) publish("resync"); // what was asked for in vain meanwhile
  everOpened = true;
}

/**
 * A job ended while nobody listened.
 * @param {string} id
 */
async function settle(id) {
  const job = await getJob(id).catch(() => null);
  if (job && !isActive(job)) putJob(job);
}

function announceSoon() {
  bannerTimer ||= window.setTimeout(() => setConnection("lost"), BANNER_DELAY_MS);
}

function onError() {
  announceSoon();
  if (source?.readyState !== EventSource.CLOSED) return; // the browser retries by itself
  clearTimeout(retryTimer);
  retryTimer = window.setTimeout(connect, Math.min(1000 * 2 ** attempts, MAX_RETRY_MS));
  attempts += 1;
}

/** A change of network or a Mac's sleep can end the connection without an error. */
function onSilence() {
  if (document.hidden || !source || Date.now() - lastHeard < SILENT_MS) return;
  announceSoon();
  connect();
}

function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenSince = Date.now();
    hiddenTimer = window.setTimeout(restWhileHidden, HIDDEN_MS);
  } else if (!source || Date.now() - hiddenSince > FROZEN_MS) {
    connect();
  }
}

/** The studio goes on while something is drawn, because its title tells how far that is. */
function restWhileHidden() {
  if (activeJobs().length && document.getElementById("stage")) {
    hiddenTimer = window.setTimeout(restWhileHidden, HIDDEN_MS);
  } else {
    clearTimeout(retryTimer);
    source?.close();
    source = null;
  }
}

window.setInterval(onSilence, WATCH_MS);
document.addEventListener("visibilitychange", onVisibility);
window.addEventListener("pagehide", () => source?.close());
window.addEventListener("pageshow", (event) => event.persisted && connect());
