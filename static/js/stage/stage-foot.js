// Under a finished picture: its prompt, its recipe in one line, and what to do with it.

import { button, el, icon } from "../lib/dom.js";
import { formatBytes, formatSeconds, formatSize, modelTitle, plural } from "../lib/format.js";
import { downloadUrl, drawMore, enlarge, recipeOf, removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { commonWords } from "../lib/progress.js";
import { predictedPeak } from "./fits.js";
import { menuOf } from "./menu.js";
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

/** What a picture that went in lost. @param {import("../lib/types.js").Job | undefined} job */
const lossNote = (job) => {
  const lost = (job?.notes ?? []).map((note) => note.replace(/^[a-z]+(\[\d+\])?: /, ""));
  return lost.length > 0 && el("p", { class: "hint" }, `Of the picture that went in: ${lost.join("; ")}.`);
};

/** @param {Picture} image */
export function facts(image) {
  const { total } = image.timings;
  return el(
    "p",
    { class: "facts numeric" },
    el("span", {}, modelTitle(image.model)),
    image.seed !== null && image.steps !== 0 && el("span", {}, "Seed ", el("b", {}, image.seed)),
    image.steps ? el("span", {}, plural(image.steps, "step")) : null,
    el("span", {}, formatSize(image.width, image.height)),
    total !== undefined && el("span", {}, formatSeconds(total)),
    image.peak_memory_bytes ? el("span", {}, peakWords(image, image.peak_memory_bytes)) : null,
  );
}

/** @param {Picture} image  a foreign one has no noise to begin with */
function moreLikeThis(image) {
  const alike = { subtle: "Subtle changes", strong: "Strong changes" };
  const choices = { ...(image.seed === null ? {} : alike), seeds: "Other seeds" };
  return menuOf({ icon: "variations", label: "More like this", choices }, (how) =>
    drawMore(image, /** @type {import("../lib/picture-actions.js").Alike} */ (how)).then((jobs) => publish("show-jobs", jobs), toastError),
  );
}

/** @param {Picture} image */
function downloadLink(image) {
  const named = { "aria-label": "Download", title: "Download" };
  return el("a", { class: "button square", href: downloadUrl(image, "full"), download: true, ...named }, icon("download"));
}

const BARE = "bare";
const RARELY = {
  "2 refine": "Enlarge 2×, with finer strokes",
  "4 refine": "Enlarge 4×, with finer strokes",
  "2 exact": "Enlarge 2×, as it is",
  "4 exact": "Enlarge 4×, as it is",
  [BARE]: "Download without the prompt",
};

/** What is rarely wanted. @param {Picture} image */
function more(image) {
  return menuOf({ icon: "more", label: "More", choices: RARELY, bare: true }, (choice) => {
    if (choice === BARE) return el("a", { href: downloadUrl(image, "mark"), download: true }).click();
    const [by, method] = choice.split(" ");
    return enlarge(image, Number(by), method).then((jobs) => publish("show-jobs", jobs), toastError);
  });
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
    moreLikeThis(image),
    heart,
    downloadLink(image),
    button({ icon: "trash", label: "Delete", class: "button square", on: { click: () => removeWithUndo(image.id) } }),
    more(image),
  );
}

/** @param {import("../lib/types.js").Job[]} jobs @param {number[]} seeds */
function seedWords(jobs, seeds) {
  const [first, last] = [seeds[0], seeds[seeds.length - 1]];
  if (seeds.every((seed) => seed === first)) return `Seed ${first}`;
  return jobs[0].group_kind === "batch" ? `Seeds ${first} to ${last}` : "Several seeds";
}

/**
 * Under several pictures of one request.
 * @param {import("../lib/types.js").Job[]} jobs
 * @param {(lost: import("../lib/types.js").Job[]) => void} drawAgain
 */
export function groupFoot(jobs, drawAgain) {
  const [first] = jobs;
  const { prompt, seed, steps, width, height, model, request } = first;
  const lost = jobs.filter((job) => job.status !== "done");
  const use = () => publish("use-recipe", { ...request, prompt, seed, steps, width, height, model });
  return [
    el("p", { class: "stage-prompt", dir: "auto" }, commonWords(jobs.map((job) => job.prompt))),
    truncatedNote(first),
    lossNote(first),
    el(
      "div",
      { class: "stage-line" },
      el(
        "p",
        { class: "facts numeric" },
        el("span", {}, seedWords(jobs, jobs.map((job) => job.seed))),
        jobs.every((job) => job.steps === steps) && el("span", {}, plural(steps, "step")),
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

/** @param {Picture} image @param {import("../lib/types.js").Job} [job]  that made it, as long as the server knows it */
export function stageFoot(image, job) {
  return [
    el("p", { class: "stage-prompt", dir: "auto" }, image.prompt),
    truncatedNote(image),
    lossNote(job),
    el("div", { class: "stage-line" }, facts(image), tools(image)),
  ];
}
