// What is being edited, and how: the pictures, the way, its settings. Remembered by this tab alone.

import { rememberedHere, rememberHere } from "../lib/storage.js";
import { isNone, NONE, problemOf, SIDES } from "./margins.js";

/** @typedef {"change" | "redraw" | "repaint" | "extend" | "blend"} Way */

/**
 * @typedef {object} Slot  A picture that goes in
 * @property {string} id  of the gallery, or of an input
 * @property {string} url
 * @property {number} width
 * @property {number} height
 * @property {string} name  for people
 * @property {string | null} mask  what is marked, as Mask.toText writes it
 * @property {string | null} [alpha]  id of a mask of what is see-through, if anything is
 * @property {string[]} [notes]  what it has lost when it was taken in, for people
 */

/**
 * @typedef {object} Session
 * @property {Slot[]} pictures  the first is the one that is changed
 * @property {Way} way
 * @property {{redraw: number, repaint: number, extend: number, blend: number}} strengths
 * @property {number} share  of the second picture in a blend, from 0 to 1
 * @property {import("./margins.js").Margins} margins
 * @property {number} feather  pixels
 * @property {boolean | null} onlyMasked  null: where it gains
 * @property {number | null} detail  of pictures that are looked at; null: the plan chooses
 * @property {boolean} ownSize  the result has the size that the form says, not the picture's
 */

const KEY = "editor";
export const MAX_PICTURES = 4;
const MAX_KEPT_CHARS = 500_000; // of what is marked: a browser keeps some millions for a page

/** @returns {Session} */
export const fresh = () => ({
  pictures: [],
  way: "redraw",
  strengths: { redraw: 0.6, repaint: 1, extend: 0.9, blend: 0.3 },
  share: 0.5,
  margins: NONE,
  feather: 16,
  onlyMasked: null,
  detail: null,
  ownSize: false,
});

/** @type {Session} */
export const session = fresh();

/** What this tab edited before it was loaded anew. */
export function restore() {
  const { strengths, ...kept } = rememberedHere(KEY) ?? {};
  Object.assign(session, kept, { strengths: { ...session.strengths, ...strengths } });
}

export function keep() {
  const pictures = session.pictures.map((slot) => ({
    ...slot,
    mask: (slot.mask?.length ?? 0) > MAX_KEPT_CHARS ? null : slot.mask,
  }));
  rememberHere(KEY, { ...session, pictures });
}

/** What is missing before anything can be drawn, in words; "" for nothing. @param {Session} now */
export function missing({ way, margins, pictures }) {
  if (way === "repaint" && !hasMark(pictures[0])) return "Mark what is to be drawn anew, with the brush for example.";
  if (way === "blend" && pictures.length < 2) return "Add the second picture, with the +.";
  if (way !== "extend") return "";
  return isNone(margins) ? "Say where the picture is to grow: drag an edge, or choose a shape." : problemOf(pictures[0], margins);
}

/** @param {Slot} slot  whether anything is marked: the first length alone says that nothing is */
export const hasMark = ({ mask }) => Boolean(mask?.includes(","));

/**
 * What a request says of the pictures.
 * @param {Session} now
 * @param {string | null} mask  the id of what is marked
 * @returns {Record<string, unknown>}
 */
export function fieldsOf({ pictures, way, strengths, share, margins, feather, onlyMasked, detail }, mask) {
  const ids = pictures.map(({ id }) => id);
  const looking = (/** @type {string[]} */ references) =>
    references.length ? { references, ...(detail === null ? {} : { reference_detail: detail }) } : {};
  if (way === "change") return looking(ids);
  if (way === "blend") return { init: ids[0], morph: ids[1], morph_weight: share, strength: strengths.blend };
  const changed = { init: ids[0], strength: strengths[way], ...looking(ids.slice(1)) };
  if (way === "redraw") return changed;
  const partly = { ...changed, feather_px: feather, ...(onlyMasked === null ? {} : { only_masked: onlyMasked }) };
  return way === "repaint" ? { ...partly, mask } : { ...partly, extend: SIDES.map((side) => margins[side]) };
}

/** Whether the size that the form says is asked for. @param {Session} now */
export const takesOwnSize = ({ way, ownSize }) => ownSize && way !== "repaint" && way !== "extend";
