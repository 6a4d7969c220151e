// Under a finished picture: its prompt, its recipe in one line, and what to do with it.

import { button, el, icon } from "../lib/dom.js";
import { formatBytes, formatSeconds, formatSize, modelTitle, plural } from "../lib/format.js";
import { downloadUrl, drawVariations, recipeOf, removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { predictedPeak } from "../lib/fits.js";
import { sheetLink } from "./sheet.js";
import { publish } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

/** Measured and predicted side by side. @param {Picture} image @param {number} peak */
function peakWords(image, peak) {
  const predicted = predictedPeak(image.model, image);
  return `${formatBytes(peak)} peak${predicted ? `, ${formatBytes(predicted)} planned` : ""}`;
}

/** Said under a prompt that is longer than the model reads. @param {{ truncated: boolean }} drawn */
const truncatedNote = ({ truncated }) =>
  truncated &&
  el("p", { class: "hint" }, "The prompt is longer than the model can read, and its end was left out. Put what matters most first.");

/** @param {Picture} image */
export function facts(image) {
  const { total } = image.timings;
  return el(
    "p",
    { class: "facts numeric" },
    el("span", {}, modelTitle(image.model)),
    image.seed !== null && el("span", {}, "Seed ", el("b", {}, image.seed)),
    image.steps !== null && el("span", {}, plural(image.steps, "step")),
    el("span", {}, formatSize(image.width, image.height)),
    total !== undefined && el("span", {}, formatSeconds(total)),
    image.peak_memory_bytes !== null && el("span", {}, peakWords(image, image.peak_memory_bytes)),
  );
}

/** @param {Picture} image */
async function variations(image) {
  try {
    publish("show-jobs", await drawVariations(image));
  } catch (error) {
    toastError(error);
  }
}

/** @param {Picture} image @param {"full" | "mark"} metadata @param {string} glyph @param {string} label */
function downloadLink(image, metadata, glyph, label) {
  const named = { "aria-label": label, title: label };
  return el("a", { class: "button square", href: downloadUrl(image, metadata), download: true, ...named }, icon(glyph));
}

/** @param {Picture} image */
function tools(image) {
  const heart = button({
    icon: "heart",
    label: "Favourite",
    class: "button square heart",
    "aria-pressed": String(image.favourite),
    on: { click: () => toggleFavourite(image) },
  });
  return el(
    "div",
    { class: "button-row stage-tools" },
    button({ icon: "edit", on: { click: () => publish("edit", [image.id]) } }, "Edit"),
    button({ icon: "reuse", on: { click: () => publish("use-recipe", recipeOf(image)) } }, "Use settings"),
    button({ icon: "variations", title: "The next four seeds", on: { click: () => variations(image) } }, "Variations"),
    heart,
    downloadLink(image, "full", "download", "Download"),
    downloadLink(image, "mark", "download-bare", "Download without the prompt"),
    button({ icon: "trash", label: "Delete", class: "button square", on: { click: () => removeWithUndo(image.id) } }),
  );
}

/**
 * Under several pictures of one request.
 * @param {import("../lib/types.js").Job[]} jobs
 * @param {(lost: import("../lib/types.js").Job[]) => void} drawAgain
 */
export function groupFoot(jobs, drawAgain) {
  const [first] = jobs;
  const { prompt, seed, steps, width, height, model } = first;
  const lost = jobs.filter((job) => job.status !== "done");
  const last = jobs[jobs.length - 1].seed;
  const seeds = first.group_kind !== "batch" ? `Seed ${seed}` : `Seeds ${seed} to ${last}`;
  const use = () => publish("use-recipe", { prompt, seed, steps, width, height, model });
  return [
    el("p", { class: "stage-prompt", dir: "auto" }, prompt),
    truncatedNote(first),
    el(
      "div",
      { class: "stage-line" },
      el(
        "p",
        { class: "facts numeric" },
        el("span", {}, seeds),
        el("span", {}, plural(steps, "step")),
        el("span", {}, formatSize(width, height)),
        lost.length > 0 && el("span", {}, `${jobs.length - lost.length} of ${jobs.length} drawn`),
      ),
      el(
        "div",
        { class: "button-row" },
        lost.length > 0 && button({ icon: "play", on: { click: () => drawAgain(lost) } }, "Draw the rest"),
        sheetLink(first),
        button({ icon: "reuse", on: { click: use } }, "Use settings"),
      ),
    ),
  ];
}

/** @param {Picture} image */
export function stageFoot(image) {
  return [
    el("p", { class: "stage-prompt", dir: "auto" }, image.prompt),
    truncatedNote(image),
    el("div", { class: "stage-line" }, facts(image), tools(image)),
  ];
}
