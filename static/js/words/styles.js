// Style chips under the prompt. Which are chosen is remembered by name; the list is fetched when it is opened.

import { listStyles } from "../lib/api.js";
import { byId, el, fill } from "../lib/dom.js";
import { remember, remembered } from "../lib/storage.js";
import { toastError } from "../lib/toast.js";
import { labelTool, startTool } from "./tools.js";

/** @typedef {import("../lib/types.js").Style} Style */

/** @type {Style[]} */
let styles = [];
/** @type {string[]} */
let chosen = remembered("styles", []);
let changed = () => {};

/** @returns {{styles?: string[]}} the styles to draw in, as a request names them, in the order in which they were chosen */
export const inStyles = () => (chosen.length ? { styles: [...chosen] } : {});

export const knownStyles = () => styles;

/** @param {readonly string[]} names */
export function chooseStyles(names) {
  chosen = names.filter((name) => !styles.length || styles.some((style) => style.name === name));
  remember("styles", chosen);
  show();
  changed();
}

/** @param {string} name */
const toggle = (name) =>
  chooseStyles(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);

const PLACE = "{prompt}"; // where a style's text has the prompt

/** What the styles make of a prompt by now; null where one of them is not there any more. @param {string[]} names @param {string} words */
export async function styledBy(names, words) {
  await load();
  const found = names.flatMap((name) => styles.find((style) => style.name === name) ?? []);
  if (found.length < names.length) return null;
  return found.reduce((made, { text }) => (text.includes(PLACE) ? text.replaceAll(PLACE, () => made) : `${made}, ${text}`), words);
}

/** @param {Style} style */
function chip(style) {
  const pressed = String(chosen.includes(style.name));
  const on = { click: () => toggle(style.name) };
  return el("li", {}, el("button", { type: "button", class: "chip style-chip", title: style.text, "aria-pressed": pressed, on }, style.name));
}

function show() {
  const list = byId("style-chips");
  const focused = document.activeElement?.closest(".style-chip")?.textContent;
  fill(list, ...styles.map(chip));
  const again = [...list.querySelectorAll("button")].find((one) => focused && one.textContent === focused);
  again?.focus({ preventScroll: true });
  labelTool("styles", chosen.length ? `Style: ${chosen.join(", ")}` : "Style", chosen.length > 0);
}

/** @param {Style[]} next */
export function takeStyles(next) {
  styles = next;
  chooseStyles(chosen);
}

async function load() {
  if (!styles.length) takeStyles((await listStyles()).styles);
}

async function openDialog() {
  await load();
  const { editStyles } = await import("./styles-dialog.js");
  editStyles();
}

/** @param {() => void} onChange */
export function startStyles(onChange) {
  changed = onChange;
  show();
  startTool("styles", load);
  byId("edit-styles").addEventListener("click", () => openDialog().catch(toastError));
}
