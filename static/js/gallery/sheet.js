// The pictures of the gallery in the document: by days, in order, each under its id. Knows no server.

import { byId, button, el } from "../lib/dom.js";
import { dayOf, dayTitle, frameOf } from "./days.js";
import { enter, exit } from "./near.js";
import { showFavourite } from "./tools.js";

/** @typedef {import("../lib/types.js").Picture & {file_name?: string}} Picture */

const root = byId("sheet");

/** @type {Map<string, HTMLElement>} */
const items = new Map();
for (const item of root.querySelectorAll("[data-id]")) {
  items.set(/** @type {HTMLElement} */ (item).dataset.id ?? "", /** @type {HTMLElement} */ (item));
  enter(item);
}

/** What follows the ? in the addresses of the pictures, so that their pages know what was looked for. */
let address = root.dataset.address ?? "";

/** @param {string} next */
export function setAddress(next) {
  address = next;
  for (const [id, item] of items) /** @type {HTMLAnchorElement} */ (item.querySelector("a")).href = hrefOf(id);
}

/** @param {string} id */
const hrefOf = (id) => (address ? `/i/${id}?${address}` : `/i/${id}`);

/** @param {string} id */
export const itemOf = (id) => items.get(id) ?? null;

export const count = () => items.size;

/** The ids in the order in which they are shown. */
export const shownIds = () => shown().map((item) => item.dataset.id ?? "");

/** @returns {HTMLElement[]} */
export const shown = () => [...root.querySelectorAll(/** @type {"li"} */ (".print[data-id]"))];

/** @param {Picture} image @returns {HTMLElement} */
function print(image) {
  const template = /** @type {HTMLTemplateElement} */ (byId("print-template"));
  const item = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
  const picture = /** @type {HTMLImageElement} */ (item.querySelector("img"));
  Object.assign(item.dataset, { id: image.id, created: image.created_at, shape: frameOf(image.width, image.height) });
  item.dataset.file = image.file_name ?? "";
  /** @type {HTMLAnchorElement} */ (item.querySelector("a")).href = hrefOf(image.id);
  Object.assign(picture, { width: image.width, height: image.height, alt: image.prompt });
  picture.dataset.src = image.thumbnail_url; // until then a browser would look where thousands of them are
  /** @type {Element} */ (item.querySelector(".print-caption")).textContent = image.prompt;
  items.set(image.id, item);
  item.classList.add("bare"); // until it is seen to be near
  mark(item, image);
  return item;
}

/** @param {HTMLElement} item @param {Picture} image */
export function mark(item, image) {
  item.dataset.favourite = String(image.favourite);
  showFavourite(item);
}

/** The list that a picture belongs into: that of its day, or the only one where no days are told apart. */
function listFor(/** @type {Picture} */ image, /** @type {boolean} */ byDay) {
  const day = byDay ? dayOf(image.created_at) : "";
  const last = /** @type {HTMLElement | null} */ (root.lastElementChild);
  const section = last?.dataset.day === day ? last : root.querySelector(`:scope > [data-day="${day}"]`);
  return /** @type {HTMLElement} */ ((section ?? newSection(day)).querySelector("ul"));
}

/** @param {string} day */
function newSection(day) {
  const head = day && el(
    "div",
    { class: "day-head" },
    el("h2", {}, dayTitle(day)),
    button({ class: "button quiet small day-select", data: { action: "day" } }, "Select this day"),
  );
  const section = el("section", { class: "day", data: { day } }, head, el("ul", { class: "sheet", role: "list" }));
  root.append(section);
  return section;
}

/**
 * Show these pictures, in this order; what is there already is not touched, so focus and scrolling stay.
 * @param {Picture[]} images
 * @param {boolean} byDay
 */
export function showAll(images, byDay) {
  const wanted = new Set(images.map((image) => image.id));
  for (const id of [...items.keys()]) if (!wanted.has(id)) remove(id);
  /** @type {Map<Element, number>} */
  const filled = new Map();
  const sections = new Set();
  for (const image of images) {
    const list = listFor(image, byDay);
    const section = /** @type {Element} */ (list.parentElement);
    if (!sections.has(section) && root.children[sections.size] !== section) {
      root.insertBefore(section, root.children[sections.size]);
    }
    sections.add(section);
    const place = filled.get(list) ?? 0;
    const item = items.get(image.id) ?? print(image);
    mark(item, image);
    if (list.children[place] !== item) {
      exit(item);
      list.insertBefore(item, list.children[place] ?? null);
    }
    enter(item);
    filled.set(list, place + 1);
  }
  for (const section of [...root.children]) if (!sections.has(section)) section.remove();
}

/** @param {Picture[]} images @param {boolean} byDay */
export function append(images, byDay) {
  for (const image of images) {
    if (items.has(image.id)) continue;
    const item = print(image);
    listFor(image, byDay).append(item);
    enter(item);
  }
}

/** @param {string} id  leaves, and its day with it if it was the last */
export function remove(id) {
  const item = items.get(id);
  const section = item?.closest(".day");
  if (item) exit(item);
  item?.remove();
  items.delete(id);
  if (section && !section.querySelector("li")) section.remove();
}

export function clear() {
  items.clear();
  root.replaceChildren();
}

/** What the server wrote has its own dates and shapes; the reader may be elsewhere. */
export function settle() {
  for (const section of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".day[data-day]"))) {
    const title = section.querySelector("h2");
    if (title && section.dataset.day) title.textContent = dayTitle(section.dataset.day);
  }
  const [wrong] = shown().filter((item) => {
    const day = /** @type {HTMLElement | null} */ (item.closest(".day"))?.dataset.day;
    return day && day !== dayOf(item.dataset.created ?? "");
  });
  return !wrong;
}
