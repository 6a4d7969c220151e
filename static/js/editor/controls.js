// The fields of the ways: they show what the session says, and say what is changed in them.

import { byId, el } from "../lib/dom.js";
import { formatSize } from "../lib/format.js";
import { extended, isNone, NONE, problemOf, SIDES, toShape } from "./margins.js";
import { session, takesOwnSize } from "./session.js";
import { nearestShown, SHOWN, strengthWords } from "./strength.js";

const SHAPES = ["1:1", "4:3", "3:2", "16:9", "3:4", "2:3", "9:16"];
/** @type {Record<import("./session.js").Way, string>} */
const HINTS = {
  change: "Say what to do, as an instruction: “make the sky pink”, “the cat of image 1 in the room of image 2”.",
  redraw: "Describe the picture that you want to see, all of it.",
  repaint: "Mark a place, and describe what you want to see there.",
  extend: "Pull the edges outwards, and describe the whole picture.",
  blend: "A picture between image 1 and image 2. Words may be left out.",
};

/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement & HTMLSelectElement} */ (byId(id));

/** @returns {"redraw" | "repaint" | "extend" | "blend"} whose strength the slider sets */
const strong = () => (session.way === "change" ? "redraw" : session.way);

function showStrength() {
  const strength = session.strengths[strong()];
  const { name, meaning } = strengthWords(strength);
  const percent = `${Math.round(strength * 100)} %`;
  field("strength").value = String(strength);
  field("strength").setAttribute("aria-valuetext", `${percent}: ${name}. ${meaning}`);
  byId("strength-value").textContent = `${name}, ${percent}`;
  byId("strength-meaning").textContent = meaning;
  byId("strength-sample").dataset.at = strength > 0.95 ? "" : String(SHOWN.indexOf(nearestShown(strength)) + 1);
}

function showMargins() {
  const { margins, pictures } = session;
  for (const side of SIDES) {
    const input = field(`extend-${side}`);
    if (document.activeElement !== input) input.value = String(margins[side]);
  }
  const problem = problemOf(pictures[0], margins);
  byId("extend-error").textContent = problem;
  byId("extend-error").hidden = !problem;
  const { width, height } = extended(pictures[0], margins);
  byId("extend-size").textContent = problem || isNone(margins) ? "" : `becomes ${formatSize(width, height)}`;
}

/** Everything as the session says. */
export function showControls() {
  const { way, share, feather, onlyMasked, detail, ownSize } = session;
  if (!session.pictures.length) return;
  for (const radio of document.querySelectorAll("[name=way]")) {
    /** @type {HTMLInputElement} */ (radio).checked = /** @type {HTMLInputElement} */ (radio).value === way;
  }
  byId("way-hint").textContent = HINTS[way];
  for (const part of document.querySelectorAll("[data-ways]")) {
    const ways = /** @type {HTMLElement} */ (part).dataset.ways ?? "";
    part.toggleAttribute("hidden", !ways.split(" ").includes(way));
  }
  field("share").value = String(share);
  byId("share-value").textContent = `${Math.round(share * 100)} %`;
  field("feather").value = String(feather);
  byId("feather-value").textContent = `${feather} px`;
  field("only-masked").value = onlyMasked === null ? "" : String(onlyMasked);
  field("detail").value = detail === null ? "" : String(detail);
  byId("detail-field").hidden = way === "blend" || (way !== "change" && session.pictures.length < 2);
  field("own-size").checked = ownSize;
  byId("composer").dataset.size = takesOwnSize(session) ? "form" : "picture";
  showStrength();
  showMargins();
}

/**
 * @param {(what: string, listener: (input: HTMLInputElement) => void) => void} on
 * @param {() => void} changed
 */
function listenToMargins(on, changed) {
  for (const side of SIDES) {
    on(`extend-${side}`, ({ value }) => (session.margins = { ...session.margins, [side]: value === "" ? NaN : Number(value) }));
    field(`extend-${side}`).addEventListener("blur", showMargins);
  }
  const chip = (/** @type {string} */ words, /** @type {() => void} */ click) =>
    el("li", {}, el("button", { type: "button", class: "chip", on: { click } }, words));
  const shapes = SHAPES.map((shape) =>
    chip(`To ${shape}`, () => {
      const [across, down] = shape.split(":").map(Number);
      session.margins = toShape(session.pictures[0], across, down);
      changed();
    }),
  );
  const reset = chip("Reset", () => {
    session.margins = NONE;
    changed();
  });
  byId("extend-shapes").replaceChildren(...shapes, reset);
}

/** @param {() => void} changed  called after each change */
export function startControls(changed) {
  /** @type {(what: string, listener: (input: HTMLInputElement) => void) => void} */
  const on = (id, listener) =>
    byId(id).addEventListener("input", (event) => {
      listener(/** @type {HTMLInputElement} */ (event.target));
      changed();
    });
  on("ways", ({ value }) => (session.way = /** @type {import("./session.js").Way} */ (value)));
  on("strength", ({ value }) => (session.strengths = { ...session.strengths, [strong()]: Number(value) }));
  on("share", ({ value }) => (session.share = Number(value)));
  on("feather", ({ value }) => (session.feather = Number(value)));
  on("only-masked", ({ value }) => (session.onlyMasked = value === "" ? null : value === "true"));
  on("detail", ({ value }) => (session.detail = value === "" ? null : Number(value)));
  on("own-size", ({ checked }) => (session.ownSize = checked));
  listenToMargins(on, changed);
}
