// Where one was in the gallery, kept for the way back and for a reload. A browser cannot bring one there by itself: the
// page is short until its pictures have come.

import { shown } from "./sheet.js";

/** @typedef {{id: string, top: number}} Place  a picture, and how far below the upper edge of the window it was */

const REST_MS = 150; // after the last scrolling
const STEP_PX = 24;
const FRAMES = 10; // in which days far away get their height
const LEAVES = ["wheel", "touchstart", "keydown", "pointerdown"]; // whoever does one of these goes elsewhere

history.scrollRestoration = "manual";

let timer = 0;

/** The first picture below the bar at the top. @returns {Place | null} */
function now() {
  const [first] = shown();
  const x = (first?.getBoundingClientRect().left ?? 0) + STEP_PX;
  for (let y = 72; y < innerHeight; y += STEP_PX) {
    const item = /** @type {HTMLElement | null} */ (document.elementFromPoint(x, y)?.closest(".print[data-id]") ?? null);
    if (item) return { id: item.dataset.id ?? "", top: item.getBoundingClientRect().top };
  }
  return null;
}

function note() {
  clearTimeout(timer);
  history.replaceState({ ...history.state, place: scrollY > 0 ? now() : null }, "");
}

/** From here on where one is, is kept in the history. */
export function keepPlace() {
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = window.setTimeout(note, REST_MS);
  });
  document.addEventListener("click", note, true); // it may lead away at once
}

/** @returns {Place | null} where one was, or the picture that the address names, which is shown in the middle */
export function placeToGo() {
  const id = /^#([0-9a-f]{32})$/.exec(location.hash)?.[1];
  if (!id) return history.state?.place ?? null;
  history.replaceState(history.state, "", location.pathname + location.search);
  return { id, top: innerHeight / 3 };
}

/** @param {HTMLElement} item @param {number} top */
export async function goTo(item, top) {
  let left = false;
  const leave = () => (left = true);
  for (const type of LEAVES) addEventListener(type, leave, { once: true });
  for (let frame = 0; frame < FRAMES && !left; frame += 1) {
    scrollBy({ top: item.getBoundingClientRect().top - top, behavior: "instant" });
    await new Promise(requestAnimationFrame);
  }
  for (const type of LEAVES) removeEventListener(type, leave);
}
