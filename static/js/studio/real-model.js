// The one card about the model that is not here yet: what it is, how its download goes, why it failed. It stands on the
// empty stage, and above the settings once there are pictures.

import { modelAction } from "../lib/api.js";
import { button, el, refill } from "../lib/dom.js";
import { formatBytes, formatTimeLeft } from "../lib/format.js";
import { putModel } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Model} Model */

const SEEDLING_WORDS =
  "Until then the seedling draws: a tiny demonstration model inside this program that knows simple things, landscapes " +
  "and bonsai trees.";

/** @type {Record<string, {title: string, action?: "download" | "pause" | "resume", verb?: string}>} */
const STATES = {
  absent: { title: "Get the real model", action: "download", verb: "Download" },
  partial: { title: "Get the rest of the real model", action: "resume", verb: "Resume" },
  paused: { title: "The download is paused", action: "resume", verb: "Resume" },
  downloading: { title: "The real model is on its way", action: "pause", verb: "Pause" },
  verifying: { title: "The real model is being checked" },
  failed: { title: "The download failed", action: "resume", verb: "Try again:" },
  damaged: { title: "The real model is damaged", action: "download", verb: "Repair" },
};

/** Why a model that was asked for is not here, in the server's words. @param {Model} model */
function failureOf(model) {
  if (model.state === "failed") return model.download?.error ?? "The download failed.";
  return model.state === "damaged" ? (model.problems[0] ?? "Its files are damaged.") : "";
}

/** @param {Model} model */
function progressWords({ download, state, bytes_total: total }) {
  if (!download) return "";
  const percent = Math.floor((100 * download.bytes_done) / Math.max(1, download.bytes_total || total));
  const speed = state === "downloading" && download.speed_bps ? `${formatBytes(download.speed_bps)}/s` : "";
  const left = state === "downloading" && download.eta_s !== null ? formatTimeLeft(download.eta_s) : "";
  return [`${percent} % of ${formatBytes(download.bytes_total || total)}`, speed, left].filter(Boolean).join(", ");
}

const element = el("div", { class: "real-model" });
const bar = el("progress", { class: "bar", max: 1, value: 0 });
const words = el("span", { class: "numeric" });
let shown = "";

/** @param {Model} model */
function actionButton(model) {
  const { action, verb } = STATES[model.state];
  if (!action) return null;
  const start = () => modelAction(model.name, action).then(putModel, toastError);
  const what = action === "pause" ? "" : ` ${model.variant}, ${formatBytes(model.bytes_total)}`;
  const kind = action === "pause" ? "button small" : "button small primary";
  const icon = action === "pause" ? "pause" : "download";
  return button({ class: kind, icon, on: { click: start } }, `${verb}${what}`);
}

/** @param {Model} model  the chosen one @param {boolean} recommended */
function build(model, recommended) {
  const failure = failureOf(model);
  const size = `Bonsai Image 4B, ${model.variant}, ${formatBytes(model.bytes_total)}${recommended ? ", recommended" : ""}.`;
  const working = ["downloading", "paused", "verifying"].includes(model.state);
  bar.setAttribute("aria-label", `Progress of ${model.title}`);
  refill(
    element,
    element,
    el("h2", {}, STATES[model.state].title),
    failure && el("p", { class: "notice", data: { tone: "bad" }, role: "alert" }, `${model.title}: ${failure}`),
    working ? el("div", { class: "real-progress" }, bar, words) : el("p", {}, size),
    el("p", { class: "hint" }, SEEDLING_WORDS),
    el(
      "div",
      { class: "button-row" },
      actionButton(model),
      el("a", { class: "button small quiet", href: "/model-manager" }, "All models"),
    ),
  );
}

/**
 * The card as it is now. A button is replaced only when it means something else: it may be pressed just then.
 * @param {Model} model
 * @param {boolean} recommended
 */
export function realModelCard(model, recommended) {
  const signature = [model.name, model.state, model.bytes_total, failureOf(model)].join();
  if (signature !== shown) build(model, recommended);
  shown = signature;
  bar.max = model.download?.bytes_total || 1;
  bar.value = model.download?.bytes_done ?? 0;
  words.textContent = progressWords(model);
  return element;
}
