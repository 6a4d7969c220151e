// The page of one picture: what can be done with it, its neighbours by arrow keys, full screen.

import "./shell.js";
import { getCode, getImage, listImages, moveImages, revealImage } from "../lib/api.js";
import { rank } from "../lib/catalog.js";
import { copyText } from "../lib/clipboard.js";
import { compareView } from "../stage/compare.js";
import { byId, button, el } from "../lib/dom.js";
import { modelTitle } from "../lib/format.js";
import { startMenu } from "../stage/menu.js";
import { drawMore, enlarge, removeWithUndo, toggleFavourite } from "../lib/picture-actions.js";
import { handOver } from "../lib/storage.js";
import { state, subscribe } from "../lib/store.js";
import { toast, toastError } from "../lib/toast.js";
import { carry, copyPicture } from "../gallery/carrying.js";
import { choose } from "../gallery/collections.js";
import { momentOf } from "../gallery/days.js";

/** @typedef {import("../lib/types.js").Picture} Picture */

const id = byId("main").dataset.id ?? "";
/** @type {Picture | null} */
let image = null;

/** @returns {Promise<Picture>} */
async function loaded() {
  image ??= await getImage(id);
  return image;
}

/** @param {(image: Picture) => unknown} action  run with the picture, failures as a toast */
const withImage = (action) => async () => {
  try {
    await action(await loaded());
  } catch (error) {
    toastError(error);
  }
};

/** @param {Picture} shown */
async function openCompare(shown) {
  const { images } = await listImages({ group: shown.group ?? "" });
  const ordered = [...images].sort((a, b) => rank(a.model) - rank(b.model));
  if (ordered.length < 2) throw new Error("The other picture of this pair was deleted.");
  const dialog = el(
    "dialog",
    { class: "dialog compare-dialog", "aria-labelledby": "compare-title" },
    el("h2", { id: "compare-title" }, `${modelTitle(ordered[0].model)} and ${modelTitle(ordered[1].model)}`),
    compareView(ordered[0], ordered[1]),
    el("div", { class: "button-row" }, button({ "data-close": true }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Nothing can be done with a picture that was deleted. @param {boolean} gone */
function setGone(gone) {
  byId("main").classList.toggle("gone", gone);
  byId("gone-note").hidden = !gone;
  byId("delete").hidden = gone;
  for (const part of document.querySelectorAll("[data-needs-picture]")) part.toggleAttribute("inert", gone);
}

async function onDelete() {
  const next = /** @type {HTMLAnchorElement | null} */ (
    document.getElementById("after") ?? document.getElementById("before")
  );
  if (!(await removeWithUndo(id))) return;
  setGone(true);
  (next ?? byId("back")).focus();
}

/** @param {KeyboardEvent} event */
function onArrow(event) {
  const target = /** @type {Element} */ (event.target);
  if (event.altKey || event.metaKey || event.ctrlKey || event.shiftKey || target.closest("input, textarea, dialog")) return;
  const control = { ArrowLeft: "before", ArrowRight: "after", Delete: "delete" }[event.key];
  if (control) document.getElementById(control)?.click();
  if (event.key.toLowerCase() === "f") toggleFullScreen();
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("figure").requestFullscreen?.().catch(toastError);
}

/** A prompt that is cut offers the rest. */
function offerWholePrompt() {
  const prompt = byId("prompt");
  const more = byId("whole-prompt");
  more.hidden = prompt.scrollHeight <= prompt.clientHeight + 1;
  more.addEventListener("click", () => {
    prompt.classList.add("whole");
    more.hidden = true;
    prompt.tabIndex = -1;
    prompt.focus();
  });
}

async function copyCode() {
  const text = byId("code-text");
  text.textContent ||= (await getCode(id)).code;
  text.hidden = false;
  await copyText(text, "Code copied.");
}

/** The code as a QR code, which is drawn when it is asked for. */
function toggleQr() {
  const box = byId("qr");
  box.hidden = !box.hidden;
  byId("show-qr").setAttribute("aria-expanded", String(!box.hidden));
  if (box.firstChild) return;
  const alt = "A QR code that holds all of the picture";
  const picture = el("img", { class: "qr", src: `/images/${id}/code.svg`, alt });
  const words = "A phone reads it as text; bonsai-mlx decode makes this picture of that again.";
  box.append(picture, el("p", { class: "hint" }, words));
}

async function moveElsewhere() {
  const into = await choose(1);
  if (!into) return;
  await moveImages([id], { into: into.id, out_of: byId("main").dataset.collection || null });
  toast(`Moved to “${into.name}”.`);
}
byId("favourite").addEventListener("click", withImage(toggleFavourite));
byId("copy-prompt").addEventListener("click", () => copyText(byId("prompt"), "Prompt copied."));
byId("copy-picture").addEventListener("click", () => copyPicture(id));
byId("move").addEventListener("click", withImage(moveElsewhere));
document.getElementById("reveal")?.addEventListener("click", withImage(() => revealImage(id)));
byId("figure").addEventListener("dragstart", (event) => carry(event, { id, name: byId("main").dataset.file ?? "" }));
byId("figure").addEventListener("dblclick", toggleFullScreen);
byId("drawn").textContent = momentOf(byId("drawn").getAttribute("datetime") ?? "");
offerWholePrompt();
document.getElementById("copy-code")?.addEventListener(
  "click",
  withImage(copyCode),
);
document.getElementById("show-qr")?.addEventListener("click", toggleQr);
startMenu(byId("variations"), (how) =>
  withImage(async (shown) => {
    const jobs = await drawMore(shown, /** @type {import("../lib/picture-actions.js").Alike} */ (how));
    handOver({ jobs: jobs.map((job) => job.id) });
    location.assign("/");
  })(),
);
byId("enlarge").addEventListener(
  "click",
  withImage(async (shown) => {
    const [by, method] = /** @type {HTMLSelectElement} */ (byId("larger")).value.split(" ");
    const jobs = await enlarge(shown, Number(by), method);
    handOver({ jobs: jobs.map((job) => job.id) });
    location.assign("/");
  }),
);
document.getElementById("open-compare")?.addEventListener("click", withImage(openCompare));
byId("delete").addEventListener("click", onDelete);
document.addEventListener("keydown", onArrow);
subscribe("image", ({ image: changed }) => {
  if (changed.id !== id) return;
  image = changed;
  byId("favourite").setAttribute("aria-pressed", String(changed.favourite));
  setGone(false);
});
loaded().then((shown) => state.images.set(shown.id, shown), toastError);
