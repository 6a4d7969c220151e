// What of a picture's recipe is asked for again: settings for the form, and the pictures that went in.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./catalog-of-a-page.mjs";

import { picturesIn, recipeOf } from "../../static/js/lib/picture-actions.js";
import { again } from "../../static/js/stage/stage-states.js";

const MADE = { prompt: "p", seed: 7, steps: 4, width: 300, height: 203, model: "lean" };
const EDITED = { init: "a".repeat(64), strength: 0.5, mask: null, restore_unmasked: false };

test("a picture that was kept in part is asked for at the size that was drawn", () => {
  const drawn = { width: 304, height: 208 };
  assert.deepEqual(recipeOf({ ...MADE, recipe: drawn }), { ...MADE, ...drawn });
  const { prompt, seed, steps, model } = MADE;
  assert.deepEqual(recipeOf({ ...MADE, recipe: {} }), { prompt, seed, steps, model });
  assert.deepEqual(recipeOf({ ...MADE, ...drawn, recipe: {} }), { ...MADE, ...drawn });
});

test("an enlarged picture is asked for as it was drawn, and its strokes' seed is not its own", () => {
  const recipe = { operation: "enlarge", by: 2, width: 600, height: 416, guidance: 3, negative_prompt: "fog" };
  const asked = recipeOf({ ...MADE, seed: 0, steps: 0, width: 640, height: 416, recipe: { ...recipe, width: 640 } });
  assert.deepEqual([asked.width, asked.height, asked.seed, asked.steps], [320, 208, undefined, undefined]);
  assert.deepEqual([asked.guidance, asked.negative_prompt], [3, "fog"]);
});

test("what was said of pictures stays said, and nothing else", () => {
  const { mask, ...said } = EDITED;
  assert.deepEqual(picturesIn({ ...MADE, ...EDITED, operation: "draw" }), said);
  assert.deepEqual([picturesIn({ prompt: "p" }), picturesIn(undefined)], [{}, {}]);
});

test("what is asked for again is all that was asked for", () => {
  const { model, ...made } = MADE;
  const request = { ...made, ...EDITED, loras: [{ name: "ink", strength: 0.5 }], styles: ["Comic"], typed: "p" };
  assert.deepEqual(again({ ...MADE, request: { operation: "draw", version: 1, ...request } }), { ...request, model });
});
