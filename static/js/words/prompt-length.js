// Told near the end of what a model reads of a prompt: how much room there is, or where it stops reading.

import { ApiError, measurePrompt } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { styledBy } from "./styles.js";

const WAIT_MS = 500;
const NEAR = 0.8; // of what is read
const WORDS_A_TOKEN = 0.7; // of English prose
const SHOWN_CHARS = 40;

let timer = 0;
let asked = 0;

/** @param {string} text */
function say(text) {
  if (byId("prompt-length").textContent !== text) byId("prompt-length").textContent = text;
  byId("prompt-length").hidden = !text;
}

/**
 * @param {string} prompt  in its styles
 * @param {{tokens: number | null, limit: number | null, read_chars: number | null}} length
 */
function words(prompt, { tokens, limit, read_chars: read }) {
  if (tokens === null || limit === null || tokens < NEAR * limit) return "";
  if (tokens > limit) {
    const last = [...prompt].slice(0, read ?? 0).join("").trimEnd().slice(-SHOWN_CHARS).replace(/^\S*\s/, "");
    return `Too long: the model stops reading after “…${last}”. Put what matters most first.`;
  }
  const room = Math.floor((limit - tokens) * WORDS_A_TOKEN);
  return room ? `Room for about ${plural(room, "more word")}.` : "The model reads no more than this.";
}

/** @param {Record<string, unknown>} request  whose prompt is long */
export function measureSoon(request) {
  clearTimeout(timer);
  timer = window.setTimeout(() => measure(request), WAIT_MS);
}

export function measureNothing() {
  clearTimeout(timer);
  asked += 1;
  say("");
}

/** @param {Record<string, unknown>} request */
async function measure(request) {
  const mine = ++asked;
  try {
    const length = await measurePrompt(request);
    const { prompt, styles = [] } = /** @type {{prompt: string, styles?: string[]}} */ (request);
    const styled = (await styledBy(styles, prompt)) ?? prompt;
    if (mine === asked) say(words(styled, length));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (mine === asked) say(""); // what is wrong is said when it is drawn
  }
}
