// The state of the engine in words.

import { state } from "./store.js";

const WORKER_WORDS = {
  stopped: "Engine asleep",
  starting: "Engine starting",
  idle: "Engine ready",
  busy: "Drawing",
  unresponsive: "Engine not answering",
};
const WORKER_TONES = { stopped: "idle", starting: "busy", idle: "good", busy: "busy", unresponsive: "bad" };

/** @returns {{words: string, tone: string}} */
export function engineWords() {
  if (state.connection === "lost") return { words: "Offline", tone: "bad" };
  const worker = state.memory?.worker ?? "stopped";
  return { words: WORKER_WORDS[worker], tone: WORKER_TONES[worker] };
}
