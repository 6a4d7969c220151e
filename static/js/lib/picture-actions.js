// What one can do with a finished picture, wherever it is shown.

import { createEnlarging, createJobs, deleteImage, restoreImage, setFavourite } from "./api.js";
import { isSide } from "./limits.js";
import { dropImage, putImage, putJob } from "./store.js";
import { toast, toastError, UNDO } from "./toast.js";

/** @typedef {import("./types.js").Picture} Picture */

const VARIATIONS = 4;
const MAX_SEED = 2 ** 32 - 1;

/** The parameters that say which pictures went in and how they are used; bonsai_mlx/request.py has the same ones. */
export const OF_PICTURES = [
  "references",
  "reference_detail",
  "init",
  "strength",
  "strength_rule",
  "mask",
  "mask_content",
  "feather_px",
  "restore_unmasked",
  "source_as_reference",
  "only_masked",
  "margin_px",
  "extend",
];

/**
 * What a request or a recipe says of the pictures that go in; nothing where none does.
 * @param {Record<string, unknown> | null | undefined} said
 * @returns {Record<string, unknown>}
 */
export function picturesIn(said) {
  const given = OF_PICTURES.filter((name) => said?.[name] !== null && said?.[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, said?.[name]]));
}

/** The pixels that were drawn: a picture that is kept in part may be larger, and of any size. @param {Picture} image */
function drawnSize(image) {
  const { width, height } = /** @type {Record<string, any>} */ ({ ...image, ...image.recipe });
  return isSide(width) && isSide(height) ? { width, height } : {};
}

/**
 * What the form can be filled with; the pictures that went in are `picturesIn(image.recipe)`.
 * @param {Picture} image
 * @returns {import("./types.js").Recipe}
 */
export function recipeOf(image) {
  return {
    prompt: image.prompt,
    seed: image.seed ?? undefined,
    steps: image.steps ?? undefined,
    ...drawnSize(image),
    model: image.model ?? undefined,
    ...(image.recipe?.loras && { loras: image.recipe.loras }),
    ...wordsOf(image),
  };
}

/** How its prompt was made, if not typed as it is. @param {Picture} image */
const wordsOf = ({ recipe }) => (recipe?.styles && recipe.typed ? { styles: recipe.styles, typed: recipe.typed } : {});

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
  const { jobs } = await createJobs({
    ...recipeOf(image),
    ...picturesIn(image.recipe),
    seed: first,
    count: VARIATIONS,
  });
  jobs.forEach(putJob);
  return jobs;
}

/**
 * A larger one: exactly as it is, or redrawn with finer strokes.
 * @param {Picture} image
 * @param {number} by  2 or 4
 * @param {string} method  "exact" or "refine"
 * @returns {Promise<import("./types.js").Job[]>}
 */
export async function enlarge(image, by, method) {
  const { jobs } = await createEnlarging({ source: image.id, by, method });
  jobs.forEach(putJob);
  return jobs;
}

/** @param {import("./types.js").Job} job */
export const isEnlarging = (job) => job.request.operation === "enlarge";

/** Ask once more for what a job was to enlarge. @param {import("./types.js").Job} job */
export function enlargeAgain(job) {
  const { source, by, method, upscaler, prompt, seed, steps, strength } = job.request;
  const redrawn = method === "refine" ? { prompt, seed, steps, strength } : {};
  return createEnlarging({ source, by, method, ...(upscaler ? { upscaler } : {}), model: job.model, ...redrawn });
}

/** @param {Picture} image @param {"full" | "mark"} metadata */
export const downloadUrl = (image, metadata) => `${image.url}?metadata=${metadata}&download=1`;
