// What an image file says about how it was made. The server reads it: one reader for the page, the gallery and others.

import { readSettings } from "../lib/api.js";

/**
 * @typedef {object} Found  settings as they stand in the file; what it did not say is undefined
 * @property {string} [prompt]
 * @property {string} [negative]
 * @property {{name: string, strength: number, sha256?: string}[]} [loras]
 * @property {number} [seed]
 * @property {string} [seedText]  its digits, which may be more than a number holds
 * @property {number} [steps]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [model]
 * @property {string[]} [styles]  and what only recipes of this program say
 * @property {string} [typed]
 * @property {number} [guidance]
 * @property {string} [negative_prompt]
 * @property {number} [temperature]
 * @property {boolean} [unconditional]
 * @property {string[][]} [others]  names and values that have no meaning here
 *
 * @typedef {{source: string, ours: boolean, found: Found, code?: string}} Reading
 */

export const MAX_FILE_BYTES = 64 << 20; // the server's

export class MetadataError extends Error {}

/**
 * @param {Blob} file
 * @returns {Promise<Reading | null>} null when the picture carries no settings
 * @throws {MetadataError | import("../lib/api.js").ApiError} with words for a person
 */
export async function readMetadata(file) {
  if (file.size > MAX_FILE_BYTES) throw new MetadataError("The file is larger than 64 MB and was not read.");
  await file.slice(0, 1).arrayBuffer(); // a folder cannot be read, and sending it would fail as if the server were gone
  const { settings } = await readSettings(file);
  return settings && readingOf(settings);
}

/** @param {Found | null} recipe @returns {Found} */
function ownOf(recipe) {
  if (!recipe) return {};
  const { loras, styles, typed, guidance, negative_prompt, temperature, unconditional } = recipe;
  return { loras, styles, typed, guidance, negative_prompt, temperature, unconditional };
}

/** @param {import("../lib/types.js").PictureSettings} settings @returns {Reading} */
export function readingOf(settings) {
  const ours = settings.recipe !== null;
  return {
    source: settings.program,
    ours,
    code: settings.code ?? undefined,
    found: {
      prompt: settings.prompt || undefined,
      negative: settings.negative || undefined,
      seed: settings.seed ?? undefined,
      seedText: settings.seed_text ?? undefined,
      steps: settings.steps ?? undefined,
      width: settings.width ?? undefined,
      height: settings.height ?? undefined,
      model: (ours ? settings.recipe?.model : settings.model) ?? undefined,
      ...ownOf(settings.recipe),
      others: Object.entries(settings.extra),
    },
  };
}
