// What an image file says about how it was made. Runs on bytes alone: nothing is uploaded, nothing is executed.

import { exifOfJpeg, exifOfWebp, isJpeg, isWebp, readExif } from "./exif.js";
import { parseInfotext } from "./infotext.js";
import { fromComfy, fromFlat, parseJson } from "./json-metadata.js";
import { isPng, readPng } from "./png.js";

/**
 * @typedef {object} Found  settings as another program wrote them; what it did not say is undefined
 * @property {string} [prompt]
 * @property {string} [negative]
 * @property {number} [seed]
 * @property {string} [seedText]  its digits, which may be more than a number holds
 * @property {number} [steps]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [model]
 * @property {string[][]} [others]  names and values that have no meaning here
 *
 * @typedef {{source: string, ours: boolean, found: Found}} Reading
 */

export const MAX_FILE_BYTES = 64_000_000;

const SCHEMA = 1; // of our own recipes

export class MetadataError extends Error {}

/** @param {string} text @returns {Reading | null} */
function readOurs(text) {
  const data = parseJson(text);
  if (data?.schema !== SCHEMA || typeof data.prompt !== "string") return null; // a later schema: read the infotext
  const found = fromFlat(data);
  found.model = typeof data.model === "string" ? data.model : data.variant;
  found.others = [];
  return { source: "bonsai-mlx", ours: true, found };
}

/** @param {string} text  of the keyword `parameters`, which several programs share @returns {Reading | null} */
function readParameters(text) {
  const data = text.trimStart().startsWith("{") ? parseJson(text) : undefined;
  if (data?.sui_image_params) return { source: "SwarmUI", ours: false, found: fromFlat(data.sui_image_params) };
  if (data && typeof data === "object") return { source: "Fooocus", ours: false, found: fromFlat(data) };
  if (!text.trim()) return null;
  const found = parseInfotext(text);
  const version = found.others?.find(([key]) => key === "Version")?.[1] ?? "";
  return { source: version.startsWith("f") ? "Forge" : "A1111 or compatible", ours: false, found };
}

/** @param {string} text @returns {Reading | null} */
function readInvoke(text) {
  const data = parseJson(text);
  return data && typeof data === "object" ? { source: "InvokeAI", ours: false, found: fromFlat(data) } : null;
}

/** @param {string} text  a UserComment @returns {Reading | null} */
function readComment(text) {
  const data = text.startsWith("{") ? parseJson(text) : undefined;
  if (data?.sui_image_params) return readParameters(text);
  if (data && typeof data === "object") {
    const source = typeof data.c === "string" ? "Draw Things" : "mflux or compatible";
    const found = fromFlat(data);
    return found.prompt === undefined ? null : { source, ours: false, found };
  }
  return parseInfotext(text).others?.length ? readParameters(text) : null; // a camera's or a person's remark
}

/**
 * Draw Things writes its settings into XMP. Found as text: only one element of it is wanted, and never as markup.
 * @param {string} xmp
 * @returns {string}
 */
function commentInXmp(xmp) {
  const start = xmp.indexOf("<exif:UserComment");
  const end = xmp.indexOf("</exif:UserComment>", start);
  if (start < 0 || end < 0) return "";
  const bare = xmp.slice(start, end).replace(/<[^<>]*>/g, "");
  const entities = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#34;": '"',
    "&apos;": "'",
    "&#39;": "'",
    "&#xA;": "\n",
  };
  const text = bare.replace(
    /&(?:lt|gt|quot|#34|apos|#39|#xA);/g,
    (entity) => entities[/** @type {keyof typeof entities} */ (entity)],
  );
  return text.replaceAll("&amp;", "&").trim();
}

/** @param {string} text @returns {Reading | null} */
function readComfy(text) {
  const found = fromComfy(parseJson(text));
  return found ? { source: "ComfyUI", ours: false, found } : null;
}

/** @type {[string, (text: string) => Reading | null][]} in the order of trust */
const PNG_READERS = [
  ["bonsai", readOurs],
  ["parameters", readParameters],
  ["invokeai_metadata", readInvoke],
  ["XML:com.adobe.xmp", (text) => readComment(commentInXmp(text))],
];

/** @param {Uint8Array} exif @returns {Reading | null} */
function readFromExif(exif) {
  const { comment, description } = readExif(exif);
  return (comment ? readComment(comment) : null) ?? (description?.startsWith("{") ? readComment(description) : null);
}

/** @param {Uint8Array} bytes @returns {Promise<Reading | null>} */
async function readPngFile(bytes) {
  const { texts, exif, skipped } = await readPng(bytes);
  for (const [keyword, read] of PNG_READERS) {
    const text = texts.get(keyword);
    const reading = text === undefined ? null : read(text);
    if (reading) return reading;
  }
  const reading = exif && readFromExif(exif);
  if (reading) return reading;
  const graph = texts.get("prompt");
  const comfy = graph === undefined ? null : readComfy(graph);
  if (!comfy && skipped.length) throw new MetadataError(`Its settings cannot be read: ${skipped[0]}.`);
  return comfy;
}

/**
 * @param {Blob} file
 * @returns {Promise<Reading | null>} null when the picture carries no settings
 * @throws {MetadataError} with words for a person
 */
export async function readMetadata(file) {
  if (file.size > MAX_FILE_BYTES) throw new MetadataError("The file is larger than 64 MB and was not read.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPng(bytes)) return readPngFile(bytes);
  if (!isJpeg(bytes) && !isWebp(bytes)) throw new MetadataError("This is not a PNG, JPEG or WebP picture.");
  const exif = isJpeg(bytes) ? exifOfJpeg(bytes) : exifOfWebp(bytes);
  return exif && readFromExif(exif);
}
