// The gallery: the server's first page goes on as one scrolls; search, order and selection without leaving the page.

import "./shell.js";
import { listIds, listImages } from "../lib/api.js";
import { byId, el } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";
import * as actions from "../gallery/actions.js";
import { carry } from "../gallery/carrying.js";
import { showRow, startRow } from "../gallery/collections.js";
import { focus, target } from "../gallery/keys.js";
import { goTo, keepPlace, placeToGo } from "../gallery/place.js";
import * as selection from "../gallery/selection.js";
import * as prints from "../gallery/sheet.js";
import { isFavourite } from "../gallery/tools.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

const PAGE = 60; // that the server writes into the page
const NEXT = 30; // that are asked for as one scrolls: putting them in takes a part of a frame
const MOST_AT_ONCE = 200; // that the server sends
const MOST_AGAIN = 1_000; // that are asked for again; beyond these, scrolling does
const SKELETONS = 12;
const SEARCH_DELAY_MS = 200;
const RECOUNT_DELAY_MS = 400;

const sheet = byId("sheet");
const more = byId("more");
const search = /** @type {HTMLInputElement} */ (byId("q"));
const sort = /** @type {HTMLSelectElement} */ (byId("sort"));
const collection = sheet.dataset.collection || null;

const filter = {
  q: search.value.trim(),
  favourite: byId("favourites").getAttribute("aria-pressed") === "true",
  sort: sort.value,
};
/** @type {string | null} */
let cursor = sheet.dataset.nextCursor || null;
let total = Number(sheet.dataset.total);
let loading = false;
/** @type {Promise<void>} the page that is loaded */
let coming = Promise.resolve();
let generation = 0; // answers to an older search are dropped
let searchTimer = 0;
let recountTimer = 0;

const byDay = () => filter.sort !== "prompt";

const request = () => ({ q: filter.q, favourite: filter.favourite || null, collection, sort: filter.sort });

function showState() {
  const filtered = filter.q !== "" || filter.favourite;
  byId("gallery-empty").hidden = prints.count() > 0 || loading;
  more.hidden = cursor === null;
  byId("end").hidden = cursor !== null || total <= PAGE;
  const words = `${plural(total, "picture")}${filter.q ? ` with “${filter.q}”` : ""}`;
  if (byId("total").textContent !== words) byId("total").textContent = words;
  const empty = filtered
    ? ["Nothing found", "No picture matches. Try other words or show all of them."]
    : collection
      ? ["Nothing in this collection yet", "Select pictures in the gallery, then move them here."]
      : ["No pictures yet", "Everything you draw is kept here, newest first."];
  [byId("empty-title").textContent, byId("empty-text").textContent] = empty;
  byId("empty-link").textContent = filtered || collection ? "Show all pictures" : "Open the studio";
  /** @type {HTMLAnchorElement} */ (byId("empty-link")).href = filtered || collection ? "/gallery" : "/";
}

// loading

const skeleton = () => el("li", { class: "print skeleton", "aria-hidden": "true" });

function showSkeletons() {
  const list = el("ul", { class: "sheet waiting", role: "list", "aria-hidden": "true" }, ...Array.from({ length: SKELETONS }, skeleton));
  sheet.after(list);
  return list;
}

/**
 * The next page; where one is on its way already, that.
 * @param {boolean} afresh  start over, for a new search, instead of going on
 * @param {number} [limit]
 */
function load(afresh, limit = afresh ? PAGE : NEXT) {
  if (afresh || !loading) coming = loadPage(afresh, limit);
  return coming;
}

/** @param {boolean} afresh @param {number} limit */
async function loadPage(afresh, limit) {
  loading = true;
  generation += 1;
  const mine = generation;
  sheet.setAttribute("aria-busy", "true");
  const waiting = afresh ? null : showSkeletons();
  try {
    const page = await listImages({ ...request(), limit, cursor: afresh ? null : cursor });
    if (mine !== generation) return;
    waiting?.remove();
    if (afresh) prints.clear();
    prints.append(page.images, byDay());
    selection.repaint();
    cursor = page.next_cursor;
    total = page.total;
    watchEnd();
  } catch (error) {
    if (mine === generation) nearEnd.disconnect(); // "More pictures" is how to try again
    toastError(error);
  } finally {
    waiting?.remove();
    if (mine === generation) {
      loading = false;
      sheet.removeAttribute("aria-busy");
      showState();
    }
  }
}

/** A picture of the list that is shown, with all before it. @param {string} id @returns {Promise<HTMLElement | null>} */
async function loadUpTo(id) {
  if (prints.itemOf(id)) return prints.itemOf(id);
  const { ids } = await listIds(request());
  const at = ids.indexOf(id);
  for (let before = -1; prints.count() <= at && prints.count() > before && cursor; ) {
    before = prints.count();
    await load(false, Math.min(Math.max(at + 1 - before, PAGE), MOST_AT_ONCE));
  }
  return prints.itemOf(id);
}

/** Where one was before one went away. */
async function goBack() {
  const place = placeToGo();
  const item = place && (await loadUpTo(place.id));
  if (place && item) await goTo(item, place.top);
  keepPlace();
}

/** Look again: a page that was too short to push the end out of sight is followed by the next one. */
function watchEnd() {
  nearEnd.disconnect();
  nearEnd.observe(byId("more-area"));
}

function address() {
  const query = new URLSearchParams();
  if (filter.q) query.set("q", filter.q);
  if (filter.favourite) query.set("favourite", "1");
  if (collection) query.set("collection", collection);
  if (filter.sort !== "newest") query.set("sort", filter.sort);
  return String(query);
}

function applyFilter() {
  const query = address();
  history.replaceState(null, "", query ? `/gallery?${query}` : "/gallery");
  byId("favourites").setAttribute("aria-pressed", String(filter.favourite));
  prints.setAddress(query);
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

/** Bring what is shown up to date, in place: the focus and what is scrolled to stay where they are. */
async function catchUp() {
  const mine = generation;
  const wanted = Math.min(Math.max(prints.count(), PAGE), MOST_AGAIN);
  /** @type {Picture[]} */
  const images = [];
  let page;
  do {
    const limit = Math.min(wanted - images.length, MOST_AT_ONCE);
    page = await listImages({ ...request(), limit: Math.max(limit, PAGE), cursor: page?.next_cursor ?? null });
    if (mine !== generation) return;
    images.push(...page.images);
  } while (images.length < wanted && page.next_cursor);
  keepFocus(() => prints.showAll(images, byDay()));
  selection.repaint();
  cursor = page.next_cursor;
  total = page.total;
  showState();
  watchEnd();
}

function catchUpSoon() {
  clearTimeout(recountTimer);
  recountTimer = window.setTimeout(() => catchUp().catch(toastError), RECOUNT_DELAY_MS);
}

// what comes and goes

/** Where a picture with the focus leaves, its neighbour gets it, not the top of the page. @param {() => void} change */
function keepFocus(change) {
  const item = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".print[data-id]"));
  const items = item ? prints.shown() : [];
  const at = item ? items.indexOf(item) : -1;
  change();
  if (!item || item.isConnected) return;
  const next = [...items.slice(at + 1), ...items.slice(0, at).reverse()].find((other) => other.isConnected);
  if (next) focus(next);
  else byId("main").focus();
}

/** @type {Set<string>} */
const leaving = new Set();

/** Hundreds may leave at once. @param {string} id */
function leave(id) {
  if (!leaving.size) queueMicrotask(leaveTogether);
  leaving.add(id);
}

function leaveTogether() {
  const ids = [...leaving];
  leaving.clear();
  const here = ids.filter((id) => prints.itemOf(id));
  keepFocus(() => here.forEach(prints.remove));
  selection.forget(ids);
  total -= here.length;
  if (here.length < ids.length || (!prints.count() && cursor)) catchUpSoon();
  showState();
}

/** Every word occurs, as the server searches. @param {string} text */
const holdsWords = (text) =>
  folded(filter.q)
    .split(/\s+/)
    .every((word) => folded(text).includes(word));

/** As the server compares: without regard to case, width and how accents are written. @param {string} text */
const folded = (text) => text.normalize("NFKC").toLowerCase().normalize("NFKC");

/** @param {{image: Picture}} change */
function onImage({ image }) {
  const item = prints.itemOf(image.id);
  const matches = (!filter.favourite || image.favourite) && holdsWords(image.prompt);
  if (item && matches) prints.mark(item, image);
  else if (item) leave(image.id);
  else if (matches && !collection) catchUpSoon(); // where it belongs is for the server to say
}

// choosing and acting

/** @param {(...parameters: any[]) => Promise<unknown>} action */
const guarded = (action) => (/** @type {any[]} */ ...parameters) => action(...parameters).catch(toastError);

/** @param {MouseEvent} event */
async function onClick(event) {
  const clicked = /** @type {Element} */ (event.target);
  const control = clicked.closest("button[data-action]");
  const item = /** @type {HTMLElement | null} */ (clicked.closest(".print"));
  const action = control?.getAttribute("data-action");
  if (action === "day") {
    const ids = [...(control?.closest(".day")?.querySelectorAll(".print") ?? [])].map((one) => one.getAttribute("data-id") ?? "");
    const all = ids.every((id) => selection.selectedIds().includes(id));
    selection.select(ids, !all);
    return;
  }
  const id = item?.dataset.id;
  if (!item || !id) return;
  if (action === "select" || (!action && (selection.isSelecting() || event.shiftKey))) {
    event.preventDefault();
    selection.toggle(id, event.shiftKey);
  } else if (action === "delete") {
    await removeWithUndo(id);
  } else if (action === "favourite") {
    const favourite = control?.getAttribute("aria-pressed") === "true";
    await toggleFavourite(/** @type {Picture} */ ({ id, favourite }));
  }
}

async function selectAll() {
  const { ids } = cursor === null ? { ids: prints.shownIds() } : await listIds(request());
  selection.select(ids);
}

/** Take the chosen ones away, which are chosen no more if that was done. @param {(ids: string[]) => Promise<unknown>} action */
const withSelected = (action) =>
  guarded(async () => {
    if ((await action(selection.selectedIds())) !== false) selection.end();
  });

async function favourSelected() {
  const ids = selection.selectedIds();
  await actions.favour(ids, !ids.every((id) => isFavourite(prints.itemOf(id))));
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const at = /** @type {Element} */ (event.target);
  if (event.altKey || at.closest("input, textarea, select, dialog")) return;
  const item = /** @type {HTMLElement | null} */ (at.closest(".print[data-id]"));
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key.toLowerCase() === "a" && (item || selection.isSelecting())) {
    event.preventDefault();
    guarded(selectAll)();
  } else if (event.key === "Escape" && selection.isSelecting()) {
    selection.end();
  } else if (event.key === "Delete" && selection.selectedIds().length) {
    withSelected(actions.remove)();
  } else if (item && !command) {
    onItemKey(event, item);
  }
}

/** @param {KeyboardEvent} event @param {HTMLElement} item */
function onItemKey(event, item) {
  const id = item.dataset.id ?? "";
  const onLink = /** @type {Element} */ (event.target).closest("a") !== null;
  const next = target(event.key, item);
  if (next) {
    event.preventDefault();
    if (event.shiftKey && next !== item) selection.extend(id, next.dataset.id ?? "");
    focus(next);
  } else if (event.key.toLowerCase() === "x" || (event.key === " " && onLink)) {
    event.preventDefault();
    selection.toggle(id);
  } else if (event.key === "Delete" && onLink) {
    removeWithUndo(id);
  }
}

sheet.addEventListener("click", guarded(onClick));
sheet.addEventListener("dragstart", (event) => {
  const item = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".print[data-id]"));
  if (item) carry(event, { id: item.dataset.id ?? "", name: item.dataset.file ?? "" });
});
document.addEventListener("keydown", onKey);
search.addEventListener("input", onSearch);
sort.addEventListener("change", () => {
  filter.sort = sort.value;
  applyFilter();
});
byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter === byId("favourites")) filter.favourite = !filter.favourite;
  filter.q = search.value.trim();
  applyFilter();
});
byId("select").addEventListener("click", selection.start);
byId("end-selection").addEventListener("click", selection.end);
byId("select-all").addEventListener("click", guarded(selectAll));
// these leave the pictures where they are, and the next thing may be to be done with the same ones
byId("download-selected").addEventListener("click", guarded(() => actions.download(selection.selectedIds())));
byId("favourite-selected").addEventListener("click", guarded(favourSelected));
byId("move-selected").addEventListener("click", withSelected((ids) => actions.move(ids, collection)));
byId("delete-selected").addEventListener("click", withSelected(actions.remove));
document.getElementById("take-out")?.addEventListener(
  "click",
  withSelected((ids) => actions.takeOut(ids, collection ?? "")),
);
more.addEventListener("click", (event) => {
  event.preventDefault();
  load(false);
});
const nearEnd = new IntersectionObserver(
  (entries) => entries.some((entry) => entry.isIntersecting) && cursor && load(false),
  { rootMargin: "800px" },
);
startRow(collection);
(prints.settle() ? Promise.resolve() : catchUp()).then(goBack).catch(toastError);
watchEnd();
subscribe("image", onImage);
subscribe("image_deleted", leave);
subscribe("images_changed", () => {
  catchUpSoon();
  showRow(collection).catch(toastError);
});
subscribe("resync", () => catchUp().catch(toastError));
