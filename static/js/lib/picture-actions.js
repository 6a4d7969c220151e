// What one can do with a finished picture, wherever it is shown.

import { createJobs, deleteImage, restoreImage, setFavourite } from "./api.js";
import { dropImage, putImage, putJob } from "./store.js";
import { toast, toastError, UNDO } from "./toast.js";

/** @typedef {import("./types.js").Picture} Picture */

const VARIATIONS = 4;
const MAX_SEED = 2 ** 32 - 1;

/**
 * @param {Picture} image
 * @returns {import("./types.js").Recipe}
 */
export function recipeOf(image) {
  return {
    prompt: image.prompt,
    seed: image.seed ?? undefined,
    steps: image.steps ?? undefined,
    width: image.width,
    height: image.height,
    model: image.model ?? undefined,
  };
}

/** @param {Picture} image */
export async function toggleFavourite(image) {
  try {
    putImage(await setFavourite(image.id, !image.favourite));
  } catch (error) {
    toastError(error);
  }
}

/**
 * Delete at once and offer to take it back for as long as the server keeps the file.
 * @param {string} id
 * @returns {Promise<boolean>} whether it was deleted
 */
export async function removeWithUndo(id) {
  try {
    const { undo_until: until } = await deleteImage(id);
    dropImage(id);
    const showMs = Math.min(Math.max(Date.parse(until) - Date.now(), 3000), 15_000);
    toast("Picture deleted.", { action: UNDO, onAction: () => undo(id), showMs });
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}

/** @param {string} id */
async function undo(id) {
  try {
    putImage(await restoreImage(id));
    toast("Picture restored.");
  } catch (error) {
    toastError(error);
  }
}

/**
 * The same picture with the next seeds.
 * @param {Picture} image
 * @returns {Promise<import("./types.js").Job[]>}
 */
export async function drawVariations(image) {
  const first = ((image.seed ?? 0) + 1) % (MAX_SEED - VARIATIONS);
  const { jobs } = await createJobs({ ...recipeOf(image), seed: first, count: VARIATIONS });
  jobs.forEach(putJob);
  return jobs;
}

/** @param {Picture} image @param {"full" | "mark"} metadata */
export const downloadUrl = (image, metadata) => `${image.url}?metadata=${metadata}&download=1`;
