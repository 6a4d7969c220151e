// The studio: wires form, stage, strip, queue and memory panel together, and restores what was going on.

import "./shell.js";
import { getImage, getJob, listJobs } from "../lib/api.js";
import { edit, isBenchShown, startEditor } from "../editor/editor.js";
import { startLineage } from "../editor/lineage.js";
import { applyRecipe, drawFirst, startComposer } from "../studio/composer.js";
import { byId, isComposing } from "../lib/dom.js";
import { isEnlarging, recipeOf } from "../lib/picture-actions.js";
import { startNotify } from "../studio/notify.js";
import { startQueue } from "../studio/queue.js";
import { refreshRecent, startRecent } from "../studio/recent.js";
import { answersAgain, isSending, send } from "../studio/sending.js";
import { chooseSmaller } from "../studio/sizes.js";
import { again } from "../stage/stage-states.js";
import {
  cancelShown,
  drawAgain,
  isChosen,
  restoreView,
  restoreViewer,
  showImage,
  showJobs,
  showsJob,
  startStage,
} from "../stage/stage.js";
import { takeHandover } from "../lib/storage.js";
import { current, isActive, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Job} Job */

const LATEST = 100; // more than a queue and a batch hold
const PHONE = matchMedia("(max-width: 46rem), (max-width: 60rem) and (orientation: portrait)"); // the same windows as in studio.css

let following = false;
/** @type {Set<string>} ids of failed jobs that a message told of */
const told = new Set();

/** @param {Job[]} jobs  a running request belongs on the stage, wherever it was started */
async function followRunning(jobs) {
  const first = jobs.find((job) => job.status === "running") ?? jobs.find(isActive);
  if (!first || following || isChosen() || isBenchShown()) return;
  following = true;
  try {
    const together = first.group && first.group_kind !== "pipeline"; // whose steps come one after the other
    const shown = together ? await wholeGroup(first.group ?? "") : [first];
    if (!isChosen() && !isBenchShown()) showJobs(shown);
  } finally {
    following = false;
  }
}

/**
 * Also those of its jobs that have ended already.
 * @param {string} group
 * @returns {Promise<Job[]>} in the order of drawing
 */
async function wholeGroup(group) {
  const { jobs } = await listJobs(LATEST);
  return current(jobs.filter((job) => job.group === group).reverse());
}

async function showNewest() {
  const images = await refreshRecent();
  if (!isChosen() && images.length) showImage(images[0], { byDefault: true });
}

/** Settings that an address or another page asks for. */
async function takeRequestedRecipe() {
  const { recipe, jobs } = takeHandover();
  const asked = new URLSearchParams(location.search);
  const [from, toEdit] = [asked.get("from"), asked.get("edit")];
  if (recipe) applyRecipe(recipe);
  if (jobs) showJobs(await Promise.all(jobs.map(getJob)));
  if (!from && !toEdit && !recipe && !jobs && !isBenchShown()) await restoreView();
  if (from || toEdit) history.replaceState(null, "", "/");
  if (toEdit) await edit(toEdit.split(","));
  if (!from) return;
  const image = await getImage(from);
  applyRecipe(recipeOf(image));
  showImage(image);
}

/** What fails behind the picture that is looked at, or about to leave the stage, is told as well. @param {Job} job */
function tellFailure(job) {
  if (job.status !== "failed" || told.has(job.id) || (showsJob(job.id) && !isSending())) return;
  told.add(job.id);
  const name = job.prompt.length > 40 ? `${job.prompt.slice(0, 40)}…` : job.prompt;
  toast(`“${name}” could not be drawn. ${job.error?.message ?? ""}`, {
    action: "Try again",
    onAction: () => (isEnlarging(job) ? drawAgain([job]) : send(again(job))),
    showMs: 20_000,
  });
}

/** @param {KeyboardEvent} event */
function onEscape(event) {
  if (event.key !== "Escape" || isComposing(event) || event.defaultPrevented) return;
  // there it closes suggestions or the spelling; nobody means to lose a minute's work with it
  if (/** @type {Element} */ (event.target).closest("input, textarea, select")) return;
  if (!document.querySelector("dialog[open]") && cancelShown()) event.preventDefault();
}

/** @param {KeyboardEvent} event  a slash goes to the prompt, from wherever nothing is typed */
function onSlash(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (/** @type {Element} */ (event.target).closest("input, textarea, select")) return;
  event.preventDefault();
  byId("prompt").focus();
}

/** On a phone the settings wait behind one line, so that the picture is near. @param {{matches: boolean}} media */
function foldSettings({ matches }) {
  byId("settings").toggleAttribute("open", !matches);
  byId("settings").dataset.known = "";
}

startStage();
startEditor();
startLineage();
startComposer();
startRecent();
startQueue();
startNotify();
document.addEventListener("keydown", onEscape);
document.addEventListener("keydown", onSlash);
foldSettings(PHONE);
PHONE.addEventListener("change", foldSettings);

let runs = false;
subscribe("pipeline", () => {
  if (runs) return;
  runs = true; // it is there for those who use pipelines
  import("../stage/run.js").then(({ startRuns }) => startRuns(), toastError);
});
subscribe("hello", ({ jobs }) => followRunning(jobs).catch(toastError));
subscribe("hello", answersAgain);
subscribe("job", (job) => followRunning([job]).catch(toastError));
subscribe("job", tellFailure);
subscribe("show-jobs", showJobs);
subscribe("retry", send);
subscribe("enlarge-again", (/** @type {Job} */ job) => drawAgain([job]));
subscribe("first-picture", drawFirst);
subscribe("use-recipe", (recipe) => {
  applyRecipe(recipe);
  toast(recipe.seed === undefined ? "Settings applied." : "Settings applied; the next picture has this seed.");
  byId("prompt").focus();
});
subscribe("smaller-size", (recipe) => {
  applyRecipe(recipe);
  toast(
    chooseSmaller() ? "A smaller size is chosen." : "There is no smaller size that fits; try to close other programs.",
  );
});

takeRequestedRecipe()
  .catch(toastError)
  .finally(() => delete document.documentElement.dataset.asked)
  .then(showNewest)
  .then(restoreViewer)
  .catch(toastError);
