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
const PAGE = 60; // as the server has it
const AT_ONCE = 200; // the most that the server lists
let asked = 0;
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

/** So many of them at least, if there are. @param {number} count */
async function latest(count) {
  const images = [];
  let page = await listDeleted({ limit: PAGE });
  images.push(...page.images);
  while (page.next_cursor && images.length < count) {
    page = await listDeleted({ limit: PAGE, cursor: page.next_cursor });
    images.push(...page.images);
  }
  return { ...page, images };
}

async function tell(count = items().length) {
  const mine = ++asked;
  const { total, bytes, images, next_cursor: rest } = await latest(count);
  if (mine !== asked) return; // others may have been deleted meanwhile, and a later answer knows of them
  const days = Number(bin.dataset.days);
  const words = `${plural(total, "picture")}, ${formatBytes(bytes)} on the disk. Each is gone for good ${plural(days, "day")} after it was deleted.`;
  byId("bin-words").textContent = total ? words : "";
  byId("bin-tools").hidden = !total;
  byId("bin-empty").hidden = total > 0;
  const shown = new Map(items().map((item) => [item.dataset.id, item]));
  show(images.map((image) => shown.get(image.id) ?? itemOf(image)));
  byId("bin-more").hidden = !rest;
}

/** @param {MouseEvent} event  without scripts the link leads to the next page */
async function more(event) {
  event.preventDefault();
  const before = items().length;
  await tell(before + 1);
  if (byId("bin-more").hidden) items()[before]?.querySelector("button")?.focus();
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

/** @param {string} id */
async function restore(id) {
  const { ids: back } = await restoreImages([id]);
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

/** Also those that are not shown. */
async function restoreAll() {
  let restored = 0;
  for (;;) {
    const { images } = await listDeleted({ limit: AT_ONCE });
    const { ids } = images.length ? await restoreImages(images.map(({ id }) => id)) : { ids: [] };
    restored += ids.length;
    if (!ids.length) break; // all are back, or their files are gone
  }
  toast(`${plural(restored, "picture")} restored.`);
  await tell();
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
  if (control.getAttribute("data-action") === "restore") restore(id).catch(toastError);
  else ask("Nothing brings this picture back.", () => end([id]));
});
byId("restore-all").addEventListener("click", () => restoreAll().catch(toastError));
byId("empty-bin").addEventListener("click", () => ask("Nothing brings these pictures back.", endAll));
byId("bin-more-link").addEventListener("click", (event) => more(event).catch(toastError));
byId("end-confirm").addEventListener("click", () => {
  dialog.close();
  meant().catch(toastError);
});
for (const time of bin.querySelectorAll("time")) time.textContent = momentOf(time.dateTime);
for (const topic of ["images_changed", "resync"]) subscribe(topic, () => tell().catch(toastError));
for (const topic of ["image", "image_deleted"]) subscribe(topic, () => tell().catch(toastError));
