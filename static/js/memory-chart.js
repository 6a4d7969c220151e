// Two minutes of memory as a small drawing: the engine's process as an outline, MLX's active and cached bytes filled.

import { el, svg } from "./dom.js";
import { formatBytes } from "./format.js";

/** @typedef {import("./types.js").Memory} Memory */

const WIDTH = 240;
const HEIGHT = 100;
const SPAN_S = 120;
const MIN_SPAN_S = 20; // a young chart is not squeezed into its right edge

/** @param {number} bytes  the next round figure: 1, 2 or 5 times a power of ten */
export function niceCeiling(bytes) {
  const power = 10 ** Math.floor(Math.log10(Math.max(bytes, 1e6)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((ceiling) => ceiling >= bytes) ?? 10 * power;
}

/**
 * @param {Memory[]} history
 * @param {(memory: Memory) => number} value
 * @param {number} ceiling
 * @returns {string} points of an area that begins and ends on the ground
 */
function area(history, value, ceiling) {
  const now = history[history.length - 1].t;
  const span = Math.min(SPAN_S, Math.max(MIN_SPAN_S, now - history[0].t));
  const x = (/** @type {number} */ t) => (WIDTH * (1 - (now - t) / span)).toFixed(1);
  const points = history.map((memory) => `${x(memory.t)},${(HEIGHT * (1 - value(memory) / ceiling)).toFixed(1)}`);
  return [`${x(history[0].t)},${HEIGHT + 2}`, ...points, `${WIDTH + 2},${HEIGHT + 2}`].join(" ");
}

/** @param {HTMLElement} container */
export function memoryChart(container) {
  const process = svg("polygon", { class: "chart-process" });
  const cache = svg("polygon", { class: "chart-cache" });
  const active = svg("polygon", { class: "chart-active" });
  const peak = svg("line", { class: "chart-peak", x1: 0, x2: WIDTH });
  const scale = el("span", { class: "chart-scale numeric", "aria-hidden": "true" });
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    process,
    cache,
    active,
    peak,
  );
  container.replaceChildren(drawing, scale);

  return {
    /** @param {Memory[]} history */
    draw(history) {
      const top = Math.max(...history.map((m) => Math.max(m.process_bytes, m.mlx_peak_bytes, m.mlx_active_bytes)));
      const ceiling = niceCeiling(top * 1.05);
      const last = history[history.length - 1];
      process.setAttribute("points", area(history, (m) => m.process_bytes, ceiling));
      cache.setAttribute("points", area(history, (m) => m.mlx_active_bytes + m.mlx_cache_bytes, ceiling));
      active.setAttribute("points", area(history, (m) => m.mlx_active_bytes, ceiling));
      const y = String(HEIGHT * (1 - last.mlx_peak_bytes / ceiling));
      peak.setAttribute("y1", y);
      peak.setAttribute("y2", y);
      peak.toggleAttribute("hidden", !last.mlx_peak_bytes);
      scale.textContent = formatBytes(ceiling).replace(".00", "");
      const words = `Engine process ${formatBytes(last.process_bytes)}, MLX active ${formatBytes(last.mlx_active_bytes)}`;
      drawing.setAttribute("aria-label", `Memory over the last two minutes. Now: ${words}.`);
    },
  };
}
