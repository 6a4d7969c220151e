// What was typed before the writer made the prompt of it: sent along, and come back to. Gone as soon as another prompt
// takes its place; changes to the written text are changes to it.

import { remember, remembered } from "../lib/storage.js";

/** @type {{typed: string, text: string} | null} */
let written = remembered("written", null);

/** @param {typeof written} next */
function keep(next) {
  written = next;
  remember("written", next);
}

/** @param {string} typed @param {string} text  the prompt that was made of it */
export const wrote = (typed, text) => keep(typed && typed !== text ? { typed, text } : null);

/** @param {string} text  as it is now, after somebody typed in it */
export const writtenOn = (text) => written && keep(text.trim() ? { ...written, text } : null);

/** @param {string} text  the prompt that is shown now, whoever changed it */
export const replacedBy = (text) => written && written.text !== text && keep(null);

/** @returns {string} "" where the prompt is as somebody typed it */
export const typedBefore = () => written?.typed ?? "";
