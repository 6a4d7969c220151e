// What can be done with a picture of the gallery: controls that its print has while it is near. Three quarters of what
// a print is made of, they would make a document of thousands slow.

import { byId } from "../lib/dom.js";

const NAME_CHARS = 60;
const template = /** @type {HTMLTemplateElement} */ (byId("print-tools"));

/** @param {Element} item */
export function equip(item) {
  if (item.querySelector("[data-action]")) return;
  const tools = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const prompt = item.querySelector("img")?.alt ?? "";
  const name = prompt.length > NAME_CHARS ? `${prompt.slice(0, NAME_CHARS)}…` : prompt;
  for (const control of tools.querySelectorAll("button")) {
    control.setAttribute("aria-label", `${control.getAttribute("aria-label")} “${name}”`);
  }
  item.append(tools);
  showChosen(item);
  showFavourite(item);
}

/** @param {Element} item */
export function strip(item) {
  item.querySelector(".print-check")?.remove();
  item.querySelector(".print-tools")?.remove();
}

/** @param {Element} item  says so by its class */
export const showChosen = (item) => press(item, "select", item.classList.contains("selected"));

/** @param {Element} item */
export const showFavourite = (item) => press(item, "favourite", isFavourite(item));

/** @param {Element | null} item */
export const isFavourite = (item) => item?.getAttribute("data-favourite") === "true";

/** @param {Element} item @param {string} action @param {boolean} pressed */
function press(item, action, pressed) {
  item.querySelector(`[data-action=${action}]`)?.setAttribute("aria-pressed", String(pressed));
}
