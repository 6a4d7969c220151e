#!/usr/bin/env python3
"""Seams of pictures that are enlarged and redrawn in tiles, and their predicted memory against what MLX measured.

    scripts/bench_enlarging.py seams [--model seedling] [--pictures 8] [--by 4] [--steps 2] [--strength 0.3]
    scripts/bench_enlarging.py memory CHECKPOINT [--sides 256,512] [--by 2]

`seams`: steps between neighbouring pixels across the borders of tiles against all others, and the same places of the
exactly enlarged picture, whose own unevenness is no seam; and the tone, as the difference of both pictures' means over
squares of a quarter of a tile, the largest but one in a hundred. Exits with 1 if all pictures together have more than
1.05 times as large steps there, or a tone is more than 4 levels of 255 off. `memory`: one step of drawing, since every
step holds the same; exits with 1 if a prediction is more than 10 % off. Sides are those of the picture before, in
pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

import bonsai_mlx
from bonsai_mlx import Pipeline
from bonsai_mlx.editing.frame import redrawing
from bonsai_mlx.editing.pictures import PictureSet
from bonsai_mlx.editing.tiles import tiling
from bonsai_mlx.flux2.run import _LEAST_SHARED, _SHARED
from bonsai_mlx.request import REFINE_STRENGTH, SIZE_MULTIPLE_PX, Enlarge, ResolvedEnlarge

MOST_SEAM, MOST_TONE, MOST_ERROR = 1.05, 4.0, 0.10
PROMPTS = (
    "maple bonsai in autumn",
    "a red house on a hill under a blue sky",
    "three green stars",
    "two yellow boats on the sea at sunset",
    "a pine bonsai in a blue pot in the snow",
    "a white bird over the sea",
    "a cherry blossom bonsai at dawn",
    "a purple flower on a meadow in the rain",
)
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    seams = kinds.add_parser("seams")
    seams.add_argument("--model", default="seedling")
    seams.add_argument("--pictures", type=int, default=len(PROMPTS), help="of different prompts and seeds")
    seams.add_argument("--steps", type=int, default=2)
    seams.add_argument("--strength", type=float, default=REFINE_STRENGTH)
    seams.set_defaults(run=_seams)
    memory = kinds.add_parser("memory")
    memory.add_argument("model", metavar="CHECKPOINT")
    memory.add_argument("--sides", default="256,512")
    memory.set_defaults(run=_memory)
    for kind, usual in ((seams, 4), (memory, 2)):
        kind.add_argument("--by", type=int, choices=(2, 4), default=usual)
    options = parser.parse_args()
    bonsai_mlx.prepare()
    return int(options.run(options))


def _seams(options: argparse.Namespace) -> int:
    pipe = Pipeline.from_pretrained(options.model)
    print("| picture | at borders, redrawn | at borders, exact | ratio | tone, levels |")
    print("|---|---|---|---|---|", flush=True)
    sums, tones = np.zeros((2, 2)), []
    for place in range(options.pictures):
        prompt, seed = PROMPTS[place % len(PROMPTS)], 7 + place
        source = pipe.generate(prompt, seed=seed).image
        asked = {"prompt": prompt, "seed": seed, "steps": options.steps, "strength": options.strength}
        redrawn = pipe.enlarge(source, options.by, method="refine", **asked)
        assert isinstance(redrawn.request, ResolvedEnlarge)
        recommended = pipe.model.describe().recommended_size
        borders = _borders(redrawn.request, recommended)
        pair = [np.asarray(one) for one in (redrawn.image, pipe.enlarge(source, options.by).image)]
        found = np.array([_steps(one, borders) for one in pair])
        sums += found
        tones.append(_tone(pair[0], pair[1], min(recommended) // 4))
        _tell(f"{prompt}, {seed}", found, tones[-1])
    return int(_tell("all", sums, max(tones)) > MOST_SEAM or max(tones) > MOST_TONE)


def _tell(name: str, steps: Any, tone: float) -> float:
    redrawn, exact = (across / inside for across, inside in steps)
    print(f"| {name} | {redrawn:.3f} | {exact:.3f} | {redrawn / exact:.3f} | {tone:.1f} |", flush=True)
    return float(redrawn / exact)


def _tone(redrawn: Pixels, exact: Pixels, square: int) -> float:
    """How far the means over squares, which overlap, are apart: the largest but one in a hundred, in levels."""
    summed = np.zeros((redrawn.shape[0] + 1, redrawn.shape[1] + 1, 3))
    summed[1:, 1:] = (redrawn.astype(float) - exact).cumsum(0).cumsum(1)
    sums = summed[square:, square:] - summed[:-square, square:] - summed[square:, :-square] + summed[:-square, :-square]
    return float(np.quantile(np.abs(sums) / square**2, 0.99))


def _borders(request: ResolvedEnlarge, recommended: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Rows and columns, in pixels, at which a tile begins or ends."""
    tile, canvas = redrawing(request, recommended)
    assert tile.width is not None
    assert tile.height is not None
    sizes = [
        (side // SIZE_MULTIPLE_PX, part // SIZE_MULTIPLE_PX)
        for side, part in zip(canvas, (tile.width, tile.height), strict=True)
    ]
    (across, wide), (down, high) = sizes
    tiles = tiling((across, down), (wide, high), max(_LEAST_SHARED, min(wide, high) // _SHARED))
    return _edges(tiles.rows.starts, high, canvas[1]), _edges(tiles.columns.starts, wide, canvas[0])


def _edges(starts: Sequence[int], tile: int, side: int) -> list[int]:
    edges = {SIZE_MULTIPLE_PX * edge for start in starts for edge in (start, start + tile)}
    return sorted(edge for edge in edges if 0 < edge < side)


def _steps(pixels: Pixels, borders: tuple[list[int], list[int]]) -> tuple[float, float]:
    """The mean step across borders, and everywhere else, of rows and columns together."""
    across, inside = [], []
    for axis, places in enumerate(borders):
        steps = np.abs(np.diff(pixels.astype(float), axis=axis)).mean(axis=(1 - axis, 2))
        at = np.isin(np.arange(1, len(steps) + 1), places)
        across.append(steps[at].mean())
        inside.append(steps[~at].mean())
    return float(np.mean(across)), float(np.mean(inside))


def _memory(options: argparse.Namespace) -> int:
    print("| from | to | phase at its peak | predicted GB | measured GB | error |")
    print("|---|---|---|---|---|---|", flush=True)
    errors = [_measured(options.model, int(side), options.by) for side in options.sides.split(",")]
    return int(any(abs(error) > MOST_ERROR for error in errors))


def _measured(model: str, side: int, by: int) -> float:
    pipe, pictures = Pipeline.from_pretrained(model), PictureSet()
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    request = Enlarge(pictures.keep(Image.fromarray(noise)), by=by, method="refine", prompt="a tree", seed=2, steps=1)
    predicted = pipe.plan_enlarging(request.resolved(size=(side, side), steps=1)).peak_bytes
    *_, last = pipe.run(request, pictures=pictures.by_digest)
    assert last.result is not None
    measured, phases = int(last.result.memory["peak_bytes"]), last.result.memory["phases"]
    error = predicted / measured - 1
    print(
        f"| {side}x{side} | {side * by}x{side * by} | {max(phases, key=phases.__getitem__)} "
        f"| {predicted / 1e9:.3f} | {measured / 1e9:.3f} | {error:+.1%} |",
        flush=True,
    )
    pipe.unload()
    return error


if __name__ == "__main__":
    raise SystemExit(main())
