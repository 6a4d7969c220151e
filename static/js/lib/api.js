// The server's routes as functions. Every failure is an ApiError with words for a person.

import { rememberedHere, rememberHere } from "./storage.js";

/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Model} Model */

export class ApiError extends Error {
  /**
   * @param {number} status  0 when the server did not answer
   * @param {import("./types.js").Refusal} detail
   */
  constructor(status, detail) {
    super(detail.message);
    this.status = status;
    this.code = detail.code;
    this.field = detail.field ?? null;
    this.remedy = detail.remedy ?? null;
    this.retryAfterS = detail.retry_after_s ?? null;
  }
}

export const OFFLINE = { code: "offline", message: "The server does not answer. Is it still running?" };

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function errorFrom(response) {
  const body = await response.json().catch(() => null);
  const detail = body?.error ?? { code: "failed", message: `The server answered with status ${response.status}.` };
  return new ApiError(response.status, detail);
}

/** @param {Response} response */
const json = (response) => response.json();

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]  a file as it is, anything else as JSON
 * @param {(response: Response) => Promise<any>} [read]
 * @returns {Promise<any>}
 */
async function call(method, path, body, read = json) {
  /** @type {RequestInit} */
  const options = { method, headers: { Accept: "application/json" } };
  if (body instanceof Blob) {
    options.headers = { Accept: "application/json", "Content-Type": "application/octet-stream" };
    options.body = body;
  } else if (body !== undefined) {
    options.headers = { Accept: "application/json", "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options).catch(() => {
    throw new ApiError(0, OFFLINE);
  });
  if (!response.ok) throw await errorFrom(response);
  return response.status === 204 ? null : read(response);
}

/** @param {Record<string, string | number | boolean | null | undefined>} values */
function query(values) {
  const present = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(present.map(([key, value]) => [key, String(value)])).toString();
}

/**
 * @param {object} request  prompt, seed, steps, width, height, model, count or compare
 * @returns {Promise<{jobs: Job[], group: string | null}>}
 */
export const createJobs = (request) => call("POST", "/jobs", request);

/** Ask once more for jobs of one request that came to nothing, in their place. @param {string[]} jobs @returns {Promise<{jobs: Job[]}>} */
export const createAgain = (jobs) => call("POST", "/jobs/again", { jobs });

/**
 * @param {{source: string, by: number, method: string}} request
 * @returns {Promise<{jobs: Job[], group: string | null}>}
 */
export const createEnlarging = (request) => call("POST", "/jobs/enlarge", request);

/** @param {object} request  as of createJobs, and `axes` @returns {Promise<{jobs: Job[], group: string | null}>} */
export const createGrid = (request) => call("POST", "/grids", request);

/**
 * @param {object} request
 * @returns {Promise<{columns: string[], rows: string[], count: number, fits: boolean, message: string | null, seconds: number | null}>}
 */
export const planGrid = (request) => call("POST", "/grids/plan", request);

/** @param {object} request  as of createJobs @returns {Promise<{tokens: number | null, limit: number | null, read_chars: number | null}>} */
export const measurePrompt = (request) => call("POST", "/prompts/length", request);

/** @typedef {import("./types.js").Run} Run */
/** @typedef {{name: string, ways: string[], takes_prompt: boolean}} Pipeline */

/** @returns {Promise<{pipelines: Pipeline[], problems: {name: string, problem: string}[]}>} */
export const listPipelines = () => call("GET", "/pipelines");

/** @param {string} name @returns {Promise<Pipeline & {steps: object[]}>} */
export const getPipeline = (name) => call("GET", `/pipelines/${encodeURIComponent(name)}`);

/** @param {string} image  id @param {string} name @returns {Promise<Pipeline>} */
export const keepPipeline = (image, name) => call("POST", "/pipelines", { from: image, name });

/** @param {string} name @param {object[]} steps */
export const putPipeline = (name, steps) => call("PUT", `/pipelines/${encodeURIComponent(name)}`, { steps });

/** @param {string} name */
export const deletePipeline = (name) => call("DELETE", `/pipelines/${encodeURIComponent(name)}`);

/** @param {{name: string, prompt?: string, seed?: number, model?: string}} request @returns {Promise<Run>} */
export const runPipeline = (request) => call("POST", "/pipelines/run", request);

/** @param {string} group @returns {Promise<Run>} */
export const cancelRun = (group) => call("DELETE", `/pipelines/runs/${group}`);

/** @typedef {{styles: import("./types.js").Style[]}} StyleList */

/** @returns {Promise<StyleList>} */
export const listStyles = () => call("GET", "/styles");

/** @param {object} style @returns {Promise<StyleList>} */
export const saveStyle = (style) => call("POST", "/styles", style);

/** @param {string} name @returns {Promise<StyleList>} */
export const deleteStyle = (name) => call("DELETE", `/styles?${query({ name })}`);

/** @returns {Promise<StyleList>} */
export const restoreStyles = () => call("POST", "/styles/restore");

/** @param {string} id @returns {Promise<Job>} */
export const getJob = (id) => call("GET", `/jobs/${id}`);

/** @param {number} limit @returns {Promise<{jobs: Job[]}>} newest first */
export const listJobs = (limit) => call("GET", `/jobs?${query({ limit })}`);

/** @param {string} id @returns {Promise<Job>} */
export const cancelJob = (id) => call("DELETE", `/jobs/${id}`);

/** Of one group, or of all. @param {string} [group] @returns {Promise<{jobs: Job[]}>} */
export const cancelJobs = (group) => call("DELETE", group ? `/jobs?${query({ group })}` : "/jobs");

/** @param {boolean} paused @returns {Promise<{paused: boolean}>} */
export const pauseQueue = (paused) => call("POST", `/queue/${paused ? "pause" : "resume"}`);

/** @param {string[]} jobs  ids in the order in which they are to be drawn @returns {Promise<{jobs: Job[]}>} */
export const orderQueue = (jobs) => call("POST", "/queue/order", { jobs });

/**
 * @param {{cursor?: string | null, limit?: number, q?: string, favourite?: boolean | null, group?: string,
 *   collection?: string | null, sort?: string}} filter
 * @returns {Promise<{images: Picture[], next_cursor: string | null, total: number}>}
 */
export const listImages = (filter) => call("GET", `/images?${query(filter)}`);

/** @param {string} id @returns {Promise<Picture>} */
export const getImage = (id) => call("GET", `/images/${id}`);

/** @param {string} id @param {boolean} favourite @returns {Promise<Picture>} */
export const setFavourite = (id, favourite) => call("PATCH", `/images/${id}`, { favourite });

/** @param {string} id @returns {Promise<{id: string, undo_until: string}>} */
export const deleteImage = (id) => call("DELETE", `/images/${id}`);

/** @param {string} id @returns {Promise<Picture>} */
export const restoreImage = (id) => call("POST", `/images/${id}/restore`);

/** @returns {Promise<{models: Model[], parts: Model[], default: string, disk_free_bytes: number}>} */
export const listModels = () => call("GET", "/models");

/** @returns {Promise<{loras: {name: string, models: string[], trigger_words: string | null}[]}>} */
export const listLoras = () => call("GET", "/loras");

/**
 * @param {string} name
 * @param {"download" | "pause" | "resume" | "cancel" | "verify"} action
 * @returns {Promise<Model>}
 */
export const modelAction = (name, action) => call("POST", `/models/${name}/${action}`);

/** Download the original's files, and make the model of them. @param {Model} model @returns {Promise<Model>} */
export const makeModel = (model) => call("POST", `/models/${model.name}/download?${query({ from: model.original })}`);

/** @param {string} name @returns {Promise<Model>} */
export const deleteModel = (name) => call("DELETE", `/models/${name}`);

/** @param {string} model @returns {Promise<{sizes: import("./types.js").Fit[]}>} */
export const getSizes = (model) => call("GET", `/sizes?${query({ model })}`);

/**
 * @param {string} model
 * @param {{width: number, height: number}} size  any that can be drawn
 * @returns {Promise<import("./types.js").Fit>}
 */
export const getFit = (model, { width, height }) => call("GET", `/fit?${query({ model, width, height })}`);

/** @returns {Promise<import("./types.js").Memory>} */
export const unload = () => call("POST", "/unload");

/** @param {object} changes  preview, default_model, keep_alive_minutes, memory_limit_bytes, text_encoder, decoder */
export const changeSettings = (changes) => call("PATCH", "/settings", changes);

/** The picture that a code stands for; nothing is drawn. @param {string} code @returns {Promise<Blob>} */
export const decodePicture = (code) => call("POST", "/decode", { code }, (response) => response.blob());

/** The code of a picture that was drawn in bits. @param {string} id @returns {Promise<{code: string}>} */
export const getCode = (id) => call("GET", `/images/${id}/code`);

/** @param {Blob} file  a picture @returns {Promise<{settings: import("./types.js").PictureSettings | null}>} */
export const readSettings = (file) => call("POST", "/metadata", file);

// many pictures at once

/**
 * @typedef {object} Collection
 * @property {string} id
 * @property {string} name
 * @property {number} total
 * @property {string | null} cover
 */

/** @param {object} filter  as of listImages @returns {Promise<{ids: string[]}>} at most 10 000, in order */
export const listIds = (filter) => call("GET", `/images/ids?${query(/** @type {any} */ (filter))}`);

/** @param {string[]} ids @returns {Promise<{ids: string[], missing: string[], undo_until: string}>} */
export const deleteImages = (ids) => call("POST", "/images/delete", { ids });

/** @param {string[]} ids @returns {Promise<{ids: string[], missing: string[]}>} */
export const restoreImages = (ids) => call("POST", "/images/restore", { ids });

/**
 * What can be brought back, the latest first.
 * @param {{limit: number, cursor?: string | null}} page
 * @returns {Promise<{images: (Picture & {gone_at: string})[], next_cursor: string | null, total: number, bytes: number}>}
 */
export const listDeleted = (page) => call("GET", `/images/deleted?${query(page)}`);

/** @param {string[]} ids  of pictures that were deleted; nothing brings them back */
export const endImages = (ids) => call("POST", "/images/deleted/end", { ids });

/** @returns {Promise<{ids: string[]}>} */
export const emptyBin = () => call("DELETE", "/images/deleted");

/** @param {string[]} ids @param {boolean} favourite @returns {Promise<{ids: string[]}>} */
export const favouriteImages = (ids, favourite) => call("POST", "/images/favourite", { ids, favourite });

/**
 * @param {string[]} ids
 * @param {{into?: string | null, out_of?: string | null}} collections
 * @returns {Promise<{ids: string[]}>}
 */
export const moveImages = (ids, collections) => call("POST", "/images/move", { ids, ...collections });

/** @param {string[]} ids @returns {Promise<{url: string, name: string, pictures: number}>} */
export const makeArchive = (ids) => call("POST", "/archives", { ids });

/** @param {string} id */
export const revealImage = (id) => call("POST", `/images/${id}/reveal`);

export const revealFolder = () => call("POST", "/settings/reveal");

/** @returns {Promise<{url: string, svg: string}>} */
export const phoneLink = () => call("POST", "/settings/phone");

/** @returns {Promise<{collections: Collection[]}>} */
export const listCollections = () => call("GET", "/collections");

/** @param {string} name @returns {Promise<Collection>} */
export const makeCollection = (name) => call("POST", "/collections", { name });

/** @param {string} id @param {string} name @returns {Promise<Collection>} */
export const renameCollection = (id, name) => call("PATCH", `/collections/${id}`, { name });

/** @param {string} id @returns {Promise<Collection>} */
export const deleteCollection = (id) => call("DELETE", `/collections/${id}`);

/** @typedef {{id: string, width: number, height: number, alpha: string | null, notes: string[]}} Taken */

const TAKEN = "taken";

/** @param {Blob} file  a picture that goes into others @returns {Promise<Taken>} */
export async function addInput(file) {
  /** @type {Taken} */
  const taken = await call("POST", "/inputs", file);
  const { id, alpha, notes } = taken;
  if (alpha || notes.length) rememberHere(TAKEN, { ...rememberedHere(TAKEN), [id]: { alpha, notes } });
  return taken;
}

/**
 * The mask of what is see-through in a picture that was taken in here, and what it has lost by that, in words.
 * @param {string} id
 * @returns {{alpha: string | null, notes: string[]}}
 */
export const takenFrom = (id) => rememberedHere(TAKEN)?.[id] ?? { alpha: null, notes: [] };

/** @param {Blob} file  white is drawn anew @returns {Promise<Taken>} */
export const addMask = (file) => call("POST", "/inputs?mask=true", file);
