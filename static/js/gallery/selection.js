// Which pictures are chosen: by their buttons, with Shift as a range, by keys, or all that a search finds.

import { byId } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { itemOf, shown, shownIds } from "./sheet.js";
import { showChosen } from "./tools.js";

const root = byId("sheet");
const bar = byId("selection-bar");

/** @type {Set<string>} */
const chosen = new Set();
let selecting = false; // a click chooses, instead of opening
/** @type {string | null} */
let anchor = null; // where a range begins

export const selectedIds = () => [...chosen];
export const isSelecting = () => selecting;

/** @param {string} id */
function paint(id) {
  const item = itemOf(id);
  item?.classList.toggle("selected", chosen.has(id));
  if (item) showChosen(item);
}

function showBar() {
  selecting ||= chosen.size > 0;
  root.classList.toggle("selecting", selecting);
  bar.hidden = !selecting;
  byId("gallery-bar").hidden = selecting;
  byId("selected-count").textContent = chosen.size ? `${plural(chosen.size, "picture")} selected` : "Select pictures";
  for (const control of bar.querySelectorAll("[data-needs-selection]")) {
    /** @type {HTMLButtonElement} */ (control).disabled = chosen.size === 0;
  }
}

/** @param {Iterable<string>} ids @param {boolean} [on] */
export function select(ids, on = true) {
  for (const id of ids) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    paint(id);
  }
  showBar();
}

/** @param {string} id  with `range`, all from the one before to this are as that one is */
export function toggle(id, range = false) {
  if (range && anchor !== null && anchor !== id) {
    const ids = shownIds();
    const [from, to] = [ids.indexOf(anchor), ids.indexOf(id)].sort((a, b) => a - b);
    select(ids.slice(Math.max(from, 0), to + 1), chosen.has(anchor));
  } else {
    select([id], !chosen.has(id));
    anchor = id;
  }
}

/** @param {string} from @param {string} to  as Shift with an arrow does */
export function extend(from, to) {
  if (!chosen.has(from)) select([from]);
  anchor ??= from;
  const back = chosen.has(to);
  select(back ? [from] : [to], !back);
}

export function start() {
  selecting = true;
  showBar();
  byId("select-all").focus();
}

export function end() {
  const had = bar.contains(document.activeElement);
  const ids = selectedIds();
  chosen.clear();
  ids.forEach(paint);
  selecting = false;
  anchor = null;
  showBar();
  if (had) byId("select").focus();
}

/** Pictures that are gone are not chosen any more. @param {Iterable<string>} ids */
export function forget(ids) {
  for (const id of ids) chosen.delete(id);
  if (selecting) showBar();
}

/** What is entered later, by scrolling, may have been chosen with all others. */
export function repaint() {
  if (chosen.size) for (const item of shown()) paint(item.dataset.id ?? "");
}
