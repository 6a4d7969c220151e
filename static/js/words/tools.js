// The row of tools under the prompt: each opens a panel below it, in place of another, which is told when it opens.

import { byId, isComposing } from "../lib/dom.js";
import { toastError } from "../lib/toast.js";

/** @param {string} name @param {boolean} open */
function setOpen(name, open) {
  byId(name).hidden = !open;
  byId(`${name}-toggle`).setAttribute("aria-expanded", String(open));
}

/** What was opened before goes: two panels leave no room for the picture's settings. @param {string} name */
function closeOthers(name) {
  for (const panel of document.querySelectorAll(".tool-panel:not([hidden])")) if (panel.id !== name) setOpen(panel.id, false);
}

/**
 * @param {string} name
 * @param {() => Promise<void> | void} onOpen
 */
export function startTool(name, onOpen) {
  const toggle = byId(`${name}-toggle`);
  toggle.addEventListener("click", async () => {
    const open = byId(name).hidden;
    closeOthers(name);
    setOpen(name, open);
    try {
      if (open) await onOpen();
    } catch (error) {
      toastError(error);
    }
  });
  const onEscape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || isComposing(event) || event.defaultPrevented || byId(name).hidden) return;
    event.preventDefault(); // it is meant for the panel, not for what is being drawn
    setOpen(name, false);
    toggle.focus();
  };
  for (const one of [toggle, byId(name)]) one.addEventListener("keydown", onEscape);
}

/** What a tool's button says, and whether it is at work. @param {string} name @param {string} words @param {boolean} on */
export function labelTool(name, words, on) {
  const toggle = byId(`${name}-toggle`);
  toggle.textContent = words;
  toggle.toggleAttribute("data-on", on);
}
