"""Finds the things in a picture: by difference from a plain ground, or by their outlines in a landscape.

Knows pixels and regions; what a region is a picture of, `judge` decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float64]  # [height, width, 3], 0 to 255
GRID = 32  # side of a region's normalised silhouette
SPECK = 0.0028  # share of the picture below which a region is dirt: half the smallest thing ever drawn
PATCH = 8  # pixels
ROUGH = 6.0  # levels by which half of the patches vary, at least: drawings stay below 5, however shaky their lines
DARK = 72  # median brightness of a night sky, at most
GREY = np.array([0.299, 0.587, 0.114])


class Reading(NamedTuple):
    """One way to read a landscape.

    `smoothing` is how wide a bright speck (rain, snow) is wiped away, `joining` how wide a gap in an outline is closed,
    `depth` how dark an outline must be beside its surroundings; what differs by `unlike` from the borders at its height
    counts as well, unless 0.
    """

    smoothing: int = 1
    joining: int = 5
    depth: float = 1.0
    unlike: float = 0.0


READINGS = (
    Reading(),
    Reading(smoothing=3),
    Reading(smoothing=5),
    Reading(joining=9),
    Reading(depth=0.5),
    Reading(depth=0.35, joining=7),
    Reading(smoothing=3, depth=0.6, unlike=60.0),
    Reading(unlike=90.0),
)


@dataclass(frozen=True)
class Region:
    """One thing: silhouette [32, 32], log of width to height, area and centre as shares.

    `pixels` are those well inside it, [n, 3], and `heights` where each lies between its top (0) and its foot (1), [n].
    """

    silhouette: NDArray[np.float64]
    aspect: float
    area: float
    cx: float
    cy: float
    pixels: Pixels
    heights: NDArray[np.float64]


def pixels_of(picture: Image.Image) -> Pixels:
    """A picture as numbers, [height, width, 3]."""
    return np.asarray(picture.convert("RGB"), np.float64)


def is_rough(pixels: Pixels) -> bool:
    """Whether most small patches are of many colours: noise, not a drawing."""
    count = len(pixels) // PATCH
    patches = pixels[: count * PATCH, : count * PATCH].reshape(count, PATCH, count, PATCH, 3)
    return bool(np.median(patches.std(axis=(1, 3)).mean(-1)) > ROUGH)


def is_plain(pixels: Pixels) -> bool:
    """Whether the border is one colour, give or take the ground's soft fall of light."""
    rows = np.concatenate([pixels[:, :4], pixels[:, -4:]], axis=1)
    across = np.abs(rows - np.median(rows, axis=1, keepdims=True)).mean()
    levels = np.median(rows, axis=1)
    return bool(across < 9 and np.abs(levels - np.median(levels, axis=0)).max() < 26)


def ground_colour(pixels: Pixels) -> Pixels:
    """The ground of a plain picture, [3]."""
    border = np.concatenate([pixels[:, :4].reshape(-1, 3), pixels[:, -4:].reshape(-1, 3)])
    return np.asarray(np.median(border, axis=0))


def regions(pixels: Pixels) -> list[Region]:
    """The things in the picture, biggest first: the first of its `readings`."""
    return next(readings(pixels))


def readings(pixels: Pixels) -> Iterator[list[Region]]:
    """The things in the picture, biggest first, read in one way after another.

    A plain ground has one reading. A landscape has several, since no measure finds every outline: see `READINGS`.
    """
    if is_plain(pixels):
        yield _regions(_on_plain(pixels), pixels)
        return
    for reading in READINGS:
        yield _regions(_outlined(pixels, reading), pixels)


def _regions(mask: Mask, pixels: Pixels) -> list[Region]:
    """What is under a sixth of the biggest is taken for crumbs."""
    labels, count = label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    least = max(SPECK * mask.size, areas.max(initial=0) / 6)
    chosen = [k + 1 for k in np.argsort(-areas) if areas[k] >= least]
    return [_region(labels == k, pixels) for k in chosen]


def _on_plain(pixels: Pixels) -> Mask:
    """What differs from the ground and from the ground in the shade."""
    ground = np.median(np.concatenate([pixels[:, :4], pixels[:, -4:]], axis=1), axis=1)[:, None]
    shade = (np.array([30.0, 36.0, 60.0]) - ground) * 0.2
    along = np.clip(((pixels - ground) * shade).sum(-1) / np.maximum((shade**2).sum(-1), 1.0), 0, 1)[..., None]
    away = np.linalg.norm(pixels - ground - along * shade, axis=-1)
    return _opened(filled(_closed(away > 34, 3)), 3)


def _outlined(pixels: Pixels, how: Reading) -> Mask:
    """What dark outlines enclose: thin lines darker than both sides, joined, filled, and rid of loose strokes.

    At night outlines are lost in the dark; there whatever is unlike the borders at its height counts as well.
    """
    grey = (pixels @ GREY).astype(np.uint8)
    if how.smoothing == 1:
        smooth = np.asarray(Image.fromarray(grey).filter(ImageFilter.GaussianBlur(0.6)))
    else:
        smooth = grown(shrunk(grey, how.smoothing), how.smoothing)
    around = shrunk(grown(smooth, 9), 9).astype(np.float64)
    dent = around - smooth
    lines = dent > how.depth * (8 + 0.1 * around)
    if how.unlike or np.median(grey[: len(grey) // 3]) < DARK:
        edge = np.median(np.concatenate([pixels[:, :8], pixels[:, -8:]], axis=1), axis=1)[:, None]
        lines |= np.linalg.norm(pixels - edge, axis=-1) > (how.unlike or 46 + 10 * how.smoothing)
    return _opened(filled(_closed(lines, how.joining)), 5)


def _closed(mask: Mask, side: int) -> Mask:
    return shrunk(grown(np.pad(mask, side), side), side)[side:-side, side:-side]


def _opened(mask: Mask, side: int) -> Mask:
    return grown(shrunk(mask, side), side)


def grown(values: NDArray[Any], side: int) -> NDArray[Any]:
    """The greatest value in the square of `side` around each place of [height, width]; borders go on outwards."""
    return _extreme(np.maximum, values, side)


def shrunk(values: NDArray[Any], side: int) -> NDArray[Any]:
    """The same with the least value."""
    return _extreme(np.minimum, values, side)


def _extreme(pick: np.ufunc, values: NDArray[Any], side: int) -> NDArray[Any]:
    """Row by row and column by column, the same as square by square; a hundred times as fast as Pillow's."""
    height, width = values.shape
    padded = np.pad(values, side // 2, mode="edge")
    lines = reduce(pick, [padded[k : k + height] for k in range(side)])
    return np.asarray(reduce(pick, [lines[:, k : k + width] for k in range(side)]))


def filled(mask: Mask) -> Mask:
    """The mask with its holes: whatever the outside cannot reach."""
    outside, _ = label(np.pad(~mask, 1, constant_values=True), diagonal=False)
    return np.asarray(outside != outside[0, 0])[1:-1, 1:-1]


def label(mask: Mask, *, diagonal: bool = True) -> tuple[NDArray[np.int64], int]:
    """Numbers the connected regions of a mask from 1; 0 is what is not in it."""
    rows = _runs(mask)
    parent = list(range(sum(len(row) for row in rows) + 1))
    before: list[tuple[int, int]] = []
    number, first = 1, 1
    for row in rows:
        _join(row, number, before, first, parent, int(diagonal))
        before, first, number = row, number, number + len(row)
    roots = [_root(parent, k) for k in range(len(parent))]
    names = {root: k for k, root in enumerate(sorted(set(roots)))}
    labels = np.zeros(mask.shape, np.int64)
    number = 1
    for y, row in enumerate(rows):
        for begin, end in row:
            labels[y, begin:end] = names[roots[number]]
            number += 1
    return labels, len(names) - 1


def _runs(mask: Mask) -> list[list[tuple[int, int]]]:
    """Of each row, the stretches of set pixels."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    found: list[list[tuple[int, int]]] = [[] for _ in range(mask.shape[0])]
    for (y, begin), (_, end) in zip(np.argwhere(steps == 1).tolist(), np.argwhere(steps == -1).tolist(), strict=True):
        found[y].append((begin, end))
    return found


def _join(
    row: list[tuple[int, int]], number: int, before: list[tuple[int, int]], first: int, parent: list[int], reach: int
) -> None:
    """Unites every run of a row with those of the row before that it touches."""
    at = 0
    for k, (begin, end) in enumerate(row):
        while at < len(before) and before[at][1] + reach <= begin:
            at += 1
        other = at
        while other < len(before) and before[other][0] < end + reach:
            a, b = _root(parent, number + k), _root(parent, first + other)
            parent[max(a, b)] = min(a, b)
            other += 1


def _root(parent: list[int], k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


def _region(mask: Mask, pixels: Pixels) -> Region:
    ys, xs = np.nonzero(mask)
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    cut = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
    silhouette = np.asarray(cut.resize((GRID, GRID), Image.Resampling.BOX), np.float64) / 255
    core = shrunk(mask, 5)
    core = core if core.sum() > 40 else mask
    size = float(mask.shape[0])
    return Region(
        silhouette,
        float(np.log((right - left) / (bottom - top))),
        float(mask.mean()),
        float(left + right) / 2 / size,
        float(top + bottom) / 2 / size,
        pixels[core],
        (np.nonzero(core)[0] - top) / (bottom - top),
    )
