// What was deleted lately: brought back, or deleted for good.

import "./shell.js";
import { emptyBin, endImages, listDeleted, restoreImages } from "../lib/api.js";
import { byId, button, el } from "../lib/dom.js";
import { momentOf } from "../gallery/days.js";
import { formatBytes, plural } from "../lib/format.js";
import { subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";

const bin = byId("bin");
const dialog = /** @type {HTMLDialogElement} */ (byId("end-dialog"));
/** @type {() => Promise<unknown>} what the dialog asks about */
let meant = async () => undefined;

const items = () => /** @type {HTMLElement[]} */ ([...bin.querySelectorAll(".bin-item")]);

/** Show these, and let the neighbour of what has gone have its focus. @param {HTMLElement[]} next */
function show(next) {
  const before = items();
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const at = before.findIndex((item) => item.contains(focused));
  bin.replaceChildren(...next);
  if (at < 0) return;
  const neighbour = next[Math.min(at, next.length - 1)]?.querySelector("button");
  (focused?.isConnected ? focused : neighbour ?? byId("main")).focus({ preventScroll: true });
}

async function tell() {
  const { total, bytes, images } = await listDeleted();
  const days = Number(bin.dataset.days);
  const words = `${plural(total, "picture")}, ${formatBytes(bytes)} on the disk. Each is gone for good ${plural(days, "day")} after it was deleted.`;
  byId("bin-words").textContent = total ? words : "";
  byId("bin-tools").hidden = !total;
  byId("bin-empty").hidden = total > 0;
  const shown = new Map(items().map((item) => [item.dataset.id, item]));
  show(images.map((image) => shown.get(image.id) ?? itemOf(image))); // others may have been deleted meanwhile
}

/** As the server makes it. @param {import("../lib/types.js").Picture & {gone_at: string}} image */
function itemOf({ id, prompt, thumbnail_url: src, gone_at: gone }) {
  const name = prompt.length > 60 ? `${prompt.slice(0, 60)}…` : prompt;
  return el(
    "li",
    { class: "bin-item", data: { id } },
    el("img", { src, width: 160, height: 160, alt: prompt, loading: "lazy", decoding: "async" }),
    el("p", { class: "bin-prompt", dir: "auto", "aria-hidden": "true" }, prompt),
    el("p", { class: "hint" }, "Gone on ", el("time", { datetime: gone }, momentOf(gone))),
    el(
      "span",
      { class: "button-row" },
      button({ class: "button small", "data-action": "restore", "aria-label": `Restore “${name}”` }, "Restore"),
      button({ icon: "trash", class: "button small quiet square", "data-action": "end", "aria-label": `Delete “${name}” for good`, title: "Delete for good" }),
    ),
  );
}

/** @param {string[]} ids */
async function restore(ids) {
  const { ids: back } = await restoreImages(ids);
  toast(`${plural(back.length, "picture")} restored.`);
  await tell();
}

/** @param {string[]} ids */
async function end(ids) {
  await endImages(ids);
  await tell();
}

async function endAll() {
  await emptyBin();
  await tell();
}

async function restoreAll() {
  const { images } = await listDeleted();
  await restore(images.map(({ id }) => id));
}

/** @param {string} words @param {() => Promise<unknown>} action */
function ask(words, action) {
  byId("end-words").textContent = words;
  meant = action;
  dialog.showModal();
}

bin.addEventListener("click", (event) => {
  const control = /** @type {Element} */ (event.target).closest("button[data-action]");
  const item = /** @type {HTMLElement | null} */ (control?.closest(".bin-item") ?? null);
  const id = item?.dataset.id;
  if (!id || !control) return;
  if (control.getAttribute("data-action") === "restore") restore([id]).catch(toastError);
  else ask("Nothing brings this picture back.", () => end([id]));
});
byId("restore-all").addEventListener("click", () => restoreAll().catch(toastError));
byId("empty-bin").addEventListener("click", () => ask("Nothing brings these pictures back.", endAll));
byId("end-confirm").addEventListener("click", () => {
  dialog.close();
  meant().catch(toastError);
});
for (const time of bin.querySelectorAll("time")) time.textContent = momentOf(time.dateTime);
for (const topic of ["images_changed", "resync"]) subscribe(topic, () => tell().catch(toastError));
for (const topic of ["image", "image_deleted"]) subscribe(topic, () => tell().catch(toastError));
