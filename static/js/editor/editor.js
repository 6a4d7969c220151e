// Pictures that go in: takes them, shows the one that is changed on the workbench, and says what a request says of them.

import { byId, fill } from "../lib/dom.js";
import { addMask } from "../lib/api.js";
import { rememberedHere, rememberHere } from "../lib/storage.js";
import { publish, subscribe } from "../lib/store.js";
import { clearToasts, toast, toastError } from "../lib/toast.js";
import { isChosen } from "../stage/stage.js";
import { showControls, startControls } from "./controls.js";
import { easel } from "./easel.js";
import { NONE } from "./margins.js";
import { slotOf, takeIn } from "./pictures.js";
import { fieldsOf, keep, MAX_PICTURES, missing, restore, session, takesOwnSize } from "./session.js";
import { nameOf, showSlots } from "./slots.js";

/** @typedef {import("./session.js").Slot} Slot */

const prompt = () => /** @type {HTMLTextAreaElement} */ (byId("prompt"));

let onBench = ""; // what the workbench shows, so that it is not made anew under somebody's hand
/** @type {ReturnType<typeof import("./extender.js").createExtender> | null} */
let extender = null;
/** @type {typeof import("./paint-tools.js") | null} once something is to be marked */
let painting = null;
/** @type {Promise<unknown>} until the picture on the bench can be marked or extended */
let marking = Promise.resolve();
/** @type {{of: string, id: string} | null} the mask that was sent last */
let sentMask = null;

export const isEditing = () => session.pictures.length > 0;

/** Whether the picture's own size is asked for, and not the one that the form says. */
export const sizesItself = () => isEditing() && !takesOwnSize(session);

/** The picture that is changed, as a request names it. @returns {{init?: string}} */
export const changedPicture = () => (isEditing() && session.way !== "change" ? { init: session.pictures[0].id } : {});

/** Whether two pictures are blended: words are not needed then. */
export const isBlending = () => isEditing() && session.way === "blend";

/** @type {import("./session.js").Way | null} that was chosen, and is not offered now */
let wished = null;

/** A model that draws in bits blends two pictures, and looks at none. @param {boolean} drawsBits  the chosen one */
export function offerWays(drawsBits) {
  const [offered, other] = /** @type {const} */ (drawsBits ? ["blend", "change"] : ["change", "blend"]);
  for (const way of [offered, other])
    document.querySelector(`[name=way][value=${way}]`)?.parentElement?.toggleAttribute("hidden", way === other);
  if (session.way === other) [wished, session.way] = [other, "redraw"];
  else if (wished === offered) [wished, session.way] = [null, offered];
  else return;
  changed();
}

/** Whether the stage belongs to the picture that is edited. */
export const isBenchShown = () => !byId("workbench").hidden;

/** What is missing before anything can be drawn, in words; "" for nothing. */
export const missingOfPictures = () => (isEditing() ? missing(session) : "");

/** Where what is missing can be given. */
export function leadToMissing() {
  showBench();
  focusBench();
}

/**
 * What a request says of the pictures that go in, of which nothing is missing: nothing where nothing is edited.
 * @returns {Promise<Record<string, unknown>>}
 */
export async function requestedPictures() {
  if (!isEditing()) return {};
  return fieldsOf(session, session.way === "repaint" ? await maskId() : null);
}

/** @returns {Promise<string>} of what is marked, which is sent if it has changed */
async function maskId() {
  const [slot] = session.pictures;
  const of = `${slot.id} ${slot.mask}`;
  if (sentMask?.of !== of) {
    await marking;
    const mask = painting?.paintedMask();
    if (!mask) throw new Error("What is marked is not there any more; mark it again.");
    const { pngOf } = await import("./png.js");
    sentMask = { of, id: (await addMask(await pngOf(mask))).id };
  }
  return sentMask.id;
}

/** @param {string[]} ids  pictures of the gallery or inputs: the first is to be changed */
export async function edit(ids) {
  const pictures = await Promise.all(ids.slice(0, MAX_PICTURES).map(slotOf));
  Object.assign(session, { pictures, margins: NONE });
  clearToasts(); // of pictures before
  if (!prompt().value.trim() && ids[0].length < 64) fillPrompt(pictures[0].name);
  changed();
  lookAtBench();
  if (pictures[0].alpha) offerAlpha();
}

/** What is see-through is, more often than not, what is to be drawn. */
function offerAlpha() {
  const onAction = async () => {
    session.way = "repaint";
    changed();
    await marking;
    byId("paint-alpha").click();
  };
  toast("A part of this picture is see-through, and counts as white.", { action: "Draw there", onAction, showMs: 20_000 });
}

/** @param {string} text */
function fillPrompt(text) {
  prompt().value = text;
  prompt().dispatchEvent(new Event("input", { bubbles: true }));
}

/** More pictures to look at, as far as there is room. @param {readonly File[]} files */
async function add(files) {
  const room = MAX_PICTURES - session.pictures.length;
  const ids = await Promise.all(files.slice(0, room).map(takeIn));
  session.pictures = [...session.pictures, ...(await Promise.all(ids.map(slotOf)))];
  if (files.length > room) toast(`${MAX_PICTURES} pictures go in at most.`);
  changed();
}

function stop() {
  Object.assign(session, { pictures: [], margins: NONE });
  changed();
  showStage();
  byId("prompt").focus();
}

/** @type {import("./slots.js").Row} */
const row = {
  look: lookAtBench,
  move(from, to) {
    const pictures = [...session.pictures];
    pictures.splice(to, 0, ...pictures.splice(from, 1));
    if (pictures[0] !== session.pictures[0]) session.margins = NONE;
    session.pictures = pictures;
    changed();
  },
  remove(place) {
    if (session.pictures.length === 1) return stop();
    if (place === 0) session.margins = NONE;
    session.pictures = session.pictures.filter((_, index) => index !== place);
    changed();
    return byId("slots").querySelector("button")?.focus();
  },
  name(place) {
    const field = prompt();
    const before = field.value.slice(0, field.selectionStart);
    const gap = before && !/\s$/.test(before) ? " " : "";
    field.setRangeText(`${gap}${nameOf(place)}`, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  },
  add: () => byId("slot-file").click(),
};

/** Something of the session is another one than before. */
function changed() {
  keep();
  const active = document.activeElement;
  for (const id of ["editor", "editor-fields"]) byId(id).hidden = !isEditing();
  byId("composer").toggleAttribute("data-editing", isEditing());
  if (isEditing()) {
    if (!byId("slots").contains(active) || shownSlots !== slotsNow()) showRow();
    showControls();
    showOnBench();
  }
  publish("edited");
}

let shownSlots = "";
const slotsNow = () => session.pictures.map(({ id }) => id).join();

function showRow() {
  if (shownSlots === slotsNow()) return;
  shownSlots = slotsNow();
  showSlots(byId("slots"), row);
  const lost = session.pictures.flatMap(({ notes = [] }, place) => notes.map((note) => `${nameOf(place)}: ${note}`));
  byId("slot-notes").textContent = lost.join(" ");
}

/** The picture that is changed, with what its way lays over it. */
function showOnBench() {
  const [slot] = session.pictures;
  const { way } = session;
  byId("tools").hidden = way !== "repaint" || !painting; // until they are at work
  if (onBench === `${slot.id} ${way}`) return extender?.show();
  onBench = `${slot.id} ${way}`;
  extender = null;
  fill(byId("bench"), easel(slot));
  /** @type {Partial<Record<typeof way, typeof paintOnBench>>} */
  const laidOver = { repaint: paintOnBench, extend: extendOnBench };
  const work = laidOver[way];
  if (work) marking = work(slot, onBench).catch(toastError);
  return undefined;
}

/** @param {Slot} slot @param {string} shown  what the bench is for, unless it changes meanwhile */
async function paintOnBench(slot, shown) {
  if (!painting) {
    const loaded = await import("./paint-tools.js");
    if (!painting) loaded.startPaintTools(changed);
    painting = loaded;
  }
  if (onBench !== shown) return;
  byId("tools").hidden = false;
  fill(byId("bench"), painting.paintOn(slot));
}

/** @param {Slot} slot @param {string} shown  what the bench is for, unless it changes meanwhile */
async function extendOnBench(slot, shown) {
  const { createExtender } = await import("./extender.js");
  if (onBench !== shown) return;
  extender = createExtender(slot, { margins: () => session.margins, setMargins });
  fill(byId("bench"), extender.element);
}

/** @param {import("./margins.js").Margins} margins */
function setMargins(margins) {
  session.margins = margins;
  changed();
}

function showBench() {
  if (!isEditing()) return;
  setMode("edit");
}

/** On a phone the form lies below the picture. */
function lookAtBench() {
  showBench();
  byId("workbench").scrollIntoView({ block: "nearest" });
}

/** What takes the keys there: the brush, the picture's edges, or the place of a second picture. */
function focusBench() {
  const place = byId("bench").querySelector("[tabindex='0']") ?? (isBlending() ? document.querySelector(".slot-add") : null);
  /** @type {HTMLElement | null} */ (place)?.focus();
}

async function goToBench() {
  lookAtBench();
  await marking; // it is loaded when it is first used
  focusBench();
}

/** To be marked or extended, a picture has to be in sight. */
function onWay() {
  wished = null;
  if (session.way === "repaint" || session.way === "extend") lookAtBench();
  else showBench();
}

const showStage = () => setMode("view");

const checkedWay = () => /** @type {HTMLElement} */ (byId("ways").querySelector(":checked"));

/** @param {"edit" | "view"} mode */
function setMode(mode) {
  const editing = mode === "edit";
  const [shown, left] = editing ? ["workbench", "stage"] : ["stage", "workbench"];
  const hadFocus = byId(left).contains(document.activeElement);
  byId("stage").dataset.mode = mode;
  byId(left).hidden = true;
  byId(shown).hidden = false;
  // it would be at the top of the page: work begins with what to do, and goes on with what was drawn
  if (hadFocus) (editing ? checkedWay() : byId("stage")).focus({ preventScroll: true });
  byId("editor-show").textContent = editing ? "Show the result" : "Show the picture";
  rememberHere("bench", editing);
}

function listen() {
  byId("editor-close").addEventListener("click", stop);
  byId("editor-show").addEventListener("click", () => (isBenchShown() ? showStage() : lookAtBench()));
  byId("ways").addEventListener("change", onWay);
  byId("to-picture").addEventListener("click", goToBench);
  const chooser = /** @type {HTMLInputElement} */ (byId("slot-file"));
  chooser.addEventListener("change", () => {
    add([...(chooser.files ?? [])]).catch(toastError);
    chooser.value = "";
  });
  byId("slots").addEventListener("drop", (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere a picture that is dropped becomes the one that is changed
    add(files).catch(toastError);
  });
  subscribe("edit", (ids) => edit(ids).catch(toastError));
  subscribe("view", () => isChosen() && showStage());
}

export function startEditor() {
  restore();
  startControls(changed);
  listen();
  changed();
  if (isEditing()) {
    if (rememberedHere("bench")) showBench();
    slotOf(session.pictures[0].id).catch(() => {
      toast("The picture that was edited here is gone.");
      stop();
    });
  }
}
