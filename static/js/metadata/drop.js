// Pictures dropped anywhere, pasted, or chosen: they are to be edited, or to give their settings back if they have any.

import { addInput, ApiError } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { MetadataError, readMetadata } from "./metadata.js";
import { publish } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

const MOST = 4; // pictures that go into one
const OVER_MS = 700; // while a file is held over the page, dragover comes at least every 550 ms

let draggedFromHere = false;
let overTimer = 0;

/** @param {File[]} files  several, and those that carry no settings, are meant to be edited */
async function take(files) {
  if (!files.length) return;
  try {
    const reading = files.length === 1 ? await settingsOf(files[0]) : null;
    if (!reading) return await edit(files);
    const { offerRestore } = await import("./restore.js"); // few pages ever need it
    offerRestore(files[0], reading, () => edit(files).catch(toastError));
  } catch (error) {
    if (error instanceof MetadataError || error instanceof ApiError) toast(error.message);
    else if (error instanceof DOMException) toast("This cannot be read. Drop a picture, not a folder.");
    else throw error;
  }
}

/** @param {File} file @returns {Promise<import("./metadata.js").Reading | null>} */
async function settingsOf(file) {
  try {
    return await readMetadata(file);
  } catch (error) {
    if (error instanceof ApiError && error.status === 422) return null; // of a kind whose settings nobody can read
    throw error;
  }
}

/** @param {File[]} files */
async function edit(files) {
  // a folder cannot be read, and sending it would fail as if the server were gone
  await Promise.all(files.map((file) => file.slice(0, 1).arrayBuffer()));
  const taken = await Promise.all(files.slice(0, MOST).map(addInput));
  const ids = taken.map(({ id }) => id);
  if (document.getElementById("editor")) publish("edit", ids);
  else location.assign(`/?edit=${ids.join(",")}`);
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
  take([...(event.dataTransfer?.files ?? [])]);
}

/** Office programs copy text together with a picture of it. @param {readonly string[]} types */
const isText = (types) => types.includes("text/plain") && types.includes("text/html");

/** @param {ClipboardEvent} event */
function onPaste(event) {
  if (isText(event.clipboardData?.types ?? [])) return;
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  take([file]);
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
    take([...(input.files ?? [])]);
    input.value = ""; // the same file can be chosen again
  });
}
