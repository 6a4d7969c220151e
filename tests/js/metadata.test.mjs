// The browser's metadata readers, run by node on files written by our own writer and by Pillow.
// `node --test tests/js/` in the repository's root, with its Python environment active.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, openAsBlob, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { parseInfotext } from "../../static/js/infotext.js";
import { fromComfy, parseJson } from "../../static/js/json-metadata.js";
import { MAX_FILE_BYTES, MetadataError, readMetadata } from "../../static/js/metadata.js";

const here = fileURLToPath(new URL(".", import.meta.url));
let folder = "";

before(() => {
  folder = mkdtempSync(join(tmpdir(), "bonsai-js-"));
  execFileSync(process.env.PYTHON ?? "python3", [join(here, "fixtures.py"), folder], { cwd: join(here, "../..") });
});

after(() => rmSync(folder, { recursive: true }));

const read = async (name) => readMetadata(await openAsBlob(join(folder, name)));

test("our own files give back the whole recipe, in any script", async () => {
  const { source, ours, found } = await read("ours.png");
  assert.equal(source, "bonsai-mlx");
  assert.equal(ours, true);
  assert.equal(found.prompt, "a bonsai tree at sunset\nwith <b>two</b> lines, Steps: 3, and 盆栽");
  assert.deepEqual([found.seed, found.steps, found.width, found.height], [4294967295, 4, 256, 256]);
  assert.equal(found.model, "seedling-ternary");
});

test("a file without the prompt gives nothing", async () => {
  assert.equal(await read("ours-marked.png"), null);
  assert.equal(await read("plain.png"), null);
});

for (const name of ["a1111.png", "a1111-zipped.png", "forge.jpg", "forge-little.webp"]) {
  test(`infotext in ${name}`, async () => {
    const { source, ours, found } = await read(name);
    assert.equal(source, "Forge");
    assert.equal(ours, false);
    assert.equal(found.prompt, "a red fox, ink wash\nsecond line");
    assert.equal(found.negative, "blurry, low quality");
    assert.deepEqual([found.seed, found.steps, found.width, found.height], [1234567890, 20, 640, 384]);
    assert.equal(found.model, "dreamshaper");
    assert.deepEqual(
      found.others.find(([key]) => key === "Lora hashes"),
      ["Lora hashes", "a: 1, b: 2"],
    );
  });
}

test("a text without settings is a prompt, as A1111 reads it", async () => {
  const { found } = await read("bare-prompt.png");
  assert.equal(found.prompt, "a fox: red, quick");
  assert.equal(found.seed, undefined);
});

test("a remark in a photograph is not a prompt", async () => {
  assert.equal(await read("camera.jpg"), null);
});

test("SwarmUI", async () => {
  const { source, found } = await read("swarm.png");
  assert.equal(source, "SwarmUI");
  assert.deepEqual([found.prompt, found.seed, found.steps, found.width, found.height], ["a boat", 5, 8, 1024, 768]);
});

test("InvokeAI", async () => {
  const { source, found } = await read("invoke.png");
  assert.equal(source, "InvokeAI");
  assert.deepEqual([found.prompt, found.negative, found.seed, found.model], ["a cup", "dirt", 9, "sdxl"]);
});

test("mflux", async () => {
  const { source, found } = await read("mflux.png");
  assert.match(source, /mflux/);
  assert.deepEqual([found.prompt, found.seed, found.width, found.height], ["ein Bär im Wald 🐻", 3, 512, 768]);
});

test("Draw Things", async () => {
  const { source, found } = await read("draw-things.png");
  assert.equal(source, "Draw Things");
  assert.deepEqual(
    [found.prompt, found.negative, found.seed, found.width, found.height],
    ["a quiet lake", "people", 77, 768, 512],
  );
});

test("ComfyUI: the graph is walked from the sampler to its words", async () => {
  const { source, found } = await read("comfy.png");
  assert.equal(source, "ComfyUI");
  assert.deepEqual([found.prompt, found.steps, found.width, found.height], ["a castle on a hill", 25, 768, 512]);
  assert.equal(found.model, "v1-5.safetensors");
});

test("ComfyUI: a graph that is a ring ends, and nonsense gives nothing", () => {
  const ring = {
    1: { class_type: "KSampler", inputs: { positive: ["2", 0], seed: 4 } },
    2: { inputs: { conditioning: ["1", 0], positive: ["1", 0] } },
  };
  assert.equal(fromComfy(ring).seed, 4);
  assert.equal(fromComfy(ring).prompt, undefined);
  for (const nonsense of [null, 7, "x", [], { a: null }, { a: { inputs: null } }])
    assert.equal(fromComfy(nonsense), null);
});

test("infotext: its traps", () => {
  assert.equal(parseInfotext("").prompt, "");
  assert.equal(parseInfotext("one\nSteps: 4, Seed: 7").prompt, "one\nSteps: 4, Seed: 7"); // two pairs are not enough
  const found = parseInfotext("Steps: 4, Seed: -1, Size: 1x2, Sampler: x");
  assert.deepEqual([found.prompt, found.steps, found.seed, found.width, found.height], ["", 4, -1, 1, 2]);
  assert.equal(parseInfotext("p\r\nSteps: 4, Seed: 1e9, Size: big, Model: m").seed, undefined);
});

test("JSON: seeds of 64 bits are not rounded silently", () => {
  const value = parseJson('{"seed": 18446744073709551615}').seed;
  assert.ok(value === "18446744073709551615" || value === 2 ** 64); // the first where the engine tells the digits
  assert.equal(parseJson("{"), undefined);
  assert.deepEqual(parseJson('{"changed": [NaN, -Infinity], "text": "[NaN]"}').changed, [null, null]);
});

// The limit is for what would take for ever; how quickly they end is what the stress tests measure.
test("hostile files end, with words or with nothing", { timeout: 60_000 }, async () => {
  await assert.rejects(read("bomb.png"), MetadataError);
  await assert.rejects(read("not-an-image.png"), MetadataError);
  assert.equal(await read("cut-in-chunk.png"), null);
  assert.equal(await read("exif-loop.webp"), null);
  assert.equal(await read("jpeg-cut.jpg"), null);
  await read("hostile-infotext.png");
});

test("a truncated file still gives what comes before the cut", async () => {
  const reading = await read("truncated.png");
  assert.ok(reading === null || reading.found.prompt.startsWith("a bonsai"));
});

test("a file that is too large is refused before it is read", async () => {
  await assert.rejects(readMetadata({ size: MAX_FILE_BYTES + 1 }), /larger than 64 MB/);
});
