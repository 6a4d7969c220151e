// The page's pure functions: words, figures, and what of a picture's settings would be applied.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./catalog-of-a-page.mjs";

import { comparedPair, isStandIn, rank, standIn } from "../../static/js/lib/catalog.js";
import { formatBytes, formatSeconds, formatSize, formatTimeLeft, modelTitle, plural } from "../../static/js/lib/format.js";
import { isSide, isWhole, nearestSide, randomSeed, unfit } from "../../static/js/lib/limits.js";
import { readingOf } from "../../static/js/metadata/metadata.js";
import { niceCeiling } from "../../static/js/studio/memory-chart.js";
import { statusWords, timeLeftWords } from "../../static/js/lib/progress.js";
import { rowsOf } from "../../static/js/metadata/rows.js";
import { eventsIn } from "../../static/js/words/writing-stream.js";
import { activeJobs, putJob, putMemory, putModel, state } from "../../static/js/lib/store.js";

const job = (changes) => ({
  id: "1",
  status: "running",
  phase: "denoise",
  step: 0,
  steps: 4,
  steps_total: 4,
  position: 0,
  eta_s: null,
  error: null,
  ...changes,
});

test("figures are short and in GB of 1e9 bytes", () => {
  assert.deepEqual([formatBytes(999), formatBytes(5_400_000), formatBytes(3_867_929_824)], ["1 kB", "5 MB", "3.87 GB"]);
  assert.deepEqual(
    [formatSeconds(0.66), formatSeconds(12.4), formatSeconds(75), formatSeconds(3700)],
    ["0.7 s", "12 s", "1 min 15 s", "1 h 1 min"],
  );
  assert.deepEqual([formatTimeLeft(0.4), formatTimeLeft(3.2)], ["less than a second left", "4 s left"]);
  assert.deepEqual([plural(1, "step"), plural(4, "step")], ["1 step", "4 steps"]);
});

test("the chart's scale is a round figure above the data", () => {
  assert.deepEqual([1.1e6, 3e6, 51e6, 2.1e9].map(niceCeiling), [2e6, 5e6, 1e8, 5e9]);
});

test("a job in words", () => {
  assert.equal(statusWords(job({})), "Step 1 of 4");
  assert.equal(statusWords(job({ step: 4 })), "Step 4 of 4");
  assert.equal(statusWords(job({ step: 8, steps_total: 36 })), "Step 9 of 36"); // drawn in nine tiles
  assert.equal(statusWords(job({ status: "queued", position: 1 })), "Waiting, next in line");
  assert.equal(statusWords(job({ status: "queued", position: 3 })), "Waiting, 2 pictures before it");
  assert.equal(statusWords(job({ status: "failed", error: { message: "Out of paint." } })), "Out of paint.");
  assert.equal(timeLeftWords([job({})]), "");
  assert.match(timeLeftWords([job({ eta_s: 3 }), job({ eta_s: 8 })]), /^8 s left$/);
  assert.equal(timeLeftWords([job({ eta_s: 0 })]), "less than a second left");
  assert.equal(timeLeftWords([job({ eta_s: -2 })]), "longer than usual"); // as one of 0 that came two seconds ago
});

test("limits are the server's", () => {
  assert.ok(isSide(64) && isSide(2048) && !isSide(72) && !isSide(2064) && !isSide("64"));
  assert.deepEqual([nearestSide(500), nearestSide(7), nearestSide(5000)], [496, 64, 2048]);
  assert.ok(isWhole(randomSeed(), 0, 2 ** 32 - 1));
  assert.ok(!isWhole(NaN, 0, 9) && !isWhole(1.5, 0, 9) && !isWhole("1", 0, 9));
});

test("a picture that cannot be edited is told before anything is asked for", () => {
  assert.equal(unfit({ width: 64, height: 512 }), "");
  assert.match(unfit({ width: 1, height: 1 }), /^This picture has 1 × 1 pixels; 64 a side are needed/);
  assert.match(unfit({ width: 63, height: 640 }), /64 a side/);
  assert.match(unfit({ width: 64, height: 513 }), /^This picture is 64 × 513: one side may have 8 times the other/);
});

const reading = (found, ours = false) => ({ source: "x", ours, found });
const byLabel = (rows) => Object.fromEntries(rows.map((row) => [row.label, row]));

const settings = (changes) => ({
  source: "a1111",
  program: "Forge",
  prompt: "p",
  negative: "",
  seed: null,
  seed_text: null,
  steps: null,
  width: null,
  height: null,
  model: null,
  extra: {},
  recipe: null,
  ...changes,
});

test("the server's answer as a reading: what a picture does not say is not there", () => {
  const { source, ours, found } = readingOf(settings({}));
  assert.deepEqual([source, ours], ["Forge", false]);
  assert.deepEqual(Object.keys(rowsOf({ source, ours, found })), ["0"]);
  const full = readingOf(
    settings({ seed: 2 ** 63, seed_text: "9223372036854775808", steps: 4, width: 64, height: 96, extra: { a: "b" } }),
  );
  const rows = byLabel(rowsOf(full));
  assert.deepEqual([rows.Seed.value, rows.Size.value, rows.Others.value], ["9223372036854775808", formatSize(64, 96), "a: b"]);
  const own = readingOf(settings({ model: "bonsai-image-ternary-4B", recipe: { model: "ternary" } }));
  assert.deepEqual([own.ours, own.found.model], [true, "ternary"]);
});

test("our own settings are all applied", () => {
  const found = { prompt: "p", seed: 7, steps: 20, width: 128, height: 128, model: "small-lean", others: [] };
  const rows = rowsOf(reading(found, true));
  assert.ok(rows.every((row) => row.checked));
  assert.deepEqual(Object.assign({}, ...rows.map((row) => row.recipe)), {
    prompt: "p",
    seed: 7,
    steps: 20,
    width: 128,
    height: 128,
    model: "small-lean",
  });
});

test("of a styled prompt the words and the styles are two settings", () => {
  const recipe = { model: "ternary", prompt: "a fox, at night", typed: "a fox", styles: ["At night"], guidance: 1 };
  const rows = byLabel(rowsOf(readingOf(settings({ prompt: recipe.prompt, recipe }))));
  assert.deepEqual([rows.Prompt.value, rows.Prompt.recipe], ["a fox", { prompt: "a fox" }]);
  assert.deepEqual([rows.Style.value, rows.Style.recipe], ["At night", { styles: ["At night"], styled: "a fox, at night" }]);
  assert.equal(rows.Guidance, undefined); // it had none
  const written = byLabel(rowsOf(readingOf(settings({ prompt: "a red fox", recipe: { prompt: "a red fox", typed: "fox" } }))));
  assert.deepEqual(written.Prompt.recipe, { prompt: "a red fox", typed: "fox" });
});

test("what only some models are told is offered too", () => {
  const recipe = { model: "base", guidance: 4.5, negative_prompt: "fog", temperature: 0.5, unconditional: true };
  const rows = rowsOf(readingOf(settings({ prompt: "", recipe })));
  assert.deepEqual(Object.assign({}, ...rows.map((row) => row.recipe)), {
    guidance: 4.5,
    negative_prompt: "fog",
    temperature: 0.5,
    unconditional: true,
  });
});

test("foreign settings: what cannot be used is shown and says why", () => {
  const found = {
    prompt: "p",
    negative: "n",
    seed: 2 ** 40,
    seedText: "1099511627776",
    steps: 30,
    width: 500,
    height: 500,
    model: "sd",
    others: [["CFG scale", "7"]],
  };
  const rows = byLabel(rowsOf(reading(found)));
  assert.equal(rows.Seed.recipe, undefined);
  assert.equal(rows.Seed.value, "1099511627776");
  assert.equal(rows.Steps.checked, false);
  assert.deepEqual(rows.Size.recipe, { width: 496, height: 496 });
  assert.match(rows.Size.note, /multiples of 16/);
  assert.equal(rows.Model.recipe, undefined);
  assert.equal(rows["Negative prompt"].recipe, undefined);
  assert.equal(rows.Others.value, "CFG scale: 7");
  assert.equal(rows.Others.recipe, undefined);
});

test("with the seedling alone a foreign size is offered but not ticked", () => {
  putModel({ name: "seedling-ternary", kind: "model", embedded: true, state: "ready" });
  const rows = byLabel(rowsOf(reading({ prompt: "p", width: 1024, height: 1024 })));
  assert.equal(rows.Size.checked, false);
  state.models.clear();
});

test("a size beyond the limits is never applied", () => {
  assert.equal(byLabel(rowsOf(reading({ width: 4096, height: 64 }))).Size.recipe, undefined);
});

test("the store: an overtaken answer does not bring a finished job back", () => {
  putJob(job({ status: "done" }));
  putJob(job({ status: "queued" }));
  assert.equal(state.jobs.get("1").status, "done");
  putJob(job({ id: "2", status: "queued", position: 1 }));
  putJob(job({ id: "3" }));
  assert.deepEqual(
    activeJobs().map(({ id }) => id),
    ["3", "2"],
  );
});

test("the store keeps two minutes of memory", () => {
  for (let t = 0; t < 300; t += 10) putMemory({ t });
  assert.equal(state.memoryHistory[0].t, 170);
});

test("what is known of models is what the page brings along", () => {
  assert.deepEqual(["lean", "small-lean", "another", null].map(modelTitle), ["Lean", "Small lean", "another", "Unknown model"]);
  assert.deepEqual([standIn("lean"), standIn("small-lean"), standIn("another")], ["small-lean", "small-lean", "another"]);
  assert.deepEqual(["large", "small-large", "another"].map(isStandIn), [false, true, false]);
  assert.deepEqual(comparedPair(), ["large", "lean"]);
  assert.deepEqual(["another", "lean", null, "large"].sort((a, b) => rank(a) - rank(b)), ["large", "lean", "another", null]);
});

test("a stream of events is read as far as it has come", () => {
  const whole = 'event: word\ndata: {"text":"a fox"}\n\n: ping\n\nevent: done\r\ndata: {}\r\n\r\n';
  for (let end = 0; end <= whole.length; end += 1) {
    const first = eventsIn(whole.slice(0, end));
    const { events, rest } = eventsIn(first.rest + whole.slice(end));
    assert.deepEqual([...first.events, ...events], [{ event: "word", data: { text: "a fox" } }, { event: "done", data: {} }]);
    assert.equal(rest, "");
  }
});
