// The editor's figures: what is marked, how a picture grows, what a request then says.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import "./catalog-of-a-page.mjs";

import { extended, isNone, moved, NONE, problemOf, toShape } from "../../static/js/editor/margins.js";
import { lineageOf } from "../../static/js/editor/ancestors.js";
import { placeOfBefore } from "../../static/js/editor/before-after.js";
import { Mask, maskSize } from "../../static/js/editor/mask.js";
import { pngOf } from "../../static/js/editor/png.js";
import { fieldsOf, fresh, missing } from "../../static/js/editor/session.js";
import { nearestShown, strengthWords } from "../../static/js/editor/strength.js";

/** @param {Mask} mask */
const picture = (mask) =>
  Array.from({ length: mask.height }, (_, y) =>
    [...mask.data.subarray(y * mask.width, (y + 1) * mask.width)].map((value) => (value ? "#" : ".")).join(""),
  );

/** @param {Mask} mask @param {() => void} change */
function changed(mask, change) {
  mask.begin();
  change();
  return mask.end();
}

const count = (mask) => mask.data.reduce((sum, value) => sum + (value === 255), 0);

test("a stroke marks the pixels whose middles lie within the brush, and rubbing out takes them back", () => {
  const mask = new Mask(90, 70);
  const [a, b, radius] = [{ x: 12.3, y: 10.8 }, { x: 71.2, y: 55.5 }, 7.4];
  changed(mask, () => mask.stroke([a, b], radius, true));
  for (let y = 0; y < 70; y += 1) {
    for (let x = 0; x < 90; x += 1) {
      const [px, py] = [x + 0.5 - a.x, y + 0.5 - a.y];
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const along = Math.min(1, Math.max(0, (px * dx + py * dy) / (dx * dx + dy * dy)));
      const distance = Math.hypot(px - along * dx, py - along * dy);
      if (Math.abs(distance - radius) > 1e-6) assert.equal(mask.isMarked({ x, y }), distance < radius, `${x} ${y}`);
    }
  }
  assert.equal(mask.share, count(mask) / (90 * 70));
  changed(mask, () => mask.stroke([a, b], radius + 1, false));
  assert.ok(mask.isEmpty && count(mask) === 0);
  const dot = new Mask(3, 3);
  changed(dot, () => dot.stroke([{ x: 1.5, y: 1.5 }], 0.6, true));
  assert.deepEqual(picture(dot), ["...", ".#.", "..."]);
});

test("rectangles and outlines, cut off at the picture's edges", () => {
  const mask = new Mask(6, 4);
  changed(mask, () => mask.rectangle({ x: 4, y: 3 }, { x: -2, y: 1 }, true));
  assert.deepEqual(picture(mask), ["......", "####..", "####..", "......"]);
  changed(mask, () => mask.polygon([{ x: 0, y: 0 }, { x: 6, y: 0 }, { x: 0, y: 4 }], false));
  assert.deepEqual(picture(mask), ["......", "......", "..##..", "......"]);
});

test("every change is taken back and done again, in the order of their making", () => {
  const mask = new Mask(200, 130); // more than one tile, and not whole ones
  const states = [picture(mask).join()];
  const changes = [
    () => changed(mask, () => mask.stroke([{ x: 5, y: 5 }, { x: 190, y: 120 }], 9, true)),
    () => mask.invert(),
    () => changed(mask, () => mask.rectangle({ x: 20, y: 20 }, { x: 150, y: 70 }, false)),
    () => mask.clear(),
  ];
  for (const change of changes) {
    change();
    states.push(picture(mask).join());
  }
  for (let place = 3; place >= 0; place -= 1) {
    mask.undo();
    assert.equal(picture(mask).join(), states[place]);
    assert.equal(mask.share, count(mask) / mask.data.length);
  }
  assert.ok(!mask.canUndo && mask.canRedo);
  for (let place = 1; place <= 4; place += 1) {
    mask.redo();
    assert.equal(picture(mask).join(), states[place]);
  }
  mask.undo();
  mask.invert();
  assert.ok(!mask.canRedo, "a new change leaves nothing to be done again");
  mask.begin();
  mask.stroke([{ x: 50, y: 50 }], 30, true);
  const before = picture(mask).join();
  mask.abandon();
  assert.notEqual(picture(mask).join(), before);
  assert.ok(!changed(mask, () => mask.stroke([{ x: -90, y: 0 }], 5, true)), "nothing was touched");
});

test("what is to be painted anew is what was changed", () => {
  const mask = new Mask(100, 100);
  changed(mask, () => mask.stroke([{ x: 30, y: 40 }], 5, true));
  assert.deepEqual(mask.takeDirty(), { left: 25, top: 35, right: 35, bottom: 45 });
  assert.equal(mask.takeDirty(), null);
});

test("what is marked is remembered as text, and only by a mask of its size", () => {
  const mask = new Mask(50, 40);
  changed(mask, () => mask.stroke([{ x: 0, y: 0 }, { x: 30, y: 30 }], 6, true));
  const again = new Mask(50, 40);
  again.setText(mask.toText());
  assert.deepEqual([again.data, again.share], [mask.data, mask.share]);
  assert.equal(new Mask(5, 4).toText(), "k");
  for (const wrong of ["", "x,y", mask.toText()]) {
    const other = new Mask(7, 7);
    other.setText(wrong);
    assert.ok(other.isEmpty);
  }
  assert.deepEqual(maskSize(6000, 4000), { width: 2048, height: 1365 });
  assert.deepEqual(maskSize(300, 203), { width: 300, height: 203 });
});

test("a mask as a PNG file holds its pixels", async () => {
  const mask = new Mask(37, 21);
  changed(mask, () => mask.stroke([{ x: 10, y: 10 }, { x: 25, y: 12 }], 4, true));
  const file = Buffer.from(await (await pngOf(mask)).arrayBuffer());
  assert.equal(file.subarray(1, 4).toString(), "PNG");
  assert.deepEqual([file.readUInt32BE(16), file.readUInt32BE(20)], [37, 21]);
  const length = file.readUInt32BE(33);
  const rows = inflateSync(file.subarray(41, 41 + length));
  for (let y = 0; y < 21; y += 1) {
    assert.equal(rows[y * 38], 0);
    assert.deepEqual([...rows.subarray(y * 38 + 1, (y + 1) * 38)], [...mask.data.subarray(y * 37, (y + 1) * 37)]);
  }
});

test("a picture grows to a shape on both sides, by the least that makes it", () => {
  const size = { width: 300, height: 203 };
  assert.deepEqual(toShape(size, 16, 9), { left: 30, top: 0, right: 31, bottom: 0 });
  assert.deepEqual(toShape(size, 1, 1), { left: 0, top: 48, right: 0, bottom: 49 });
  assert.deepEqual(extended(size, toShape(size, 1, 1)), { width: 300, height: 300 });
  assert.ok(isNone(toShape({ width: 160, height: 90 }, 16, 9)) && !isNone(toShape(size, 9, 16)));
  assert.deepEqual(moved(NONE, "top", 12.4), { ...NONE, top: 12 });
  assert.deepEqual([moved(NONE, "left", -5).left, moved(NONE, "left", 9999).left], [0, 2048]);
  assert.equal(problemOf(size, { ...NONE, left: 20 }), "");
  assert.match(problemOf(size, { ...NONE, left: 2048 }), /8 times/);
  assert.match(problemOf(size, { ...NONE, top: NaN }), /Whole numbers/);
  assert.match(problemOf({ width: 6000, height: 6000 }, { ...NONE, top: 2000 }), /40 million/);
});

test("strengths have words and the picture next to them", () => {
  assert.deepEqual([0.1, 0.3, 0.5, 0.75, 0.9, 1].map((value) => strengthWords(value).name), [
    "Barely", "A little", "Half", "Much", "Nearly all", "All",
  ]);
  assert.deepEqual([0.1, 0.45, 0.65, 1].map(nearestShown), [0.3, 0.5, 0.7, 0.9]);
});

const slot = (id, mask = null) => ({ id, url: "", width: 64, height: 64, name: "", mask });
const session = (changes) => ({ ...fresh(), pictures: [slot("a"), slot("b")], ...changes });

test("what a request says of the pictures", () => {
  assert.deepEqual(fieldsOf(session({ way: "change" }), null), { references: ["a", "b"] });
  assert.deepEqual(fieldsOf(session({ way: "change", detail: 256 }), null), { references: ["a", "b"], reference_detail: 256 });
  assert.deepEqual(fieldsOf(session({ pictures: [slot("a")] }), null), { init: "a", strength: 0.6 });
  assert.deepEqual(fieldsOf(session({ way: "repaint", onlyMasked: false, feather: 0 }), "m"), {
    init: "a", strength: 1, references: ["b"], feather_px: 0, only_masked: false, mask: "m",
  });
  assert.deepEqual(fieldsOf(session({ way: "extend", pictures: [slot("a")], margins: { ...NONE, left: 7, bottom: 9 } }), null), {
    init: "a", strength: 0.9, feather_px: 16, extend: [7, 0, 0, 9],
  });
  assert.deepEqual(fieldsOf(session({ way: "blend", share: 0.3 }), null), { init: "a", morph: "b", morph_weight: 0.3, strength: 0.3 });
});

test("what is missing is said before anything is sent", () => {
  assert.equal(missing(session({ way: "redraw" })), "");
  assert.match(missing(session({ way: "repaint" })), /Mark what/);
  assert.match(missing(session({ way: "repaint", pictures: [slot("a", "k")] })), /Mark what/);
  assert.equal(missing(session({ way: "repaint", pictures: [slot("a", "1,3,1")] })), "");
  assert.match(missing(session({ way: "extend" })), /drag an edge/);
  assert.match(missing(session({ way: "blend", pictures: [slot("a")] })), /second picture/);
  assert.equal(missing(session({ way: "blend" })), "");
  assert.equal(missing(session({ way: "extend", margins: { ...NONE, top: 8 } })), "");
});

test("a picture's lineage goes back to what was given first", async () => {
  const made = (id, parents, recipe = {}) => ({ id, url: id, thumbnail_url: id, prompt: id, parents, recipe });
  const all = {
    c: made("c", [{ id: "x", role: "reference" }, { id: "b", role: "input" }], { init: "0" }),
    b: made("b", [{ id: "a", role: "reference" }], { references: ["1"] }),
    a: made("a", [], { init: "photo" }),
    loop: made("loop", [{ id: "loop", role: "input" }]),
  };
  const ids = async (id) => (await lineageOf(id, async (asked) => all[asked])).map((one) => one.id);
  assert.deepEqual(await ids("c"), ["photo", "a", "b", "c"]);
  assert.deepEqual(await ids("loop"), ["loop"]);
});

test("what was extended lies where it was", () => {
  const image = { width: 200, height: 100, recipe: { extend: [50, 20, 0, 0] } };
  assert.deepEqual(placeOfBefore(image), { left: 0.25, top: 0.2, width: 0.75, height: 0.8 });
  assert.deepEqual(placeOfBefore({ ...image, recipe: {} }), { left: 0, top: 0, width: 1, height: 1 });
});
