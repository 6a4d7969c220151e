// The "infotext" of A1111 and its relatives: prompt, negative prompt, and a last line of `key: value` pairs.

// Every repetition before a mandatory character is bounded, so that hostile text takes linear time.
const PAIR = /\s{0,16}(\w[\w \-/]{1,63}):\s{0,16}("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/g;
const SIZE = /^(\d{1,6})x(\d{1,6})$/;
const NEGATIVE = "Negative prompt:";
const MIN_PAIRS = 3; // fewer, and the last line is part of the prompt

/** @param {string} value */
function unquoted(value) {
  if (!value.startsWith('"')) return value.trim();
  try {
    return String(JSON.parse(value));
  } catch {
    return value; // not JSON after all: show it as it is written
  }
}

/** @param {string} line @returns {Map<string, string>} */
function pairs(line) {
  return new Map([...line.matchAll(PAIR)].map(([, key, value]) => [key.trim(), unquoted(value)]));
}

/** @param {string | undefined} text */
const number = (text) => (text !== undefined && /^-?\d+$/.test(text.trim()) ? Number(text) : undefined);

/**
 * @param {string} text
 * @returns {import("./metadata.js").Found}
 */
export function parseInfotext(text) {
  const lines = text.trim().split(/\r?\n/);
  const last = pairs(lines[lines.length - 1]);
  const params = last.size >= MIN_PAIRS ? last : new Map();
  if (params.size) lines.pop();
  const negativeAt = lines.findIndex((line) => line.startsWith(NEGATIVE));
  const positive = negativeAt < 0 ? lines : lines.slice(0, negativeAt);
  const negative = negativeAt < 0 ? [] : lines.slice(negativeAt);
  const size = SIZE.exec(params.get("Size") ?? "");
  const used = new Set(["Steps", "Seed", "Size", "Model"]);
  return {
    prompt: positive.join("\n").trim(),
    negative: negative.join("\n").slice(NEGATIVE.length).trim() || undefined,
    seed: number(params.get("Seed")),
    seedText: params.get("Seed"),
    steps: number(params.get("Steps")),
    width: size ? Number(size[1]) : undefined,
    height: size ? Number(size[2]) : undefined,
    model: params.get("Model"),
    others: [...params].filter(([key]) => !used.has(key)),
  };
}
