// One picture on the stage, from waiting over previews to finished. Knows a job and its image, nothing else.

import { button, el, fill, icon, shaped } from "../lib/dom.js";
import { downloadUrl, removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { statusWords, tag } from "../lib/progress.js";
import { state } from "../lib/store.js";

/** @typedef {import("../lib/types.js").Job} Job */
/** @typedef {import("../lib/types.js").Picture} Picture */

/**
 * @param {Picture} image
 * @param {boolean} [linked]
 */
export function pictureFrame(image, linked = true) {
  const picture = el("img", { src: image.url, width: image.width, height: image.height, alt: image.prompt });
  const content = linked ? viewLink(image, picture) : picture;
  return shaped(el("div", { class: "frame" }, content), image.width, image.height);
}

/** A click enlarges it in place. @param {Picture} image @param {HTMLElement} picture */
const viewLink = (image, picture) => el("a", { href: `/i/${image.id}`, data: { view: image.id } }, picture);

/** What one does with one picture of several. @param {Picture} image @param {string} name */
function tileTools(image, name) {
  const heart = button({
    icon: "heart",
    label: `Favourite, ${name}`,
    class: "button small square heart",
    "aria-pressed": String(image.favourite),
    on: { click: () => toggleFavourite(image) },
  });
  const label = `Download, ${name}`;
  const href = downloadUrl(image, "full");
  return el(
    "span",
    { class: "frame-tools" },
    heart,
    el("a", { class: "button small square", href, download: true, "aria-label": label, title: label }, icon("download")),
    button({
      icon: "trash",
      label: `Delete, ${name}`,
      class: "button small square",
      on: { click: () => removeWithUndo(image.id) },
    }),
  );
}

/** How the bits of a picture stand that is drawn in bits: from coins to what it is. @param {Job} job */
function bitsOf(job) {
  if (state.models.get(job.model)?.family !== "bits") return null;
  return el("img", { class: "frame-bits", src: `/jobs/${job.id}/bits?seq=${job.preview_seq}`, alt: "" });
}

/**
 * @param {Job} job
 * @param {boolean} tagged  one of several: it names its seed or model, and has tools of its own
 * @param {() => void} drawAgain
 */
export function createTile(job, tagged, drawAgain) {
  const words = el("span");
  const drawing = icon("bonsai", "bonsai");
  const retry = button({ class: "button small", hidden: true, on: { click: drawAgain } }, "Try again");
  const wait = el("div", { class: "frame-wait skeleton" }, drawing, words, tagged && retry);
  const preview = el("div", { class: "frame-preview", hidden: true });
  // alone on the stage, a picture has its progress below it
  const bar = tagged
    ? el("progress", { class: "bar", max: 1, value: 0, "aria-label": `Progress of ${tag(job)}` })
    : null;
  const label = tagged ? el("span", { class: "frame-tag" }, tag(job)) : null;
  const element = shaped(el("div", { class: "frame" }, wait, preview, bar, label), job.width, job.height);
  let shownPreview = 0;
  let finished = false;
  /** @type {HTMLElement | null} */
  let tools = null;

  /** @param {Job} now */
  function showPreview(now) {
    if (!now.preview_seq || now.preview_seq === shownPreview || now.status !== "running") return;
    shownPreview = now.preview_seq;
    const next = el("img", { src: `/jobs/${now.id}/preview?seq=${now.preview_seq}`, alt: "" });
    next.decode().then(
      () => {
        if (finished) return;
        fill(preview, next, bitsOf(now)); // the element itself: another with its address would load it again
        preview.hidden = false;
      },
      () => console.info("A preview was gone before it could be shown."),
    );
  }

  /** @param {Picture} image */
  function showImage(image) {
    tools?.querySelector(".heart")?.setAttribute("aria-pressed", String(image.favourite));
    if (finished) return;
    finished = true;
    const picture = el("img", { src: image.url, width: image.width, height: image.height, alt: image.prompt });
    const link = viewLink(image, picture);
    tools = tagged ? tileTools(image, tag(job)) : null;
    // of a picture that goes in, it may be a part alone that was drawn
    const swap = () => fill(shaped(element, image.width, image.height), link, label, tools);
    picture.decode().then(swap, swap); // the preview stays until the picture can be painted: no flash
  }

  return {
    element,
    /**
     * @param {Job} now
     * @param {Picture | undefined} image
     */
    update(now, image) {
      if (image) return showImage(image);
      const active = now.status === "queued" || now.status === "running" || now.status === "done";
      const lost = state.connection === "lost" && (now.status === "queued" || now.status === "running");
      words.textContent = lost ? "" : statusWords(now); // nobody knows; the line below the stage says why
      words.classList.toggle("frame-problem", now.status === "failed");
      wait.classList.toggle("skeleton", active);
      retry.hidden = active;
      if (bar) {
        bar.hidden = !active;
        bar.value = now.progress;
      }
      if (!active) preview.hidden = true;
      return showPreview(now);
    },
  };
}
