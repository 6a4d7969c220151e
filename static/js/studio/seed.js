// The seed field. It always shows the seed of the last or next picture. Unlocked, Generate rolls a new one unless the
// shown one was just typed, rolled or taken from a picture; locked, it stays.

import { byId, setIcon } from "../lib/dom.js";
import { isWhole, MAX_SEED, randomSeed } from "../lib/limits.js";
import { remember, remembered, rememberedHere, rememberHere } from "../lib/storage.js";

let locked = remembered("seed-locked", false);
let fresh = true;
let asked = false; // for this very seed: typed, rolled or taken from a picture

const field = () => /** @type {HTMLInputElement} */ (byId("seed"));

function show() {
  // What the next picture would have. One that nobody asked for is forgotten: two tabs would draw the same picture.
  rememberHere("seed", locked || (fresh && asked) ? typedSeed() : null);
  if (locked) remember("locked-seed", typedSeed());
  const lock = byId("seed-lock");
  const words = locked ? "Unlock the seed" : "Lock the seed";
  lock.setAttribute("aria-pressed", String(locked));
  lock.title = words;
  setIcon(lock, locked ? "lock" : "unlock");
  byId("seed-hint").textContent = locked
    ? "The seed is locked"
    : fresh
      ? "This seed next, then new ones"
      : "A new seed for each picture";
}

/** @param {boolean} value */
export function setLocked(value) {
  locked = value;
  remember("seed-locked", locked);
  show();
}

/** @param {number} seed  will be used by the next picture */
export function setSeed(seed) {
  field().value = String(seed);
  fresh = asked = true;
  show();
}

function rollSeed() {
  setSeed(randomSeed());
  asked = false;
  show();
}

/** What the field holds. @returns {number | null} null when that is no seed */
function typedSeed() {
  const seed = field().value.trim() === "" ? NaN : Number(field().value);
  return isWhole(seed, 0, MAX_SEED) ? seed : null;
}

/** @returns {number | null} the seed to draw with; null when the field does not hold one */
export function nextSeed() {
  if (!locked && !fresh) rollSeed();
  return typedSeed();
}

/** A picture is drawn with this seed: if it is the one shown, the next picture takes another. @param {unknown} seed */
export function spendSeed(seed) {
  if (seed !== typedSeed()) return;
  fresh = false;
  show();
}

/** @returns {string} */
export const seedText = () => field().value;

export function startSeed() {
  const kept = rememberedHere("seed") ?? (locked ? remembered("locked-seed", null) : null);
  if (kept === null) rollSeed();
  else setSeed(kept);
  byId("seed-dice").addEventListener("click", () => {
    setSeed(randomSeed());
    field().dispatchEvent(new Event("input", { bubbles: true }));
  });
  byId("seed-lock").addEventListener("click", () => setLocked(!locked));
  field().addEventListener("input", () => {
    fresh = asked = true;
    show();
  });
}
