// The large area: what is being drawn, or the picture last looked at. Shows one request (one job, a batch, a pair)
// or one image; follows the store until something else is shown.

import { ApiError, createAgain, getImage, getJob } from "../lib/api.js";
import { cancelRequest } from "./cancel.js";
import { compareView } from "./compare.js";
import { byId, el, refill } from "../lib/dom.js";
import { predictedPeak } from "./fits.js";
import { afterPress } from "../lib/press.js";
import { keepArranged } from "./grid.js";
import { groupFoot, stageFoot } from "./stage-foot.js";
import { announceEnd, announceStart, showProgress } from "./stage-progress.js";
import { emptyStage, isFirstRun, problemOf } from "./stage-states.js";
import { dropImage, isActive, publish, putImage, putJob, state, subscribe } from "../lib/store.js";
import { createTile, pictureFrame } from "./tile.js";
import { toastError } from "../lib/toast.js";
import { asked, openViewer, startViewer } from "./viewer.js";

/** @typedef {import("../lib/types.js").Job} Job */
/** @typedef {import("../lib/types.js").Picture} Picture */

/** @type {{jobs: string[], image: string | null}} */
let view = { jobs: [], image: null };
/** @type {Map<string, ReturnType<typeof createTile>>} */
const tiles = new Map();
let chosen = false; // by the user, or because something is being drawn; the newest picture is only a default
let layout = "";
/** @type {string[][]} requests that take the stage one after the other, as what is drawn on it ends */
let following = [];
/** @type {object | null} what was on the stage when they were asked for: where it is something else, they stay away */
let followed = null;

const jobsInView = () => view.jobs.flatMap((id) => state.jobs.get(id) ?? []);

/** @param {Job} job */
const imageOf = (job) => (job.image_id ? state.images.get(job.image_id) : undefined);

/** @param {Job[]} jobs */
export function showJobs(jobs) {
  chosen = true;
  view = { jobs: jobs.map((job) => job.id), image: null };
  jobs.forEach(putJob);
  look(view);
  announceStart(jobsInView());
  jobsInView().forEach(onJob);
  byId("stage").scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
}

/**
 * The same, but what is being drawn keeps the stage until it is done.
 * @param {Job[]} jobs
 * @returns {boolean} whether they are shown now
 */
export function showInTurn(jobs) {
  const own = new Set(jobs.map(({ id }) => id)); // an event may have told of them before the answer did
  if (!jobsInView().some((job) => isActive(job) && !own.has(job.id))) {
    showJobs(jobs);
    return true;
  }
  jobs.forEach(putJob);
  if (followed !== view) following = [];
  followed = view;
  following.push(jobs.map(({ id }) => id));
  return false;
}

function followOn() {
  if (followed !== view || !isIdle()) return;
  while (following.length) {
    const jobs = /** @type {string[]} */ (following.shift()).flatMap((id) => state.jobs.get(id) ?? []);
    if (!jobs.some((job) => isActive(job) || job.image_id)) continue; // given up meanwhile
    showJobs(jobs);
    followed = view;
    return;
  }
}

/**
 * @param {Picture} image
 * @param {{byDefault?: boolean}} [options]
 */
export function showImage(image, { byDefault = false } = {}) {
  chosen ||= !byDefault;
  state.images.set(image.id, image);
  look({ jobs: [], image: image.id });
}

export function showNothing() {
  look({ jobs: [], image: null });
}

/**
 * What this entry of the history showed, when one comes back to it or loads it anew. What is gone meanwhile stays away, and
 * so does what ended without a picture: what runs is of more interest.
 */
export async function restoreView() {
  const { jobs = [], image = null } = history.state ?? {};
  const found = await Promise.all([...jobs.map(getJob), ...(image ? [getImage(image)] : [])].map(unlessGone));
  if (chosen || found.includes(null) || !found.length) return;
  if (image) showImage(found[0]);
  else if (found.some((job) => isActive(job) || job.image_id)) showJobs(found);
}

/** The enlarged picture that the address asks for: what the stage shows, or any other. */
export async function restoreViewer() {
  const id = asked();
  if (!id) return;
  const image = state.images.get(id) ?? (await unlessGone(getImage(id)));
  if (!image) return history.replaceState(history.state, "", location.pathname);
  state.images.set(id, image);
  if (!inView(id)) showImage(image);
  openViewer(image, false);
}

/** @param {string} id  of a picture */
const inView = (id) => view.image === id || jobsInView().some((job) => job.image_id === id);

/** What belongs together: the pictures of the shown request, or else the latest ones. @returns {Picture[]} */
function picturesToView() {
  const shown = jobsInView().flatMap((job) => imageOf(job) ?? []);
  if (shown.length > 1) return shown;
  return [...state.images.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

/** @param {MouseEvent} event  a plain click enlarges; with a modifier it stays a link to the picture's page */
function onClick(event) {
  const link = /** @type {Element} */ (event.target).closest("a[data-view]");
  const image = state.images.get(link?.getAttribute("data-view") ?? "");
  if (!image || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  openViewer(image);
}

/** @template T @param {Promise<T>} asked @returns {Promise<T | null>} */
async function unlessGone(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** @param {typeof view} next */
function look(next) {
  view = next;
  if (chosen) history.replaceState({ ...view, viewer: history.state?.viewer }, "");
  layout = "";
  render();
  publish("view");
}

/** @returns {string | null} the picture that the stage shows alone */
export function shownImage() {
  if (view.image) return view.image;
  const jobs = jobsInView();
  return jobs.length === 1 ? jobs[0].image_id : null;
}

/** Whether the stage shows something on purpose, which nobody else's work may replace. */
export const isChosen = () => chosen;

/** @param {string} id */
export const showsJob = (id) => view.jobs.includes(id);

export const isIdle = () => !jobsInView().some(isActive);

/** Cancel what the stage shows; true when there was something to cancel. */
export function cancelShown() {
  const active = jobsInView().filter(isActive);
  if (active.length) cancelRequest(active);
  return active.length > 0;
}

/** Ask once more for what came to nothing, in its place: a grid stays that grid. @param {Job[]} lost  of one request */
export async function drawAgain(lost) {
  try {
    const { jobs } = await createAgain(lost.map(({ id }) => id));
    jobs.forEach(putJob);
    const instead = new Map(lost.map(({ id }, place) => [id, jobs[place].id]));
    look({ jobs: view.jobs.map((id) => instead.get(id) ?? id), image: null });
    announceStart(lost);
  } catch (error) {
    toastError(error);
  }
}

function emptyLayout() {
  if (byId("strip").children.length) return "waiting"; // there are pictures, and the newest is on its way
  return isFirstRun() ? "empty, first run" : "empty";
}

/** @param {Job[]} jobs @returns {string} which arrangement fits the state of things */
function layoutFor(jobs) {
  if (!jobs.length) return view.image && state.images.has(view.image) ? `image ${view.image}` : emptyLayout();
  if (jobs[0].group_kind === "compare" && jobs.length === 2 && jobs.every(imageOf)) return "compare";
  const lost = jobs.every((job) => problemOf(job) && job.status === jobs[0].status);
  if (lost && (jobs.length === 1 || jobs[0].status === "cancelled")) return `problem ${jobs[0].status}`;
  return "tiles";
}

/** @param {Job[]} jobs */
function tileList(jobs) {
  tiles.clear();
  for (const job of jobs) tiles.set(job.id, createTile(job, jobs.length > 1, () => drawAgain([job])));
  const elements = [...tiles.values()].map((tile) => tile.element);
  if (elements.length === 1) return elements[0];
  const pair = jobs[0].group_kind === "compare" ? " pair-of-two" : "";
  const items = elements.map((element) => el("li", {}, element));
  const { cell } = jobs[0];
  const list = el("ul", { class: `batch${pair}${cell ? " labelled" : ""}`, role: "list" }, ...items);
  const own = cell ? { columns: cell.columns.length, rows: cell.rows.length } : null;
  keepArranged(list, jobs.length, jobs[0].width / jobs[0].height, own);
  return list;
}

/** @param {Job[]} jobs */
function stageBody(jobs) {
  if (layout === "waiting") return "";
  if (layout.startsWith("empty")) return emptyStage();
  if (layout.startsWith("problem")) return problemOf(jobs[0]) ?? "";
  if (layout === "compare") {
    const [left, right] = jobs.map((job) => /** @type {Picture} */ (imageOf(job)));
    return compareView(left, right);
  }
  if (layout === "tiles") return tileList(jobs);
  return pictureFrame(/** @type {Picture} */ (state.images.get(view.image ?? "")));
}

const render = () => afterPress(byId("stage"), renderNow);

function renderNow() {
  const jobs = jobsInView();
  const next = layoutFor(jobs);
  if (next !== layout) {
    layout = next;
    tiles.clear();
    refill(
      byId("stage"),
      byId("stage"),
      el("div", { class: "stage-body" }, stageBody(jobs)),
      el("div", { class: "stage-foot", id: "stage-foot" }),
    );
  }
  for (const job of jobs) tiles.get(job.id)?.update(job, imageOf(job));
  renderFoot(jobs);
}

/** @param {Job[]} jobs */
function renderFoot(jobs) {
  const foot = byId("stage-foot");
  if (jobs.some(isActive)) return showProgress(foot, jobs, cancelShown);
  const id = shownImage();
  const image = id ? state.images.get(id) : undefined;
  foot.hidden = !image && (jobs.length < 2 || layout.startsWith("problem"));
  const shows = image
    ? JSON.stringify([image.id, image.favourite, predictedPeak(image.model, image)])
    : jobs.map((job) => job.status).join();
  if (foot.hidden || foot.dataset.shows === shows) return; // what did not change keeps the focus and the pointer
  foot.dataset.shows = shows;
  refill(foot, byId("stage"), ...(image ? stageFoot(image, jobs.find((job) => job.image_id === id)) : groupFoot(jobs, drawAgain)));
}

/** @param {Job} job */
async function onJob(job) {
  if (!showsJob(job.id)) return;
  if (job.image_id && !state.images.has(job.image_id)) {
    const image = await getImage(job.image_id).catch(() => null);
    if (image) putImage(image);
  }
  render();
  if (isActive(job)) return;
  announceEnd(job, jobsInView());
  followOn();
}

/** What happened to the shown picture while nobody listened. */
async function refreshShown() {
  const id = shownImage();
  if (!id) return;
  try {
    putImage(await getImage(id));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) dropImage(id);
  }
}

export function startStage() {
  subscribe("job", onJob);
  /** @type {{id: string, instead: typeof view} | null} the picture that left the stage last, and what is there now */
  let gone = null;
  subscribe("image", ({ image }) => {
    if (gone?.id === image.id && gone.instead === view) showImage(image);
    else render();
  });
  subscribe("sizes", render);
  subscribe("connection", render);
  subscribe("queue", render);
  byId("stage").addEventListener("click", onClick);
  startViewer(picturesToView, (last) => inView(last.id) || showImage(last));
  subscribe("image_deleted", (id) => {
    if (shownImage() !== id) return;
    const [newest] = [...state.images.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    if (newest) showImage(newest, { byDefault: true });
    else showNothing();
    gone = { id, instead: view };
  });
  subscribe("resync", refreshShown);
  subscribe("model", () => layout.startsWith("empty") && layout !== emptyLayout() && (render(), publish("view")));
  setInterval(() => !isIdle() && render(), 500); // the time left counts down between events
  render();
}
