// Two minutes of memory as a small drawing: the engine's process as an outline, MLX's active and cached bytes filled.

import { el, svg } from "../lib/dom.js";
import { formatBytes } from "../lib/format.js";

/** @typedef {import("../lib/types.js").Memory} Memory */

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
 * @returns {[string, string][]} x and y of every moment
 */
function line(history, value, ceiling) {
  const now = history[history.length - 1].t;
  const span = Math.min(SPAN_S, Math.max(MIN_SPAN_S, now - history[0].t));
  return history.map((memory) => [
    (WIDTH * (1 - (now - memory.t) / span)).toFixed(1),
    (HEIGHT * (1 - value(memory) / ceiling)).toFixed(1),
  ]);
}

/** @param {[string, string][]} points @returns {string} the line as the edge of an area that stands on the ground */
const area = (points) => `${points[0][0]},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`;

/** @param {HTMLElement} container */
export function memoryChart(container) {
  const process = svg("polygon", { class: "chart-process" });
  const outline = svg("polyline", { class: "chart-outline" });
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
    outline,
    peak,
  );
  container.replaceChildren(drawing, scale);

  return {
    /** @param {Memory[]} history @param {number} most  that MLX held, as far as is known */
    draw(history, most) {
      const top = Math.max(most, ...history.map((m) => Math.max(m.process_bytes, m.mlx_peak_bytes, m.mlx_active_bytes)));
      const ceiling = niceCeiling(top * 1.05);
      const last = history[history.length - 1];
      const edge = line(history, (m) => m.process_bytes, ceiling);
      process.setAttribute("points", area(edge));
      outline.setAttribute("points", edge.join(" "));
      cache.setAttribute("points", area(line(history, (m) => m.mlx_active_bytes + m.mlx_cache_bytes, ceiling)));
      active.setAttribute("points", area(line(history, (m) => m.mlx_active_bytes, ceiling)));
      const y = String(HEIGHT * (1 - most / ceiling));
      peak.setAttribute("y1", y);
      peak.setAttribute("y2", y);
      peak.toggleAttribute("hidden", !most);
      scale.textContent = formatBytes(ceiling).replace(".00", "");
      const now = `engine process ${formatBytes(last.process_bytes)}, MLX active ${formatBytes(last.mlx_active_bytes)}`;
      drawing.setAttribute("aria-label", `Memory over the last two minutes; now ${now}.`);
    },
  };
}
