// Settings that other programs write as JSON: SwarmUI, InvokeAI, mflux, Draw Things, Fooocus, and ComfyUI's graphs.

/** @typedef {import("./metadata.js").Found} Found */
/** @typedef {{class_type?: string, inputs?: Record<string, unknown>}} Node */

const MAX_WALK = 64;
const BARE_NUMBERS = /([[,:]\s*)(?:NaN|-?Infinity)(?=\s*[,\]}])/g; // as Python writes them; ComfyUI's is_changed is one

/**
 * Seeds of 64 bits do not fit a JavaScript number; where the browser tells the digits, keep them.
 * @param {string} text
 * @returns {any} undefined when the text is not JSON
 */
export function parseJson(text) {
  for (const candidate of [text, text.replace(BARE_NUMBERS, "$1null")]) {
    try {
      return JSON.parse(candidate, keepLargeNumbers);
    } catch {
      continue;
    }
  }
  return undefined;
}

/** @param {string} _key @param {unknown} value @param {{source?: string}} [context]  absent in older browsers */
function keepLargeNumbers(_key, value, context) {
  const large = typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return large && context?.source && /^\d+$/.test(context.source) ? context.source : value;
}

/** @param {unknown} value @returns {number | undefined} */
function whole(value) {
  const number = typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value;
  return Number.isInteger(number) ? Number(number) : undefined;
}

/** @param {unknown} value */
const text = (value) => (typeof value === "string" ? value : undefined);

/** @param {unknown} value  what to show of a seed: its digits, even when they are too many */
const digits = (value) => (typeof value === "number" || typeof value === "string" ? String(value) : undefined);

/** @param {unknown} model */
function modelName(model) {
  if (model && typeof model === "object") {
    const { name, model_name: other } = /** @type {Record<string, unknown>} */ (model);
    return text(name) ?? text(other);
  }
  return text(model);
}

/**
 * @param {Record<string, any>} data  flat: the shape that most programs agree on
 * @returns {Found}
 */
export function fromFlat(data) {
  const [width, height] = sizeOf(data);
  return {
    prompt: text(data.prompt) ?? text(data.positive_prompt) ?? text(data.c),
    negative: text(data.negative_prompt) ?? text(data.negativeprompt) ?? text(data.uc),
    seed: whole(data.seed),
    seedText: digits(data.seed),
    steps: whole(data.steps),
    width,
    height,
    model: modelName(data.model) ?? text(data.base_model),
    others: ["sampler", "scheduler", "cfgscale", "cfg_scale", "guidance", "scale"].flatMap((key) =>
      typeof data[key] === "string" || typeof data[key] === "number" ? [[key, String(data[key])]] : [],
    ),
  };
}

/** @param {Record<string, any>} data @returns {[number | undefined, number | undefined]} */
function sizeOf(data) {
  if (data.width !== undefined) return [whole(data.width), whole(data.height)];
  const match = /(\d{1,5})\D+(\d{1,5})/.exec(String(data.size ?? data.resolution ?? ""));
  return match ? [Number(match[1]), Number(match[2])] : [undefined, undefined];
}

/**
 * @param {any} graph  ComfyUI's API form: node id -> {class_type, inputs}; an input is a value or [node id, output]
 * @returns {Found | null}
 */
export function fromComfy(graph) {
  if (!graph || typeof graph !== "object") return null;
  /** @type {Record<string, Node>} */
  const nodes = graph;
  const all = Object.values(nodes).filter((node) => node && typeof node === "object" && node.inputs);
  const sampler = all.find(
    (node) => /sampler/i.test(node.class_type ?? "") && (node.inputs?.positive || node.inputs?.guider),
  );
  const start = sampler ?? all.find((node) => node.inputs?.conditioning);
  const first = (/** @type {string} */ name) =>
    all.map((node) => resolve(nodes, node.inputs?.[name])).find((value) => value !== undefined);
  const own = (/** @type {string} */ name) => resolve(nodes, sampler?.inputs?.[name]) ?? first(name);
  const seed = own("seed") ?? own("noise_seed");
  const prompt = start ? promptAt(nodes, start) : undefined;
  if (prompt === undefined && seed === undefined) return null;
  return {
    prompt,
    seed: whole(seed),
    seedText: digits(seed),
    steps: whole(own("steps")),
    width: whole(first("width")),
    height: whole(first("height")),
    model: text(first("ckpt_name")) ?? text(first("unet_name")),
    others: ["sampler_name", "scheduler", "cfg"].flatMap((key) =>
      own(key) === undefined ? [] : [[key, String(own(key))]],
    ),
  };
}

/**
 * A value of a graph: itself, or what the primitive node that it is linked to holds.
 * @param {Record<string, Node>} nodes
 * @param {unknown} value
 * @returns {string | number | undefined}
 */
function resolve(nodes, value) {
  if (typeof value === "string" || typeof value === "number") return value;
  if (!Array.isArray(value)) return undefined;
  const { inputs } = nodes[String(value[0])] ?? {};
  const held = inputs?.value ?? inputs?.seed ?? inputs?.noise_seed ?? inputs?.int;
  return typeof held === "string" || typeof held === "number" ? held : undefined;
}

/**
 * Walk from a sampler towards its positive prompt.
 * @param {Record<string, Node>} nodes
 * @param {Node} start
 * @returns {string | undefined}
 */
function promptAt(nodes, start) {
  const queue = [start];
  const seen = new Set();
  for (let steps = 0; queue.length && steps < MAX_WALK; steps += 1) {
    const node = /** @type {Node} */ (queue.shift());
    if (seen.has(node)) continue;
    seen.add(node);
    const inputs = node.inputs ?? {};
    for (const name of ["text", "prompt", "clip_l", "t5xxl", "value", "string"]) {
      if (typeof inputs[name] === "string") return /** @type {string} */ (inputs[name]);
    }
    for (const name of [
      "positive",
      "guider",
      "conditioning",
      "cond",
      "text",
      "prompt",
      "conditioning_1",
      "conditioning_to",
    ]) {
      const link = inputs[name];
      if (Array.isArray(link) && nodes[String(link[0])]) queue.push(nodes[String(link[0])]);
    }
  }
  return undefined;
}
