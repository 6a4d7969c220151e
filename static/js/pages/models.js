// The models page: one card per checkpoint, drawn anew when the server says that its state changed.

import "./shell.js";
import { deleteModel, listModels, makeModel, modelAction } from "../lib/api.js";
import { PUBLISHED } from "../lib/catalog.js";
import { byId, button, el, fill } from "../lib/dom.js";
import { formatBytes, formatSize, formatTimeLeft } from "../lib/format.js";
import { afterPress } from "../lib/press.js";
import { putModel, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

/** @typedef {import("../lib/types.js").Model} Model */

const STATES = {
  ready: ["Ready", "good"],
  absent: ["Not downloaded", "idle"],
  partial: ["Partly downloaded", "warn"],
  downloading: ["Downloading", "busy"],
  paused: ["Paused", "warn"],
  verifying: ["Checking every file", "busy"],
  damaged: ["Damaged", "bad"],
  failed: ["Download failed", "bad"],
};

const VERBS = { download: "Download", make: "Make from the original", pause: "Pause", resume: "Resume", cancel: "Cancel", verify: "Verify" };
const ICONS = { download: "download", make: "download-bare", pause: "pause", resume: "play", cancel: "close", verify: "check" };

/** @type {Record<string, (keyof typeof VERBS)[]>} what can be done in which state */
const ACTIONS = {
  ready: ["verify"],
  absent: ["download"],
  partial: ["resume"],
  downloading: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  verifying: [],
  damaged: ["download", "verify"],
  failed: ["resume", "cancel"],
};

/** What can be done with a model: one of which nothing has arrived is as one that nobody has asked for. @param {Model} model */
const actionsOf = (model) =>
  (model.state === "failed" && !model.bytes_present ? /** @type {const} */ (["download"]) : ACTIONS[model.state]).flatMap(
    (action) =>
      action === "download" && model.original && !model.packed_from ? waysToGet(model) : [action],
  );

/** @param {Model} model  that can be made from another one @returns {(keyof typeof VERBS)[]} */
const waysToGet = (model) => (model.repo ? ["download", "make"] : ["make"]);

/** @param {Model} model */
const isRecommended = (model) => model.name === PUBLISHED[0]?.name;

let diskFree = 0;

/** @param {Model} model */
const missingBytes = (model) => Math.max(0, model.bytes_total - model.bytes_present);

/** A warning only: checkpoints share files, so less may be needed; the server decides. @param {Model} model */
const lacksSpace = (model) =>
  !["ready", "downloading", "verifying"].includes(model.state) &&
  !model.embedded &&
  diskFree > 0 &&
  missingBytes(model) > diskFree;

/** @param {Model} model */
const figuresOfDrawing = (model) => [
  ["In memory, idle", model.resident_bytes === null ? "–" : formatBytes(model.resident_bytes)],
  ["Draws best at", formatSize(...model.recommended_size)],
];

/** @param {Model} model */
function figures(model) {
  const rows = [
    ["On disk", formatBytes(model.bytes_total)],
    ...(model.kind === "model" ? figuresOfDrawing(model) : []),
  ];
  return el(
    "dl",
    { class: "model-figures numeric" },
    ...rows.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))),
  );
}

/** @param {Model} model */
function progress(model) {
  const { download } = model;
  if (!download || !["downloading", "paused", "verifying", "failed", "partial"].includes(model.state)) return null;
  const speed = download.speed_bps ? `${formatBytes(download.speed_bps)}/s` : "";
  const left = download.eta_s === null || model.state !== "downloading" ? "" : formatTimeLeft(download.eta_s);
  return el(
    "div",
    { class: "model-progress" },
    el("progress", {
      class: "bar",
      max: download.bytes_total || 1,
      value: download.bytes_done,
      "aria-label": `Progress of ${model.title}`,
    }),
    el(
      "p",
      { class: "facts numeric" },
      el("span", {}, `${formatBytes(download.bytes_done)} of ${formatBytes(download.bytes_total)}`),
      el("span", {}, [speed, left].filter(Boolean).join(", ")),
    ),
    model.state === "downloading" && download.file && el("p", { class: "model-path" }, download.file),
  );
}

/** @param {Model} model */
function problemTexts(model) {
  const found = [...model.problems, ...(model.download?.error ? [model.download.error] : [])];
  if (lacksSpace(model))
    found.push(
      `Needs up to ${formatBytes(missingBytes(model))}, but only ${formatBytes(diskFree)} are free on this disk.`,
    );
  return found;
}

/** @param {Model} model */
function problems(model) {
  const found = problemTexts(model);
  if (!found.length) return null;
  const tone = model.state === "damaged" || model.state === "failed" ? "bad" : "warn";
  return el("div", { class: "notice", data: { tone } }, ...found.map((text) => el("p", {}, text)));
}

/** @param {Model} model @param {keyof typeof VERBS} action */
const act = (model, action) => (action === "make" ? makeModel(model) : modelAction(model.name, action));

/** @param {Model} model @param {keyof typeof VERBS} action */
function actionButton(model, action) {
  const primary = action === "resume" || (action === "download" && isRecommended(model));
  const bytes = { download: model.bytes_total, make: model.original_bytes }[/** @type {string} */ (action)];
  const size = bytes ? ` ${formatBytes(bytes)}` : "";
  return button(
    {
      class: primary ? "button primary" : "button",
      icon: ICONS[action],
      data: { action },
      "aria-describedby": `title-${model.name}`,
      on: { click: () => act(model, action).then(putModel, toastError) },
    },
    VERBS[action] + size,
  );
}

/** @param {Model} model */
function actions(model) {
  if (model.embedded) return null;
  const deletable = !["absent", "downloading", "verifying"].includes(model.state) && model.bytes_present > 0;
  const remove = button(
    { class: "button quiet", icon: "trash", data: { action: "delete" }, on: { click: () => confirmDelete(model) } },
    "Delete",
  );
  return el(
    "div",
    { class: "button-row" },
    ...actionsOf(model).map((action) => actionButton(model, action)),
    deletable && remove,
  );
}

/** What the second way to get a model means. @param {Model} model */
function howMade(model) {
  if (!actionsOf(model).includes("make")) return null;
  const choice = model.repo ? "Download takes the finished files. " : "";
  const words =
    `${choice}Made from the original, its ${formatBytes(model.original_bytes ?? 0)} come one ` +
    `file after the other and are made smaller here; at most ${formatBytes(model.passing_bytes ?? 0)} of them lie on ` +
    "the disk at a time.";
  return el("p", { class: "muted", id: `made-${model.name}` }, words);
}

/** @param {Model} model */
function card(model) {
  const unknown = model.state === "ready" && model.content === "unknown";
  const [words, tone] = unknown ? ["Ready, unknown files", "warn"] : STATES[model.state];
  return el(
    "li",
    { class: "model", data: { name: model.name, embedded: String(model.embedded) } },
    el(
      "div",
      { class: "model-head" },
      el(model.kind === "model" ? "h2" : "h3", { id: `title-${model.name}` }, model.title),
      isRecommended(model) && el("span", { class: "recommended" }, "Recommended"),
      el("span", { class: "mark", data: { tone } }, model.embedded ? "Part of this program" : words),
    ),
    el("p", { class: "muted" }, model.note),
    figures(model),
    progress(model),
    problems(model),
    howMade(model),
    actions(model),
    model.path && !model.embedded && el("p", { class: "model-path" }, model.path),
  );
}

/** @param {Model} model  or part */
const listOf = (model) => byId(model.kind === "model" ? "models" : "parts");

/** What a card shows beside the progress of a download. @param {Model} model */
const frameOf = (model) => JSON.stringify([model.state, model.content, model.bytes_total, model.path, problemTexts(model)]);

/** @type {Map<string, string>} */
const shownFrames = new Map();

/**
 * Progress comes ten times a second and is shown in place: a button that is replaced between press and release is never
 * clicked. Where more changed the card is replaced; a focused button keeps the focus where it still exists.
 * @param {Model} model
 */
function show(model) {
  const card = /** @type {HTMLElement | null} */ (listOf(model).querySelector(`[data-name="${model.name}"]`));
  if (card) afterPress(card, () => showNow(model));
  else showNow(model);
}

/** @param {Model} model  whose card is not pressed just now */
function showNow(model) {
  const list = listOf(model);
  const old = list.querySelector(`[data-name="${model.name}"]`);
  const bar = old?.querySelector(".model-progress");
  const nextBar = progress(model);
  const frame = `${frameOf(model)} ${nextBar !== null}`;
  if (old && frame === shownFrames.get(model.name)) {
    if (bar && nextBar) bar.replaceWith(nextBar);
    return;
  }
  shownFrames.set(model.name, frame);
  const focused = old?.contains(document.activeElement) ? document.activeElement?.getAttribute("data-action") : null;
  const next = card(model);
  if (old) old.replaceWith(next);
  else list.append(next);
  if (!focused) return;
  const target = next.querySelector(`[data-action=${focused}]`) ?? next.querySelector("button");
  /** @type {HTMLElement | null} */ (target)?.focus();
}

/** @param {Model} model */
function confirmDelete(model) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("delete-dialog"));
  const freed = formatBytes(model.bytes_present);
  byId("delete-title").textContent = `Delete ${model.title}?`;
  byId("delete-text").textContent =
    `${freed} are freed. To use it again it has to be downloaded again. Your pictures stay.`;
  const confirm = byId("delete-confirm").cloneNode(true); // a new node has no listener of an earlier dialog
  byId("delete-confirm").replaceWith(confirm);
  confirm.addEventListener("click", () => {
    dialog.close();
    deleteModel(model.name).then((deleted) => {
      putModel(deleted);
      toast(`${model.title} deleted; ${freed} freed.`);
      refresh().catch(toastError);
    }, toastError);
  });
  dialog.showModal();
}

async function refresh() {
  const { models, parts, disk_free_bytes: free } = await listModels();
  diskFree = free;
  fill(byId("disk"), `${formatBytes(free)} free on this disk`);
  [...models, ...parts].forEach(putModel);
  for (const list of ["models", "parts"]) byId(list).removeAttribute("aria-busy");
}

/** @type {Map<string, string>} */
const shownStates = new Map();

/** @param {Model} model  or part */
function changed(model) {
  show(model);
  const before = shownStates.get(model.name);
  shownStates.set(model.name, model.state);
  if (before && before !== model.state && !model.embedded) {
    if (model.state === "ready") toast(`${model.title} is ready.`);
    refresh().catch(toastError); // the space on the disk changed
  }
}

subscribe("model", changed);
subscribe("part", changed);
subscribe("resync", () => refresh().catch(toastError));
refresh().catch(toastError); // what the events begin with has no parts
