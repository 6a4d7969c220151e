// Pictures dropped anywhere, pasted, or chosen: hand them to the reader, say clearly when there is nothing to read.

import { ApiError } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { MetadataError, readMetadata } from "./metadata.js";
import { offerRestore } from "./restore.js";
import { toast } from "../lib/toast.js";

const OVER_MS = 700; // while a file is held over the page, dragover comes at least every 550 ms

let draggedFromHere = false;
let overTimer = 0;

/** @param {File | undefined} file */
async function take(file) {
  if (!file) return;
  try {
    const reading = await readMetadata(file);
    if (reading) offerRestore(file, reading);
    else toast("This picture carries no settings: it was saved without them, or they were removed.");
  } catch (error) {
    if (error instanceof MetadataError || error instanceof ApiError) toast(error.message);
    else if (error instanceof DOMException) toast("This cannot be read. Drop a picture, not a folder.");
    else throw error;
  }
}

/** @param {DragEvent} event */
const carriesFile = (event) => !draggedFromHere && (event.dataTransfer?.types.includes("Files") ?? false);

/** @param {DragEvent} event */
function onDragOver(event) {
  if (!carriesFile(event)) return;
  event.preventDefault();
  byId("drop-target").hidden = false;
  clearTimeout(overTimer);
  overTimer = window.setTimeout(hideTarget, OVER_MS); // Safari's dragleave does not say whether the window was left
}

function hideTarget() {
  byId("drop-target").hidden = true;
}

/** @param {DragEvent} event */
function onDrop(event) {
  hideTarget();
  if (!carriesFile(event)) return;
  event.preventDefault();
  take(event.dataTransfer?.files[0]);
}

/** Office programs copy text together with a picture of it. @param {readonly string[]} types */
const isText = (types) => types.includes("text/plain") && types.includes("text/html");

/** @param {ClipboardEvent} event */
function onPaste(event) {
  if (isText(event.clipboardData?.types ?? [])) return;
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  take(file);
}

export function startDrop() {
  document.addEventListener("dragstart", () => (draggedFromHere = true));
  document.addEventListener("dragend", () => (draggedFromHere = false));
  document.addEventListener("dragover", onDragOver);
  document.addEventListener("drop", onDrop);
  document.addEventListener("beforepaste", (event) => event.preventDefault()); // else Safari pastes into fields only
  document.addEventListener("paste", onPaste);
  const input = /** @type {HTMLInputElement | null} */ (document.getElementById("image-file"));
  document.getElementById("pick-image")?.addEventListener("click", () => input?.click());
  input?.addEventListener("change", () => {
    take(input.files?.[0]);
    input.value = ""; // the same file can be chosen again
  });
}
