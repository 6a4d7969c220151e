// The chip in the header, which always says what MLX holds, and the panel that it opens: live figures, the chart,
// "unload now", and whether to draw previews. The panel opens by itself when memory becomes tight.

import { changeSettings, unload } from "../lib/api.js";
import { byId, el, isComposing } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";
import { memoryChart } from "./memory-chart.js";
import { engineWords } from "../lib/engine-words.js";
import { putMemory, state, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Memory} Memory */

let seen = 0; // the most that this page was told of, which a new run of the engine does not forget

/** @type {[string, string, (memory: Memory) => string][]} name, colour key, text */
const ROWS = [
  ["MLX active", "active", (m) => formatBytes(m.mlx_active_bytes)],
  ["MLX cache", "cache", (m) => formatBytes(m.mlx_cache_bytes)],
  ["MLX at most", "peak", () => (seen ? formatBytes(seen) : "–")],
  ["Engine process", "process", (m) => formatBytes(m.process_bytes)],
  ["This page’s server", "", (m) => formatBytes(m.server_bytes)],
  ["System free", "", (m) => `${formatBytes(m.system_available_bytes)} of ${formatBytes(m.system_total_bytes)}`],
  ["Swap since start", "", (m) => (m.swap_growth_bytes > 0 ? `+${formatBytes(m.swap_growth_bytes)}` : "none")],
];

const TIGHT = 0.06; // of the system's memory: with less than that free it begins to swap

/** @type {HTMLElement[]} */
let values = [];
let wasTight = false;

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

const isOpen = () => !byId("machine").hidden;

/** @param {boolean} open */
function setOpen(open) {
  byId("machine").hidden = !open;
  byId("engine-mark").setAttribute("aria-expanded", String(open));
}

function close() {
  const inside = byId("machine").contains(document.activeElement);
  setOpen(false);
  if (inside) byId("engine-mark").focus();
}

/** What is wrong with the memory while something is drawn, or "". @param {Memory} now @param {Memory[]} history */
export function memoryWarning(now, history) {
  if (now.worker !== "busy") return "";
  if (now.swap_growth_bytes > Math.min(...history.map((memory) => memory.swap_growth_bytes)))
    return "The system is swapping: the picture takes longer. Close other programs, or choose a smaller size.";
  if (now.system_available_bytes < TIGHT * now.system_total_bytes)
    return "Memory is nearly full. Close other programs, or choose a smaller size.";
  return "";
}

/** @param {Memory} memory */
function warn(memory) {
  const warning = memoryWarning(memory, state.memoryHistory);
  const box = byId("memory-warning");
  box.hidden = !warning;
  if (box.textContent !== warning) box.textContent = warning;
  byId("engine-mark").classList.toggle("tight", Boolean(warning));
  if (warning && !wasTight) setOpen(true);
  wasTight = Boolean(warning);
}

/** Both figures without what MLX keeps for reuse, so that the first is never above the second. @param {Memory} memory */
function showChip({ mlx_active_bytes: active, mlx_peak_bytes: peak }) {
  const holds = formatBytes(active);
  seen = Math.max(seen, active, peak);
  const most = seen ? el("span", { class: "engine-peak" }, `, ${formatBytes(seen)} at most`) : null;
  byId("engine-memory").replaceChildren(holds, ...(most ? [most] : []));
  byId("engine-mark").title = `MLX holds ${holds}${most?.textContent ?? ""}`;
}

/** @param {{draw: (history: Memory[], most: number) => void}} chart */
function show(chart) {
  const { memory } = state;
  if (!memory) return;
  showChip(memory);
  warn(memory);
  if (!isOpen()) return;
  ROWS.forEach(([, , text], index) => (values[index].textContent = text(memory)));
  chart.draw(state.memoryHistory, seen);
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
  document.getElementById("preview")?.addEventListener("change", togglePreview);
  byId("engine-mark").addEventListener("click", () => (setOpen(!isOpen()), show(chart)));
  byId("machine-close").addEventListener("click", close);
  const onEscape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || isComposing(event) || !isOpen()) return;
    event.preventDefault();
    close();
  };
  for (const id of ["machine", "engine-mark"]) byId(id).addEventListener("keydown", onEscape);
  subscribe("memory", () => show(chart));
  subscribe("connection", () => show(chart));
}
