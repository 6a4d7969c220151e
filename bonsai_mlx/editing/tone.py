"""A repainted part brought to the tone of what surrounds it, so that its edge cannot be seen.

A model draws a sky some levels lighter than the one that it continues. In the slope between what is kept and what is
repainted both are known; their difference there is carried smoothly over the repainted part, as a membrane is held by
its rim. What differs by more than tone, such as the outline of a thing, is left out.
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
        difference = np.asarray(before, np.float32) - np.asarray(after, np.float32)
        slope = (weights > 0) & (weights < 1)
        trusted = slope & (np.abs(difference).max(axis=2) < _TONE_LEVELS)
        sums = _pooled(np.dstack([difference * trusted[..., None], trusted.astype(np.float32)]))
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
        part = rows[0] / height, rows[1] / height
        return _resized(self._membrane, width, rows[1] - rows[0], Image.Resampling.BICUBIC, part)


def _resized(
    field: Field,
    width: int,
    height: int,
    resampling: Image.Resampling,
    part: tuple[float, float] = (0.0, 1.0),
) -> Field:
    """Each channel of [rows, columns, channels] by itself; `part` says which share of the rows is wanted."""
    box = (0, part[0] * len(field), field.shape[1], part[1] * len(field))
    channels = (Image.fromarray(np.ascontiguousarray(field[..., c])) for c in range(field.shape[2]))
    return np.dstack([np.asarray(channel.resize((width, height), resampling, box=box)) for channel in channels])


def _pooled(values: Field, side: int = CELL_PX) -> Field:
    """Sums over squares of that side; those at the right and at the bottom may be cut."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, -height % side), (0, -width % side), (0, 0)))
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    return padded.reshape(rows, side, columns, side, -1).sum(axis=(1, 3))


def _filled(sums: Field, counts: Field) -> Field:
    """The mean of each cell, and for cells without any value what coarser ones say, smoothly."""
    means = sums / np.maximum(counts, 1e-6)[..., None]
    if min(counts.shape) == 1:
        total = counts.sum()
        mean = sums.sum(axis=(0, 1)) / max(float(total), 1e-6)
        return np.where(counts[..., None] > 0, means, mean).astype(np.float32)
    coarse = _pooled(np.dstack([sums, counts]), 2)
    below = _filled(coarse[..., :3], coarse[..., 3])
    height, width = counts.shape
    spread = _resized(below, 2 * below.shape[1], 2 * below.shape[0], Image.Resampling.BILINEAR)[:height, :width]
    known = np.minimum(counts / CELL_PX**2, 1)[..., None]
    return (known * means + (1 - known) * spread).astype(np.float32)
