// POST /write: scenes made of a few words, told word by word.

import { ApiError, errorFrom, OFFLINE } from "../lib/api.js";

/** @typedef {{proposal: number, text: string}} Word */
/** @typedef {{proposal: number, text: string, seed: number, missing: string[], note: string | null}} Proposal */
/** @typedef {{word: (word: Word) => void, proposal: (whole: Proposal) => void}} Listener */

/**
 * The events of a stream as far as they are complete, and the rest that is not.
 * @param {string} text
 * @returns {{events: {event: string, data: any}[], rest: string}}
 */
export function eventsIn(text) {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop() ?? "";
  const events = blocks.flatMap((block) => {
    const lines = block.split(/\r?\n/);
    const value = (/** @type {string} */ name) =>
      lines
        .filter((line) => line.startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).replace(/^ /, ""))
        .join("\n");
    return value("data") ? [{ event: value("event"), data: JSON.parse(value("data")) }] : [];
  });
  return { events, rest };
}

/**
 * @param {{prompt: string, model?: string}} request
 * @param {Listener} listener
 * @param {AbortSignal} signal  leaving stops the writer
 */
export async function writeScenes(request, listener, signal) {
  const options = { method: "POST", headers: { Accept: "text/event-stream", "Content-Type": "application/json" }, signal };
  const response = await fetch("/write", { ...options, body: JSON.stringify(request) }).catch(offline);
  if (!response.ok || !response.body) throw await errorFrom(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read().catch(offline);
    if (done) throw new ApiError(0, OFFLINE); // its end is said before
    const { events, rest } = eventsIn(text + decoder.decode(value, { stream: true }));
    text = rest;
    for (const { event, data } of events) {
      if (event === "word") listener.word(data);
      else if (event === "proposal") listener.proposal(data);
      else if (event === "error") throw new ApiError(200, data.error);
      else if (event === "done") return;
    }
  }
}

/** @param {unknown} error @returns {never} */
function offline(error) {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new ApiError(0, OFFLINE);
}
