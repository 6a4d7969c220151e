// The prompts that were drawn, under the arrow-up key, as in a terminal: up from the very beginning of the text goes to
// an older one, down from its end to a newer one, and in the end back to what was being typed.

import { isComposing } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";

const KEPT = 50;

/** @type {string[]} newest first */
let prompts = remembered("prompts", []);
let place = -1; // -1: what is being typed
let draft = "";

/** @returns {string[]} newest first */
export const recentPrompts = () => remembered("prompts", []);

/** @param {string} prompt  that was drawn */
export function keepPrompt(prompt) {
  prompts = [prompt, ...remembered("prompts", []).filter((/** @type {string} */ other) => other !== prompt)].slice(0, KEPT);
  place = -1;
  remember("prompts", prompts);
}

/**
 * @param {HTMLTextAreaElement} field
 * @param {(text: string) => void} setPrompt
 */
export function startHistory(field, setPrompt) {
  field.addEventListener("input", () => (place = -1));
  field.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey || isComposing(event)) return;
    const edge = step > 0 ? 0 : field.value.length;
    if (field.selectionStart !== edge || field.selectionEnd !== edge) return;
    const next = place + step;
    if (next < -1 || next >= prompts.length) return;
    if (place === -1) draft = field.value;
    place = next;
    event.preventDefault();
    setPrompt(place === -1 ? draft : prompts[place]);
    const caret = step > 0 ? 0 : field.value.length;
    field.setSelectionRange(caret, caret);
  });
}
