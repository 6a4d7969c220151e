// The studio: wires form, stage, strip, queue and memory panel together, and restores what was going on.

import "./shell.js";
import { getImage } from "./api.js";
import { applyRecipe, send, startComposer } from "./composer.js";
import { byId } from "./dom.js";
import { startMemoryPanel } from "./memory-panel.js";
import { recipeOf } from "./picture-actions.js";
import { startQueue } from "./queue.js";
import { refreshRecent, startRecent } from "./recent.js";
import { chooseSmaller } from "./sizes.js";
import { cancelShown, showImage, showJobs, shownImage, startStage } from "./stage.js";
import { takeHandover } from "./storage.js";
import { isActive, state, subscribe } from "./store.js";
import { toast, toastError } from "./toast.js";

/** @typedef {import("./types.js").Job} Job */

const PHONE = matchMedia("(max-width: 46rem)"); // the same width as in studio.css

let placed = false; // whether the stage already shows something this visit decided on

/** @param {Job[]} jobs  a running request belongs on the stage, wherever it was started */
function followRunning(jobs) {
  const first = jobs.find((job) => job.status === "running") ?? jobs.find(isActive);
  if (!first || placed) return;
  placed = true;
  showJobs(first.group ? [...state.jobs.values()].filter((job) => job.group === first.group) : [first]);
}

/** Work that another tab or program started, while this stage is only showing something finished. @param {Job} job */
function followOthers(job) {
  if (job.status !== "running" || placed) return;
  followRunning([job]);
}

async function showNewest() {
  const images = await refreshRecent();
  if (!placed && !shownImage() && images.length) showImage(images[0]);
}

/** Settings that an address or another page asks for. */
async function takeRequestedRecipe() {
  const handed = takeHandover();
  const from = new URLSearchParams(location.search).get("from");
  if (handed) applyRecipe(handed);
  if (!from) return;
  history.replaceState(null, "", "/");
  const image = await getImage(from);
  applyRecipe(recipeOf(image));
  showImage(image);
  placed = true;
}

/** @param {KeyboardEvent} event */
function onEscape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (cancelShown()) event.preventDefault();
}

/** On a phone the settings wait behind one line, so that the picture is near. @param {{matches: boolean}} media */
function foldSettings({ matches }) {
  byId("settings").toggleAttribute("open", !matches);
}

startStage();
startComposer();
startRecent();
startQueue();
startMemoryPanel();
document.addEventListener("keydown", onEscape);
foldSettings(PHONE);
PHONE.addEventListener("change", foldSettings);

subscribe("hello", ({ jobs }) => followRunning(jobs));
subscribe("job", followOthers);
subscribe("show-jobs", showJobs);
subscribe("retry", send);
subscribe("use-recipe", (recipe) => {
  applyRecipe(recipe);
  toast("Settings applied; the seed is locked.");
  byId("prompt").focus();
});
subscribe("smaller-size", (recipe) => {
  applyRecipe(recipe);
  toast(chooseSmaller() ? "A smaller size is chosen." : "There is no smaller size that fits; try to close other programs.");
});

takeRequestedRecipe().catch(toastError);
showNewest().catch(toastError);
