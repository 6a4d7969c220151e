// Prompts that suit the model at hand. The seedling knows shapes, colours, counts, positions and simple scenes.

import { byId, el } from "./dom.js";

const SEEDLING = [
  "three green stars",
  "a bonsai tree at sunset",
  "a red circle",
  "a blue boat on the sea",
  "a yellow moon over a house at night",
  "a pink heart on a yellow background",
  "a white house with a red roof on green grass",
  "an orange fish to the left of a blue cup",
  "four purple flowers",
  "a black mountain at sunset",
  "a small brown tree in the snow",
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

const SHOWN = 2; // they fit one line
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
    el("button", { type: "button", class: "chip", "aria-label": "Other examples", on: { click: others } }, "…"),
  );
  byId("examples").replaceChildren(...chips, more);
}
