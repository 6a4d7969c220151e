// The strip of the newest pictures under the stage.

import { listImages } from "../lib/api.js";
import { byId, el } from "../lib/dom.js";
import { showImage, shownImage } from "../stage/stage.js";
import { state, subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

const LENGTH = 24;

/** @param {Picture} image */
function thumbnail(image) {
  const picture = el("img", { src: image.thumbnail_url, width: 72, height: 72, alt: image.prompt, decoding: "async" });
  return el("li", {}, el("a", { href: `/i/${image.id}`, data: { id: image.id } }, picture));
}

/** @param {string} id */
const linkOf = (id) => byId("strip").querySelector(`[data-id="${id}"]`);

/** @param {Element} item */
const createdAt = (item) => state.images.get(item.querySelector("a")?.dataset.id ?? "")?.created_at ?? "";

function markShown() {
  const shown = shownImage();
  for (const link of byId("strip").querySelectorAll("a")) {
    if (link.dataset.id === shown) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** @param {{image: Picture, isNew: boolean}} change */
function onImage({ image }) {
  const strip = byId("strip");
  if (!linkOf(image.id)) {
    const older = [...strip.children].find((item) => createdAt(item) <= image.created_at);
    strip.insertBefore(thumbnail(image), older ?? null);
    while (strip.children.length > LENGTH) strip.lastElementChild?.remove();
  }
  byId("recent").hidden = false;
  markShown();
}

/** @param {string} id */
function onDeleted(id) {
  linkOf(id)?.closest("li")?.remove();
  byId("recent").hidden = !byId("strip").children.length;
  markShown();
}

/** Fetch the newest pictures and show them. @returns {Promise<Picture[]>} */
export async function refreshRecent() {
  const { images } = await listImages({ limit: LENGTH });
  for (const image of images) state.images.set(image.id, image);
  byId("strip").replaceChildren(...images.map(thumbnail));
  byId("recent").hidden = !images.length;
  markShown();
  return images;
}

/** @param {MouseEvent} event  a plain click looks at the picture here; with a modifier it stays a link */
function onClick(event) {
  const link = /** @type {Element} */ (event.target).closest("a");
  const image = link && state.images.get(link.dataset.id ?? "");
  if (!image || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  showImage(image);
  markShown();
}

export function startRecent() {
  byId("strip").addEventListener("click", onClick);
  subscribe("image", onImage);
  subscribe("image_deleted", onDeleted);
  subscribe("job", markShown);
  for (const topic of ["images_changed", "resync"]) subscribe(topic, () => refreshRecent().catch(toastError));
}
