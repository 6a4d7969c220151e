// A menu that a button opens: it closes when one of its buttons is pressed, by Escape, and when one goes elsewhere.

import { button, el, icon } from "../lib/dom.js";

/** @param {HTMLDetailsElement} menu @param {(name: string) => void} choose  told of the pressed button's data-choice */
export function startMenu(menu, choose) {
  const summary = /** @type {HTMLElement} */ (menu.querySelector("summary"));
  const close = () => (menu.open = false);
  menu.addEventListener("click", (event) => {
    const pressed = /** @type {Element} */ (event.target).closest("[data-choice]");
    if (!pressed) return;
    close();
    summary.focus();
    choose(pressed.getAttribute("data-choice") ?? "");
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.preventDefault(); // elsewhere it cancels what is drawn
    event.stopPropagation();
    close();
    summary.focus();
  });
  menu.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !menu.contains(/** @type {Node} */ (relatedTarget)) && close());
  document.addEventListener("pointerdown", ({ target }) => menu.open && !menu.contains(/** @type {Node} */ (target)) && close());
}

/**
 * @param {{icon: string, label: string, choices: Record<string, string>, bare?: boolean}} words  bare: the icon alone is seen
 * @param {(name: string) => void} choose
 */
export function menuOf({ icon: name, label, choices, bare = false }, choose) {
  const items = Object.entries(choices).map(([choice, text]) => button({ class: "button quiet small", "data-choice": choice }, text));
  const summary = bare
    ? el("summary", { class: "button square", "aria-label": label, title: label }, icon(name))
    : el("summary", { class: "button" }, icon(name), label);
  const menu = el("details", { class: "menu" }, summary, el("div", { class: "menu-list" }, ...items));
  startMenu(menu, choose);
  return menu;
}
