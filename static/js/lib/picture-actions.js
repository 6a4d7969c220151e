// What one can do with a finished picture, wherever it is shown.

import { ApiError, createEnlarging, createJobs, deleteImage, getImage, restoreImage, setFavourite } from "./api.js";
import { isSide, MAX_SEED, randomSeed } from "./limits.js";
import { dropImage, putImage, putJob } from "./store.js";
import { toast, toastError, UNDO } from "./toast.js";

/** @typedef {import("./types.js").Picture} Picture */

const VARIATIONS = 4;
/** How far from a picture's noise to that of another seed. */
const AMOUNTS = { subtle: 0.2, strong: 0.5 };
const STRENGTHS = { subtle: 0.3, strong: 0.5 }; // of what is drawn in bits

/** @typedef {"subtle" | "strong" | "seeds"} Alike */

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
  "morph",
  "morph_weight",
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

/** @param {Picture} image */
const wasEnlarged = (image) => image.recipe?.operation === "enlarge";

/**
 * The pixels that were drawn: a picture that is kept in part may be larger, and of any size, as is one that was enlarged.
 * @param {Picture} image
 */
function drawnSize(image) {
  const { width, height, by = 1 } = /** @type {Record<string, any>} */ ({ ...image, ...image.recipe });
  const [across, down] = wasEnlarged(image) ? [width / by, height / by] : [width, height];
  return isSide(across) && isSide(down) ? { width: across, height: down } : {};
}

/**
 * What the form can be filled with; the pictures that went in are `picturesIn(image.recipe)`.
 * @param {Picture} image
 * @returns {import("./types.js").Recipe}
 */
export function recipeOf(image) {
  return {
    prompt: image.prompt,
    // an enlarged picture's own ones are those of its strokes
    seed: wasEnlarged(image) ? undefined : (image.seed ?? undefined),
    steps: wasEnlarged(image) ? undefined : (image.steps ?? undefined),
    ...drawnSize(image),
    model: image.model ?? undefined,
    ...wordsOf(image),
    ...saidOf(image, ["loras", "guidance", "negative_prompt", "temperature", "unconditional"]),
  };
}

/** @param {Picture} image @param {string[]} names  of parameters, where its recipe has them */
const saidOf = ({ recipe }, names) => Object.fromEntries(names.filter((name) => recipe?.[name]).map((name) => [name, recipe[name]]));

/** How its prompt was made, if not typed as it is. @param {Picture} image */
const wordsOf = ({ recipe }) => (recipe?.typed ? { typed: recipe.typed, ...(recipe.styles && { styles: recipe.styles }) } : {});

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

/** What an enlarged picture was drawn as; itself where that is not here any more. @param {Picture} image @returns {Promise<Picture>} */
async function asDrawn(image) {
  if (!wasEnlarged(image)) return image;
  try {
    const { parents = [] } = await getImage(image.id);
    return parents.length ? await asDrawn(await getImage(parents[0].id)) : image;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return image;
    throw error;
  }
}

/**
 * More like a picture: with a little or much of another seed's noise, or with the next seeds.
 * @param {Picture} image
 * @param {Alike} how
 * @returns {Promise<import("./types.js").Job[]>}
 */
export async function drawMore(image, how) {
  const drawn = await asDrawn(image);
  const seeds = { seed: ((drawn.seed ?? 0) + 1) % (MAX_SEED - VARIATIONS) };
  const varied = how === "seeds" ? seeds : { variation_amount: AMOUNTS[how], variation_seed: randomSeed() };
  // between coins there is nothing: some of the picture's own bits become coins again
  const coins = how !== "seeds" && drawn.recipe.scheduler === "BernoulliScheduler";
  const alike = coins ? { init: drawn.id, strength: STRENGTHS[how], seed: randomSeed() } : { ...picturesIn(drawn.recipe), ...varied };
  const { jobs } = await createJobs({ ...recipeOf(drawn), count: VARIATIONS, ...alike });
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

/** @param {Picture} image @param {"full" | "mark"} metadata */
export const downloadUrl = (image, metadata) => `${image.url}?metadata=${metadata}&download=1`;
