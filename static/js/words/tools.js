// The row of tools under the prompt: each opens a panel below it, which is told when it opens.

import { byId } from "../lib/dom.js";
import { toastError } from "../lib/toast.js";

/**
 * @param {string} name
 * @param {() => Promise<void> | void} onOpen
 */
export function startTool(name, onOpen) {
  const toggle = byId(`${name}-toggle`);
  toggle.addEventListener("click", async () => {
    const open = byId(name).hidden;
    byId(name).hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    try {
      if (open) await onOpen();
    } catch (error) {
      toastError(error);
    }
  });
}

/** What a tool's button says, and whether it is at work. @param {string} name @param {string} words @param {boolean} on */
export function labelTool(name, words, on) {
  const toggle = byId(`${name}-toggle`);
  toggle.textContent = words;
  toggle.toggleAttribute("data-on", on);
}
