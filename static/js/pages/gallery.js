// The gallery: the server's first page goes on as one scrolls; search and favourites without leaving the page.

import "./shell.js";
import { listImages } from "../lib/api.js";
import { byId, el } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

const PAGE = 60;
const SKELETONS = 12;
const SEARCH_DELAY_MS = 200;
const RECOUNT_DELAY_MS = 400;

const sheet = byId("sheet");
const more = byId("more");
const search = /** @type {HTMLInputElement} */ (byId("q"));

const filter = { q: search.value.trim(), favourite: byId("favourites").getAttribute("aria-pressed") === "true" };
/** @type {string | null} */
let cursor = sheet.dataset.nextCursor || null;
let total = Number(sheet.dataset.total);
let loading = false;
let generation = 0; // answers to an older search are dropped
let searchTimer = 0;
let recountTimer = 0;

/** @param {Picture} image @returns {HTMLLIElement} */
function print(image) {
  const template = /** @type {HTMLTemplateElement} */ (byId("print-template"));
  const item = /** @type {HTMLLIElement} */ (template.content.firstElementChild?.cloneNode(true));
  item.dataset.id = image.id;
  item.dataset.created = image.created_at;
  const link = /** @type {HTMLAnchorElement} */ (item.querySelector("a"));
  const picture = /** @type {HTMLImageElement} */ (item.querySelector("img"));
  link.href = `/i/${image.id}`;
  picture.width = image.width;
  picture.height = image.height;
  picture.alt = image.prompt;
  picture.src = image.thumbnail_url;
  /** @type {Element} */ (item.querySelector(".print-caption")).textContent = image.prompt;
  mark(item, image);
  return item;
}

/** @param {Element} item @param {Picture} image */
function mark(item, image) {
  item.querySelector("[data-action=favourite]")?.setAttribute("aria-pressed", String(image.favourite));
}

/** @param {string} id @returns {HTMLElement | null} */
const itemOf = (id) => sheet.querySelector(`[data-id="${id}"]`);

function showState() {
  const empty = !sheet.children.length && !loading;
  const filtered = filter.q !== "" || filter.favourite;
  byId("gallery-empty").hidden = !empty;
  more.hidden = cursor === null;
  byId("end").hidden = cursor !== null || total <= PAGE;
  byId("total").textContent = `${plural(total, "picture")}${filter.q ? ` with “${filter.q}”` : ""}`;
  byId("empty-title").textContent = filtered ? "Nothing found" : "No pictures yet";
  byId("empty-text").textContent = filtered
    ? "No picture matches. Try other words or show all of them."
    : "Everything you draw is kept here, newest first.";
  byId("empty-link").textContent = filtered ? "Show all pictures" : "Open the studio";
  /** @type {HTMLAnchorElement} */ (byId("empty-link")).href = filtered ? "/gallery" : "/";
}

const request = () => ({ q: filter.q, favourite: filter.favourite || null, limit: PAGE });

/** @param {Picture[]} images */
function append(images) {
  for (const image of images) if (!itemOf(image.id)) sheet.append(print(image));
}

function showSkeletons() {
  sheet.append(
    ...Array.from({ length: SKELETONS }, () => el("li", { class: "print skeleton", "aria-hidden": "true" })),
  );
}

function dropSkeletons() {
  for (const item of sheet.querySelectorAll(".skeleton")) item.remove();
}

/** @param {boolean} afresh  start over, for a new search, instead of going on */
async function load(afresh) {
  if (loading && !afresh) return;
  loading = true;
  generation += 1;
  const mine = generation;
  sheet.setAttribute("aria-busy", "true");
  if (!afresh) showSkeletons();
  try {
    const page = await listImages({ ...request(), cursor: afresh ? null : cursor });
    if (mine !== generation) return;
    if (afresh) sheet.replaceChildren();
    dropSkeletons();
    append(page.images);
    cursor = page.next_cursor;
    total = page.total;
    watchEnd();
  } catch (error) {
    dropSkeletons();
    if (mine === generation) nearEnd.disconnect(); // "More pictures" is how to try again
    toastError(error);
  } finally {
    if (mine === generation) {
      loading = false;
      sheet.removeAttribute("aria-busy");
      showState();
    }
  }
}

/** Look again: a page that was too short to push the end out of sight is followed by the next one. */
function watchEnd() {
  nearEnd.disconnect();
  nearEnd.observe(byId("more-area"));
}

function applyFilter() {
  const query = new URLSearchParams();
  if (filter.q) query.set("q", filter.q);
  if (filter.favourite) query.set("favourite", "1");
  history.replaceState(null, "", String(query) ? `/gallery?${query}` : "/gallery");
  byId("favourites").setAttribute("aria-pressed", String(filter.favourite));
  load(true);
}

function onSearch() {
  clearTimeout(searchTimer);
  searchTimer = window.setTimeout(() => {
    if (search.value.trim() === filter.q) return;
    filter.q = search.value.trim();
    applyFilter();
  }, SEARCH_DELAY_MS);
}

/** @param {HTMLElement} item  leaves; the focus goes to its neighbour, not to the top of the page */
function leave(item) {
  const neighbour = item.nextElementSibling ?? item.previousElementSibling;
  const hadFocus = item.contains(document.activeElement);
  item.remove();
  if (hadFocus) /** @type {HTMLElement | null} */ (neighbour?.querySelector("a"))?.focus();
  total -= 1;
  showState();
}

/** @param {MouseEvent} event */
async function onClick(event) {
  const control = /** @type {Element} */ (event.target).closest("button[data-action]");
  const item = /** @type {HTMLElement | null} */ (control?.closest("li"));
  const id = item?.dataset.id;
  if (!control || !id) return;
  if (control.getAttribute("data-action") === "delete") {
    await removeWithUndo(id);
  } else {
    const favourite = control.getAttribute("aria-pressed") === "true";
    await toggleFavourite(/** @type {Picture} */ ({ id, favourite }));
  }
}

/** Every word occurs, as the server searches. @param {string} text */
const holdsWords = (text) =>
  folded(filter.q)
    .split(/\s+/)
    .every((word) => folded(text).includes(word));

/** As the server compares: without regard to case, width and how accents are written. @param {string} text */
const folded = (text) => text.normalize("NFKC").toLowerCase().normalize("NFKC");

/** @param {Picture} image */
const matches = (image) => (!filter.favourite || image.favourite) && holdsWords(image.prompt);

/** Put a picture where it belongs: before the first that is older. @param {Picture} image */
function insert(image) {
  const older = [...sheet.children].find((item) => (item.getAttribute("data-created") ?? "") <= image.created_at);
  if (older) older.before(print(image));
  else if (cursor === null) sheet.append(print(image)); // else it comes with a later page
}

/** @param {{image: Picture}} change */
function onImage({ image }) {
  const item = itemOf(image.id);
  if (item && matches(image)) mark(item, image);
  else if (item) leave(item);
  else if (matches(image)) insert(image);
  if (!item) recountSoon();
  showState();
}

/** How many there are, of which not all may be here, is for the server to say. */
function recountSoon() {
  clearTimeout(recountTimer);
  recountTimer = window.setTimeout(() => catchUp().catch(toastError), RECOUNT_DELAY_MS);
}

/** Bring the newest page up to date, in place: the focus and what is scrolled to stay where they are. */
async function catchUp() {
  const mine = generation;
  const page = await listImages(request());
  if (mine !== generation) return;
  const there = new Set(page.images.map((image) => image.id));
  const oldest = page.next_cursor === null ? "" : (page.images.at(-1)?.created_at ?? "");
  for (const item of sheet.querySelectorAll("[data-id]")) {
    const { id = "", created = "" } = /** @type {HTMLElement} */ (item).dataset;
    if (created >= oldest && !there.has(id)) leave(/** @type {HTMLElement} */ (item));
  }
  for (const image of page.images) {
    const item = itemOf(image.id);
    if (item) mark(item, image);
    else insert(image);
  }
  total = page.total;
  showState();
  watchEnd();
}

sheet.addEventListener("click", onClick);
search.addEventListener("input", onSearch);
byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter === byId("favourites")) filter.favourite = !filter.favourite;
  filter.q = search.value.trim();
  applyFilter();
});
more.addEventListener("click", (event) => {
  event.preventDefault();
  load(false);
});
const nearEnd = new IntersectionObserver(
  (entries) => entries.some((entry) => entry.isIntersecting) && cursor && load(false),
  {
    rootMargin: "800px",
  },
);
watchEnd();
subscribe("image", onImage);
subscribe("image_deleted", (id) => {
  const item = itemOf(id);
  if (item) leave(item);
  else recountSoon();
});
subscribe("resync", () => catchUp().catch(toastError));
