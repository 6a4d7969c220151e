// The contact sheet of a grid: all of its pictures on one, with labels.

import { el, icon } from "../lib/dom.js";

/** @param {import("../lib/types.js").Job} job  one of a group */
export function sheetLink(job) {
  if (job.group_kind !== "grid") return false;
  const href = `/grids/${job.group}.png?download=true`;
  return el("a", { class: "button", id: "contact-sheet", href, download: true }, icon("download"), "Contact sheet");
}
