// Copying what the page shows. Over plain HTTP in a network browsers keep the clipboard from pages; an older command
// still works there, for selected text and at once in the click: nothing may be awaited before.

import { toast } from "./toast.js";

/** @param {Element} element  whose text is wanted; it stays selected where the page may not copy */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/**
 * @param {Element} element
 * @param {string} done  what to say then
 */
export async function copyText(element, done) {
  if (await copied(element)) toast(done, { showMs: 2000 });
  else toast("The text is selected; copy it with your keyboard or menu.");
}
