// The rail beside the stage: live memory figures, the chart, "unload now", and whether to draw previews.

import { changeSettings, unload } from "../lib/api.js";
import { byId, el } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";
import { memoryChart } from "./memory-chart.js";
import { engineWords } from "../lib/engine-words.js";
import { putMemory, state, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Memory} Memory */

/** @type {[string, string, (memory: Memory) => string][]} name, colour key, text */
const ROWS = [
  ["MLX active", "active", (m) => formatBytes(m.mlx_active_bytes)],
  ["MLX cache", "cache", (m) => formatBytes(m.mlx_cache_bytes)],
  ["MLX peak", "peak", (m) => (m.mlx_peak_bytes ? formatBytes(m.mlx_peak_bytes) : "–")],
  ["Engine process", "process", (m) => formatBytes(m.process_bytes)],
  ["This page’s server", "", (m) => formatBytes(m.server_bytes)],
  ["System free", "", (m) => `${formatBytes(m.system_available_bytes)} of ${formatBytes(m.system_total_bytes)}`],
  ["Swap since start", "", (m) => (m.swap_growth_bytes > 0 ? `+${formatBytes(m.swap_growth_bytes)}` : "none")],
];

/** @type {HTMLElement[]} */
let values = [];

function build() {
  values = ROWS.map(() => el("dd", {}, "–"));
  const rows = ROWS.map(([name, series], index) =>
    el(
      "div",
      {},
      el("dt", {}, el("span", { class: "swatch", data: { series }, "aria-hidden": "true" }), name),
      values[index],
    ),
  );
  byId("figures").replaceChildren(...rows);
}

/** @param {{draw: (history: Memory[]) => void}} chart */
function show(chart) {
  const { memory } = state;
  if (!memory) return;
  ROWS.forEach(([, , text], index) => (values[index].textContent = text(memory)));
  chart.draw(state.memoryHistory);
  const { words, tone } = engineWords();
  byId("memory-mark").textContent = words.replace("Engine ", "").replace(/^./, (letter) => letter.toUpperCase());
  byId("memory-mark").dataset.tone = tone;
  const idle = memory.worker === "idle";
  byId("unload").toggleAttribute("disabled", !idle);
  byId("unload-hint").textContent = idle
    ? "Ends the engine; all its memory returns to the system. The next picture loads the model again."
    : memory.worker === "stopped"
      ? "Nothing is loaded; the next picture starts the engine."
      : "";
}

async function unloadNow() {
  const before = state.memory?.process_bytes ?? 0;
  try {
    putMemory(await unload());
    toast(before ? `Engine unloaded: ${formatBytes(before)} returned to the system.` : "Engine unloaded.");
  } catch (error) {
    toastError(error);
  }
}

/** @param {Event} event */
async function togglePreview(event) {
  const box = /** @type {HTMLInputElement} */ (event.target);
  box.disabled = true;
  try {
    await changeSettings({ preview: box.checked });
  } catch (error) {
    box.checked = !box.checked;
    toastError(error);
  }
  box.disabled = false;
}

export function startMemoryPanel() {
  build();
  const chart = memoryChart(byId("memory-chart"));
  byId("unload").addEventListener("click", unloadNow);
  byId("preview").addEventListener("change", togglePreview);
  subscribe("memory", () => show(chart));
  subscribe("connection", () => show(chart));
}
