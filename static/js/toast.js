// Short messages at the lower edge, with at most one action. Read out by screen readers; wait while pointed at.

import { byId, button, el } from "./dom.js";

const SHOW_MS = 6000;

/**
 * @param {string} message
 * @param {{action?: string, onAction?: () => void, showMs?: number}} [options]
 */
export function toast(message, { action, onAction, showMs = SHOW_MS } = {}) {
  const box = el("div", { class: "toast" }, el("p", {}, message));
  const dismiss = () => box.remove();
  if (action && onAction) {
    box.append(button({ class: "button small", on: { click: () => (dismiss(), onAction()) } }, action));
  }
  box.append(button({ icon: "close", label: "Dismiss", class: "button small square", on: { click: dismiss } }));
  let timer = window.setTimeout(dismiss, showMs);
  const hold = () => clearTimeout(timer);
  const release = () => (hold(), (timer = window.setTimeout(dismiss, showMs / 2)));
  for (const type of ["pointerenter", "focusin"]) box.addEventListener(type, hold);
  for (const type of ["pointerleave", "focusout"]) box.addEventListener(type, release);
  byId("toasts").append(box);
  return dismiss;
}

/** @param {unknown} error */
export function toastError(error) {
  toast(error instanceof Error ? error.message : String(error));
}
