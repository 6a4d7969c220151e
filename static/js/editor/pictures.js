// Pictures as slots: of the gallery, of the inputs that the server keeps, or files that it is to take in.

import { addInput, getImage, takenFrom } from "../lib/api.js";
import { unfit } from "../lib/limits.js";

/** @typedef {import("./session.js").Slot} Slot */

const DIGEST_CHARS = 64; // of an input; a picture of the gallery has an id half as long

/** @param {string} url @returns {Promise<{width: number, height: number}>} upright, whatever its file says of that */
async function sizeOf(url) {
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
  } catch {
    throw new Error("This picture is not here any more, or cannot be shown.");
  }
  return { width: picture.naturalWidth, height: picture.naturalHeight };
}

/**
 * @param {string} id  of the gallery, or of an input
 * @returns {Promise<Slot>}
 */
export async function slotOf(id) {
  const image = id.length === DIGEST_CHARS ? null : await getImage(id);
  const url = image ? image.url : `/inputs/${id}`;
  const size = await sizeOf(url);
  const problem = unfit(size);
  if (problem) throw new Error(problem);
  return { id, url, ...size, name: image ? image.prompt : "a picture of yours", mask: null, ...takenFrom(id) };
}

/**
 * @param {Blob} file
 * @returns {Promise<string>} the id under which the server keeps it for a day
 */
export async function takeIn(file) {
  await file.slice(0, 1).arrayBuffer(); // a folder cannot be read, and sending it would fail as if the server were gone
  return (await addInput(file)).id;
}
