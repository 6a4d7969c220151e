// The pictures that go in, as a row: the first is the one that is changed. Dragged or moved by keys, named in the prompt.

import { button, el } from "../lib/dom.js";
import { MAX_PICTURES, session } from "./session.js";

/** @typedef {import("./session.js").Slot} Slot */

/**
 * @typedef {object} Row
 * @property {(place: number) => void} look  show this picture
 * @property {(from: number, to: number) => void} move
 * @property {(place: number) => void} remove
 * @property {(place: number) => void} name  write this picture's name into the prompt
 * @property {() => void} add
 */

/** What a picture is called in a prompt. @param {number} place */
export const nameOf = (place) => `image ${place + 1}`;

/** @param {HTMLElement[]} items @param {PointerEvent} event @returns {number} the place that the pointer is nearest to */
function nearest(items, { clientX, clientY }) {
  const distances = items.map((item) => {
    const { left, top, width, height } = item.getBoundingClientRect();
    return Math.hypot(clientX - left - width / 2, clientY - top - height / 2);
  });
  return distances.indexOf(Math.min(...distances));
}

/** @param {HTMLElement} list @param {HTMLElement} thumb @param {number} place @param {Row} row */
function draggable(list, thumb, place, row) {
  let target = place;
  let begun = false;
  const items = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".slot")]);
  const mark = (/** @type {number} */ at) =>
    items().forEach((item, index) => item.toggleAttribute("data-target", index === at && at !== place));
  thumb.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    thumb.setPointerCapture(event.pointerId);
    target = place;
    begun = true;
  });
  thumb.addEventListener("pointermove", (event) => {
    if (!begun) return;
    target = nearest(items(), event);
    mark(target);
  });
  thumb.addEventListener("pointercancel", () => {
    begun = false;
    mark(place);
  });
  thumb.addEventListener("pointerup", () => {
    if (!begun) return;
    begun = false;
    mark(place);
    if (target !== place) row.move(place, target);
  });
  thumb.addEventListener("click", () => target === place && row.look(place));
}

/** @param {HTMLElement} list @param {Slot} slot @param {number} place @param {Row} row */
function slotItem(list, slot, place, row) {
  const several = session.pictures.length > 1;
  const keys = several ? "; the left and right arrow keys move it" : "";
  const thumb = el(
    "button",
    {
      type: "button",
      class: "slot-thumb",
      "aria-label": `${nameOf(place)}: ${slot.name}${keys}`,
      title: several ? "Drag to change the order" : "Show this picture",
    },
    el("img", { src: slot.url, alt: "", draggable: "false" }),
  );
  thumb.addEventListener("keydown", (event) => {
    const to = place + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0);
    if (to === place || to < 0 || to >= session.pictures.length) return;
    event.preventDefault();
    row.move(place, to);
    /** @type {HTMLElement} */ (list.querySelectorAll(".slot-thumb")[to]).focus();
  });
  draggable(list, thumb, place, row);
  return el(
    "li",
    { class: "slot" },
    thumb,
    button({ icon: "close", label: `Remove ${nameOf(place)}`, class: "slot-remove", on: { click: () => row.remove(place) } }),
    el(
      "button",
      {
        type: "button",
        class: "link-button slot-name",
        title: `Write “${nameOf(place)}” into the prompt`,
        on: { click: () => row.name(place) },
      },
      nameOf(place),
    ),
  );
}

/** @param {HTMLElement} list @param {Row} row */
export function showSlots(list, row) {
  const items = session.pictures.map((slot, place) => slotItem(list, slot, place, row));
  const add = button({ class: "slot-add", id: "slot-add", label: "Add a picture to look at", on: { click: row.add } }, "+");
  const room = session.pictures.length < MAX_PICTURES;
  list.replaceChildren(...items, ...(room ? [el("li", { class: "slot" }, add)] : []));
}
