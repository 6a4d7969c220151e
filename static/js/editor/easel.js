// The picture that is worked on, as large as there is room: what lies over it is of the picture's own size.

import { el, shaped, svg } from "../lib/dom.js";

/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {import("./session.js").Slot} Slot */

/**
 * @param {Slot} slot
 * @param {...(Element | null)} over
 */
export function easel(slot, ...over) {
  const picture = el("img", { src: slot.url, width: slot.width, height: slot.height, alt: slot.name, draggable: "false" });
  return shaped(el("div", { class: "easel" }, picture, ...over), slot.width, slot.height);
}

/**
 * Lines over a picture, in its own pixels.
 * @param {{width: number, height: number}} size
 */
export function guide({ width, height }) {
  const line = svg("polyline", { class: "guide-line", "vector-effect": "non-scaling-stroke" });
  const dark = svg("polyline", { class: "guide-shade", "vector-effect": "non-scaling-stroke" });
  const element = svg(
    "svg",
    { class: "guide", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    dark,
    line,
  );
  return {
    element,
    /** @param {Point[]} points  none: nothing is shown */
    show(points) {
      for (const shape of [dark, line]) shape.setAttribute("points", points.map(({ x, y }) => `${x},${y}`).join(" "));
    },
  };
}

/**
 * Where on the picture the pointer is.
 * @param {PointerEvent} event
 * @param {Element} element  that covers the picture
 * @param {{width: number, height: number}} size  of what is worked on
 * @returns {Point}
 */
export function pointAt({ clientX, clientY }, element, { width, height }) {
  const box = element.getBoundingClientRect();
  return { x: ((clientX - box.left) / box.width) * width, y: ((clientY - box.top) / box.height) * height };
}
