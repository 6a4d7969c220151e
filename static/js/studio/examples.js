// Prompts that suit the model at hand. The seedling knows twenty kinds of things, ten colours, up to four of a kind,
// positions and landscapes.

import { byId, el, icon } from "../lib/dom.js";

const SEEDLING = [
  "cherry blossom bonsai at dawn",
  "three green stars",
  "maple bonsai in autumn, in a blue pot",
  "two red houses at night",
  "a pine bonsai by a lake",
  "a small blue boat on the sea",
  "winter bonsai at night",
  "mountains at sunset",
  "an orange fish to the left of a blue cup",
  "four purple butterflies",
  "three red lanterns at night",
  "a purple star above a green square",
];

const BONSAI = [
  "a tiny bonsai on a windowsill, morning light, film photograph",
  "a red fox asleep in fresh snow, ink wash",
  "an old lighthouse keeper reading by lamplight, oil painting",
  "a cup of tea on a mossy stone, shallow depth of field",
  "a paper boat on a quiet pond, cut-paper illustration",
  "a hand-painted sign that says OPEN, hanging on a green door",
  "mountain hut under the Milky Way, long exposure",
  "a cat on a bookshelf, flat vector poster, three colours",
  "terraced rice fields after rain, aerial photograph",
];

const SHOWN = 2;
let offset = 0;

/** @param {boolean} seedling @param {(prompt: string) => void} choose */
export function showExamples(seedling, choose) {
  const all = seedling ? SEEDLING : BONSAI;
  const shown = Array.from({ length: SHOWN }, (_, index) => all[(offset + index) % all.length]);
  const chips = shown.map((prompt) =>
    el("li", {}, el("button", { type: "button", class: "chip", on: { click: () => choose(prompt) } }, prompt)),
  );
  const others = () => {
    offset += SHOWN;
    showExamples(seedling, choose);
    byId("examples").querySelector("button")?.focus();
  };
  const more = el(
    "li",
    {},
    el("button", { type: "button", class: "chip", "aria-label": "Other examples", on: { click: others } }, icon("dice")),
  );
  byId("examples").replaceChildren(...chips, more);
}
