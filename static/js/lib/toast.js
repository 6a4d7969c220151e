// Short messages at the lower edge, with at most one action. Read out by screen readers; wait while pointed at.
// Undo lies far from what was deleted for a keyboard, so Ctrl+Z presses it.

import { byId, button, el } from "./dom.js";

export const UNDO = "Undo";
const SHOW_MS = 6000;
const MOST = 3; // at once: more would cover the page

/**
 * @param {string} message
 * @param {{action?: string, onAction?: () => void, showMs?: number}} [options]
 */
export function toast(message, { action, onAction, showMs = SHOW_MS } = {}) {
  const box = el("div", { class: "toast" }, el("p", {}, message));
  /** @type {Element | null} */
  let before = null; // where the focus came from
  const dismiss = () => {
    const focused = box.contains(document.activeElement);
    box.remove();
    if (focused && before?.isConnected) /** @type {HTMLElement} */ (before).focus();
  };
  box.addEventListener("focusin", ({ relatedTarget }) => {
    if (relatedTarget instanceof Element && !relatedTarget.closest(".toast")) before = relatedTarget;
  });
  if (action && onAction) {
    box.append(button({ class: "button small", on: { click: () => (dismiss(), onAction()) } }, action));
  }
  box.append(button({ icon: "close", label: "Dismiss", class: "button small square", on: { click: dismiss } }));
  let timer = window.setTimeout(dismiss, showMs);
  const hold = () => clearTimeout(timer);
  const release = () => (hold(), (timer = window.setTimeout(dismiss, showMs / 2)));
  for (const type of ["pointerenter", "focusin"]) box.addEventListener(type, hold);
  for (const type of ["pointerleave", "focusout"]) box.addEventListener(type, release);
  if (!action) dropSame(message);
  byId("toasts").append(box);
  for (const older of [...byId("toasts").children].slice(0, -MOST)) older.remove();
  return dismiss;
}

/** What is said again is seen once. @param {string} message */
function dropSame(message) {
  for (const box of told()) if (box.firstElementChild?.textContent === message) box.remove();
}

/** What only tells, and offers nothing. */
const told = () => [...byId("toasts").children].filter((box) => !box.querySelector(".button:not(.square)"));

/** @param {KeyboardEvent} event  Ctrl+Z or ⌘Z, unless something is being typed */
export function undoByKey(event) {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  if (/** @type {Element} */ (event.target).closest("input, textarea, dialog")) return;
  const offers = [...byId("toasts").querySelectorAll("button")].filter((control) => control.textContent === UNDO);
  const newest = offers.at(-1);
  if (!newest) return;
  event.preventDefault();
  newest.click();
}

export const clearToasts = () => told().forEach((box) => box.remove());

/** @param {unknown} error */
export function toastError(error) {
  toast(error instanceof Error ? error.message : String(error));
}
