// A frame around the picture whose edges are pulled outwards. Every edge is a slider for the keyboard.

import { el, shaped } from "../lib/dom.js";
import { easel } from "./easel.js";
import { extended, moved, SIDES } from "./margins.js";

/** @typedef {typeof SIDES[number]} Side */
/** @typedef {import("./margins.js").Margins} Margins */

const KEY_PX = 16;
const PAGE_PX = 128;
/** @type {Record<Side, {out: string, back: string, across: number, down: number, words: string}>} */
const EDGES = {
  left: { out: "ArrowLeft", back: "ArrowRight", across: -1, down: 0, words: "on the left" },
  top: { out: "ArrowUp", back: "ArrowDown", across: 0, down: -1, words: "above" },
  right: { out: "ArrowRight", back: "ArrowLeft", across: 1, down: 0, words: "on the right" },
  bottom: { out: "ArrowDown", back: "ArrowUp", across: 0, down: 1, words: "below" },
};

/** @param {Side} side @param {KeyboardEvent} event @param {number} now @returns {number | null} what the key makes of it */
function steppedBy(side, { key, shiftKey }, now) {
  const step = shiftKey ? 1 : KEY_PX;
  const values = /** @type {Record<string, number>} */ ({
    [EDGES[side].out]: now + step,
    [EDGES[side].back]: now - step,
    PageUp: now + PAGE_PX,
    PageDown: now - PAGE_PX,
    Home: 0,
  });
  return values[key] ?? null;
}

/**
 * @param {import("./session.js").Slot} slot
 * @param {{margins: () => Margins, setMargins: (margins: Margins) => void}} desk
 */
export function createExtender(slot, { margins, setMargins }) {
  const handles = Object.fromEntries(SIDES.map((side) => [side, handle(side)]));
  const picture = easel(slot);
  const element = el("div", { class: "easel extending" }, picture, ...Object.values(handles));
  /** @type {{side: Side, x: number, y: number, margins: Margins, scale: number} | null} */
  let pull = null;

  /** @param {Side} side */
  function handle(side) {
    const made = el("span", {
      class: `edge edge-${side}`,
      role: "slider",
      tabindex: 0,
      "aria-label": `Pixels added ${EDGES[side].words}`,
      "aria-orientation": EDGES[side].across ? "horizontal" : "vertical",
      "aria-valuemin": 0,
      "aria-valuemax": 2048,
    });
    made.addEventListener("keydown", (event) => {
      const value = steppedBy(side, event, margins()[side]);
      if (value === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      setMargins(moved(margins(), side, value));
    });
    made.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      made.setPointerCapture(event.pointerId);
      const scale = element.getBoundingClientRect().width / extended(slot, margins()).width;
      pull = { side, x: event.clientX, y: event.clientY, margins: margins(), scale };
    });
    made.addEventListener("pointermove", (event) => {
      if (!pull || !made.hasPointerCapture(event.pointerId)) return;
      const { across, down } = EDGES[side];
      const outwards = (event.clientX - pull.x) * across + (event.clientY - pull.y) * down;
      setMargins(moved(margins(), side, pull.margins[side] + outwards / pull.scale));
    });
    for (const type of ["pointerup", "pointercancel"]) {
      made.addEventListener(type, () => {
        pull = null;
        show();
      });
    }
    return made;
  }

  /** While an edge is pulled nothing else moves: the picture is not fitted into its room before it is let go of. */
  function hold() {
    if (!pull) return element.removeAttribute("style");
    const now = margins();
    const size = extended(slot, now);
    const grown = (/** @type {Side} */ side) => (now[side] - (pull?.margins[side] ?? 0)) * (pull?.scale ?? 1);
    element.style.width = `${size.width * pull.scale}px`;
    element.style.translate = `${(grown("right") - grown("left")) / 2}px ${(grown("bottom") - grown("top")) / 2}px`;
  }

  function show() {
    const now = margins();
    const size = extended(slot, now);
    hold();
    shaped(element, size.width, size.height);
    picture.style.left = `${(now.left / size.width) * 100}%`;
    picture.style.top = `${(now.top / size.height) * 100}%`;
    picture.style.width = `${(slot.width / size.width) * 100}%`;
    for (const side of SIDES) {
      handles[side].setAttribute("aria-valuenow", String(now[side]));
      handles[side].setAttribute("aria-valuetext", `${now[side]} pixels`);
      handles[side].dataset.px = now[side] ? `${now[side]} px` : "";
    }
  }

  show();
  return { element, show };
}
