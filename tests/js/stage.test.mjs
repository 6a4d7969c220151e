// How the stage arranges pictures and how one is zoomed, in numbers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bestGrid } from "../../static/js/stage/grid.js";
import { bounded, dragged, FIT, MOST, zoomedAt } from "../../static/js/stage/zoom.js";

test("a batch fills the stage with the largest pictures", () => {
  const laptop = { width: 776, height: 480 };
  const cases = [
    [2, 1, laptop, [2, 1]],
    [4, 1, laptop, [2, 2]],
    [4, 16 / 9, laptop, [2, 2]],
    [4, 9 / 16, laptop, [4, 1]],
    [6, 1, laptop, [3, 2]],
    [8, 1, laptop, [4, 2]],
    [3, 16 / 9, { width: 390, height: 468 }, [1, 3]],
    [4, 1, { width: 390, height: 468 }, [2, 2]],
    [1, 1, laptop, [1, 1]],
  ];
  for (const [count, shape, stage, [columns, rows]] of cases)
    assert.deepEqual(bestGrid(count, shape, stage, 12), { columns, rows }, `${count} of ${shape}`);
});

test("what lies under the pointer stays there while one zooms", () => {
  const point = { x: 120, y: -40 };
  const view = zoomedAt({ scale: 2, x: 30, y: 10 }, 1.5, point);
  assert.deepEqual(view, { scale: 3, x: -15, y: 35 });
  const on = ({ scale, x, y }) => [(point.x - x) / scale, (point.y - y) / scale];
  assert.deepEqual(on(view), on({ scale: 2, x: 30, y: 10 }));
  assert.equal(zoomedAt(view, 100, point).scale, MOST);
  assert.equal(zoomedAt(view, 0.01, point).scale, 1);
});

test("two fingers zoom about their middle, one moves", () => {
  const before = [{ x: -50, y: 0 }, { x: 50, y: 0 }];
  assert.deepEqual(dragged(FIT, before, [{ x: -90, y: 20 }, { x: 110, y: 20 }]), { scale: 2, x: 10, y: 20 });
  assert.deepEqual(dragged({ scale: 3, x: 5, y: 5 }, [{ x: 0, y: 0 }], [{ x: 7, y: -2 }]), { scale: 3, x: 12, y: 3 });
});

test("a picture cannot be moved out of its frame, nor be smaller than fitted", () => {
  const frame = { width: 400, height: 300 };
  const fitted = { width: 300, height: 300 };
  assert.deepEqual(bounded({ scale: 0.2, x: 50, y: -50 }, fitted, frame), FIT);
  assert.deepEqual(bounded({ scale: 2, x: 500, y: -500 }, fitted, frame), { scale: 2, x: 100, y: -150 });
  assert.equal(bounded({ scale: 99, x: 0, y: 0 }, fitted, frame).scale, MOST);
});
