// What is done with the chosen pictures, each with its way back.

import {
  deleteImages,
  favouriteImages,
  makeArchive,
  moveImages,
  restoreImages,
  setFavourite,
} from "../lib/api.js";
import { el } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { dropImage, publish } from "../lib/store.js";
import { toast, toastError, UNDO } from "../lib/toast.js";
import { choose } from "./collections.js";

const UNDO_MS = 15_000;

/** One file with all of them, which the browser fetches while this page goes on. @param {string[]} ids */
export async function download(ids) {
  const archive = await makeArchive(ids);
  const link = el("a", { href: archive.url, download: archive.name });
  document.body.append(link);
  link.click();
  link.remove();
  toast(`${plural(archive.pictures, "picture")} in one ZIP file: your browser is fetching it.`);
}

/** @param {string[]} ids @returns {Promise<boolean>} whether anything was deleted */
export async function remove(ids) {
  const deleted = await deleteImages(ids);
  deleted.ids.forEach(dropImage);
  const missing = deleted.missing.length ? ` ${plural(deleted.missing.length, "other")} had gone already.` : "";
  toast(`${plural(deleted.ids.length, "picture")} deleted.${missing}`, {
    action: UNDO,
    onAction: () => undo(deleted.ids),
    showMs: UNDO_MS,
  });
  return deleted.ids.length > 0;
}

/** @param {string[]} ids */
async function undo(ids) {
  try {
    const restored = await restoreImages(ids);
    publish("images_changed");
    toast(`${plural(restored.ids.length, "picture")} restored.`);
  } catch (error) {
    toastError(error);
  }
}

/**
 * Ask where to, and put them there; out of the collection that is shown, if one is.
 * @param {string[]} ids
 * @param {string | null} out_of
 * @returns {Promise<boolean>} whether they were moved
 */
export async function move(ids, out_of) {
  const into = await choose(ids.length, out_of);
  if (!into) return false;
  const { ids: moved } = await moveImages(ids, { into: into.id, out_of });
  publish("images_changed");
  toast(`${plural(moved.length, "picture")} moved to “${into.name}”.`, {
    action: UNDO,
    onAction: () => back(moved, { into: out_of, out_of: into.id }),
    showMs: UNDO_MS,
  });
  return true;
}

/** @param {string[]} ids @param {string} out_of */
export async function takeOut(ids, out_of) {
  const { ids: moved } = await moveImages(ids, { out_of });
  publish("images_changed");
  toast(`${plural(moved.length, "picture")} taken out of this collection.`, {
    action: UNDO,
    onAction: () => back(moved, { into: out_of }),
    showMs: UNDO_MS,
  });
}

/** @param {string[]} ids @param {{into?: string | null, out_of?: string | null}} collections */
function back(ids, collections) {
  moveImages(ids, collections).then(() => publish("images_changed"), toastError);
}

/** All of them, or, where all are already, none. @param {string[]} ids @param {boolean} favourite */
export async function favour(ids, favourite) {
  const { ids: marked } = ids.length === 1 ? { ids: [(await setFavourite(ids[0], favourite)).id] } : await favouriteImages(ids, favourite);
  publish("images_changed");
  toast(favourite ? `${plural(marked.length, "picture")} marked as favourites.` : `${plural(marked.length, "picture")} unmarked.`);
}
