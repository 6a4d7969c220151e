// The connect page: copying settings, one real call per interface, and the last requests as they come.

import "./shell.js";
import { deleteImage, endImages } from "../lib/api.js";
import { copyText } from "../lib/clipboard.js";
import { byId, el, fill } from "../lib/dom.js";
import { subscribe } from "../lib/store.js";
import { toastError } from "../lib/toast.js";

const POLL_MS = 2000;
const PROMPT = "a small bonsai tree";

/**
 * This page's own trials by their prompts: their pictures are for a look here, not for the gallery. Each goes once it is
 * known and its answer, which is made from it, has come.
 * @type {Map<string, {id?: string, answered?: boolean}>}
 */
const trials = new Map();

/**
 * A call of each interface as its clients make it, and where the picture is in the answer.
 * @type {Record<string, {path: string, body: (side: number, prompt: string) => object, picture: (answer: any) => string}>}
 */
const TRIALS = {
  openai: {
    path: "/v1/images/generations",
    body: (side, prompt) => ({ prompt, size: `${side}x${side}`, steps: 1 }),
    picture: (answer) => answer.data[0].b64_json,
  },
  lemonade: {
    path: "/api/v1/images/generations",
    body: (side, prompt) => ({ prompt, size: `${side}x${side}`, steps: 1 }),
    picture: (answer) => answer.data[0].b64_json,
  },
  a1111: {
    path: "/sdapi/v1/txt2img",
    body: (side, prompt) => ({ prompt, width: side, height: side, steps: 1 }),
    picture: (answer) => answer.images[0],
  },
  ollama: {
    path: "/api/generate",
    body: (side, prompt) => ({ model: "bonsai", prompt, width: side, height: side, steps: 1, stream: false }),
    picture: (answer) => answer.image,
  },
  native: {
    path: "/generate",
    body: (side, prompt) => ({ prompt, width: side, height: side, steps: 1 }),
    picture: (answer) => answer.b64_json,
  },
};

/** What browsers ask for by themselves, or for pages; some do not say that a page of this server asked. */
const OWN = /^\/(static\/|sw\.js$|offline$|collections$|preferences$|settings$|events$|connect$|docs$|models$|memory$|jobs$|sizes$|fit$|sign-in$|gallery(\/deleted)?$|model-manager$|i\/|images(\/|$)|$)/;

// copying

/** Each button copies the text beside it. */
function startCopying() {
  for (const found of document.querySelectorAll("[data-copy]")) {
    const button = /** @type {HTMLButtonElement} */ (found);
    const text = /** @type {Element} */ (button.parentElement?.querySelector("code"));
    button.hidden = false;
    button.addEventListener("click", () => copyText(text, "Copied"));
  }
}

// trying

/**
 * The message in an error, whose shape differs from interface to interface.
 * @param {any} answer
 * @param {number} status
 */
function wordsOf(answer, status) {
  const words = answer?.error?.message ?? answer?.detail ?? answer?.error;
  return typeof words === "string" ? words : `The server answered with status ${status}.`;
}

/** @param {string} encoded */
function pictureUrl(encoded) {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
}

/** Nobody would bring it back. @param {string} id */
async function deleteForGood(id) {
  await deleteImage(id);
  await endImages([id]);
}

/** @param {string} prompt @param {{id?: string, answered?: boolean}} news */
function note(prompt, news) {
  const trial = { ...trials.get(prompt), ...news };
  trials.set(prompt, trial);
  if (!trial.id || !trial.answered) return;
  trials.delete(prompt);
  deleteForGood(trial.id).catch(toastError);
}

/**
 * @param {string} protocol
 * @param {number} side
 * @returns {Promise<string>} the picture in base64
 */
async function call(protocol, side) {
  const { path, body, picture } = TRIALS[protocol];
  const prompt = `${PROMPT}, test ${Date.now().toString(36)}`;
  trials.set(prompt, {});
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body(side, prompt)) });
  const answer = await response.json().catch(() => null);
  note(prompt, { answered: true });
  if (!response.ok) throw new Error(wordsOf(answer, response.status));
  return picture(answer);
}

/**
 * @param {HTMLElement} box
 * @param {string} state
 * @param {...(Node | string)} content
 */
function show(box, state, ...content) {
  box.dataset.state = state;
  const result = /** @type {HTMLElement} */ (box.querySelector(".trial-result"));
  fill(result, ...content);
}

/**
 * @param {HTMLElement} box
 * @param {HTMLButtonElement} button
 */
async function runTrial(box, button) {
  const protocol = box.dataset.protocol ?? "";
  const side = Number(box.parentElement?.dataset.side);
  const started = performance.now();
  button.disabled = true;
  box.querySelector("img")?.remove();
  show(box, "busy", "Drawing …");
  try {
    const url = pictureUrl(await call(protocol, side));
    show(box, "good", `Works, ${((performance.now() - started) / 1000).toFixed(1)} s`);
    const picture = el("img", { src: url, alt: `Test picture, ${box.querySelector("h3")?.textContent}` });
    picture.addEventListener("load", () => URL.revokeObjectURL(url));
    box.append(picture);
  } catch (error) {
    show(box, "bad", error instanceof TypeError ? "The server does not answer." : String(/** @type {Error} */ (error).message));
  }
  button.disabled = false;
  refresh();
}

function startTrials() {
  for (const found of document.querySelectorAll(".trial")) {
    const box = /** @type {HTMLElement} */ (found);
    const button = /** @type {HTMLButtonElement} */ (box.querySelector("[data-test]"));
    button.disabled = false;
    button.addEventListener("click", () => runTrial(box, button));
  }
}

// the last requests

/** @typedef {{at: string, method: string, path: string, status: number, seconds: number, client: string, own: boolean}} Request */

const TRIED = new Set(Object.values(TRIALS).map(({ path }) => path));

/** Whether it says something about other programs: what is tried here goes the same way as theirs. @param {Request} request */
const isForeign = ({ path, own }) => TRIED.has(path) || !(own || OWN.test(path));

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {string} client @returns {string} the program's name without its libraries */
const program = (client) => (client.startsWith("Mozilla/") ? "a browser" : client.split(" ")[0] || "–");

/** @param {Request} request */
function row({ at, method, path, status, seconds, client }) {
  return el(
    "tr",
    { data: { tone: status >= 400 ? "bad" : "good" } },
    el("td", {}, clock.format(new Date(at))),
    el("td", {}, `${method} ${path}`),
    el("td", {}, status === 499 ? "left" : status),
    el("td", { class: "number" }, seconds.toFixed(seconds < 10 ? 2 : 0)),
    el("td", { title: client }, program(client)),
  );
}

let shown = "";

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch("/requests").then(
    (response) => (response.ok ? response.json() : null),
    () => null, // the banner says it already
  );
  if (!answer) return;
  const all = /** @type {HTMLInputElement} */ (byId("show-own")).checked;
  const requests = /** @type {Request[]} */ (answer.requests).filter((request) => all || isForeign(request));
  const signature = `${all} ${requests.length} ${requests[0]?.at}`;
  if (signature === shown) return; // a table that is drawn anew loses what the reader has selected
  shown = signature;
  fill(byId("requests"), ...requests.slice(0, 100).map(row));
  byId("no-requests").hidden = requests.length > 0;
}

subscribe("image", ({ image, isNew }) => {
  if (isNew && trials.has(image.prompt)) note(image.prompt, { id: image.id });
});
startCopying();
startTrials();
byId("show-own").addEventListener("change", refresh);
document.addEventListener("visibilitychange", refresh);
window.setInterval(refresh, POLL_MS);
refresh();
