"""What is redrawn brought to the tone of the picture that it came from, so that its edges cannot be seen.

A model draws a sky some levels lighter than the one that it continues. Around a repainted part, in the slope between
what is kept and what is repainted, both are known; their difference there is carried smoothly over the part, as a
membrane is held by its rim. Of a picture that is redrawn in tiles, each with a tone of its own, both are known
everywhere: the smooth part of their difference is taken away. What differs by more than tone, such as the outline of
a thing, is left out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from PIL import Image

Field: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

CELL_PX = 4  # the difference is smooth: it is worked out for squares of this side
_TONE_LEVELS = 40.0  # of 255: a larger difference is another thing and not another tone


def filled(picture: Image.Image, gone: np.ndarray[Any, np.dtype[np.bool_]]) -> Image.Image:
    """The picture with the pixels that are `gone` [height, width] filled smoothly from what lies around them."""
    if gone.all() or not gone.any():
        return picture
    pixels, kept = np.asarray(picture, np.float32), (~gone).astype(np.float32)
    sums = _pooled(np.dstack([pixels * kept[..., None], kept]))
    smooth = _resized(_filled(sums[..., :3], sums[..., 3]), *picture.size, Image.Resampling.BICUBIC)
    out = np.where(gone[..., None], np.clip(np.rint(smooth), 0, 255), pixels)
    return Image.fromarray(out.astype(np.uint8))


class Tone:
    """What is added to a repainted part, from what is seen of it a band of rows at a time."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        cells = -(-height // CELL_PX), -(-width // CELL_PX)
        self._sums = np.zeros((*cells, 4), np.float32)  # of differences, and how many of them
        self._membrane: Field | None = None

    def note(self, rows: tuple[int, int], before: Pixels, after: Pixels, weights: Field) -> None:
        """Look at a band [rows, width, 3] of what is kept and what is drawn, and at the weights that blend both.

        It begins at a multiple of CELL_PX and, but for the last, ends at one.
        """
        sums = _pooled(_differences(before, after, (weights > 0) & (weights < 1)))
        first = rows[0] // CELL_PX
        self._sums[first : first + len(sums)] = sums

    def settle(self) -> None:
        if self._sums[..., 3].any():
            self._membrane = _filled(self._sums[..., :3], self._sums[..., 3])

    def rows(self, rows: tuple[int, int]) -> Field:
        """What is added to these rows: [rows, width, 3]."""
        width, height = self._size
        if self._membrane is None:
            return np.zeros((rows[1] - rows[0], width, 3), np.float32)
        down, across = self._membrane.shape[:2]
        box = (0.0, rows[0] / height * down, float(across), rows[1] / height * down)
        return _resized(self._membrane, width, rows[1] - rows[0], Image.Resampling.BICUBIC, box)


def toned_like(source: Pixels, redrawn: Image.Image, cell_px: int) -> Image.Image:
    """The redrawn picture in the tone that its source [height, width, 3] has over squares of `cell_px` and more.

    Some rows at a time: both as floating-point numbers would be eight times the picture.
    """
    width, height = redrawn.size
    rows = [(top, min(height, top + cell_px)) for top in range(0, height, cell_px)]
    found = [_pooled(_differences(source[a:b], _rows(redrawn, a, b), np.True_), cell_px) for a, b in rows]
    sums = np.concatenate(found)
    tone = _filled(sums[..., :3], sums[..., 3], cell_px**2)
    out = redrawn.copy()
    for top, bottom in rows:
        box = (0.0, top / cell_px, width / cell_px, bottom / cell_px)
        band = _rows(redrawn, top, bottom) + _resized(tone, width, bottom - top, Image.Resampling.BICUBIC, box)
        out.paste(Image.fromarray(np.clip(np.rint(band), 0, 255).astype(np.uint8)), (0, top))
    return out


def _rows(picture: Image.Image, top: int, bottom: int) -> Pixels:
    return np.asarray(picture.crop((0, top, picture.width, bottom)))


def _differences(before: Pixels, after: Pixels, known: Any) -> Field:
    """Where both are known and differ by a tone: the difference and 1, elsewhere 0; [rows, width, 3 + 1]."""
    difference = np.asarray(before, np.float32) - np.asarray(after, np.float32)
    trusted = known & (np.abs(difference).max(axis=2) < _TONE_LEVELS)
    return np.dstack([difference * trusted[..., None], trusted.astype(np.float32)])


def _resized(
    field: Field,
    width: int,
    height: int,
    resampling: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Field:
    """Each channel of [rows, columns, channels] by itself; `box` is the part that is wanted, as Pillow has it."""
    channels = (Image.fromarray(np.ascontiguousarray(field[..., c])) for c in range(field.shape[2]))
    return np.dstack([np.asarray(channel.resize((width, height), resampling, box=box)) for channel in channels])


def _pooled(values: Field, side: int = CELL_PX) -> Field:
    """Sums over squares of that side; those at the right and at the bottom may be cut."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, -height % side), (0, -width % side), (0, 0)))
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    return padded.reshape(rows, side, columns, side, -1).sum(axis=(1, 3))


def _filled(sums: Field, counts: Field, whole: int = CELL_PX**2) -> Field:
    """The mean of each cell, and for cells with less than `whole` values also what coarser ones say, smoothly."""
    means = sums / np.maximum(counts, 1e-6)[..., None]
    if min(counts.shape) == 1:
        total = counts.sum()
        mean = sums.sum(axis=(0, 1)) / max(float(total), 1e-6)
        return np.where(counts[..., None] > 0, means, mean).astype(np.float32)
    coarse = _pooled(np.dstack([sums, counts]), 2)
    below = _filled(coarse[..., :3], coarse[..., 3], whole)
    height, width = counts.shape
    spread = _resized(below, 2 * below.shape[1], 2 * below.shape[0], Image.Resampling.BILINEAR)[:height, :width]
    known = np.minimum(counts / whole, 1)[..., None]
    return (known * means + (1 - known) * spread).astype(np.float32)
