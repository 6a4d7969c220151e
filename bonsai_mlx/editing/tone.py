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

_CELL_PX = 4  # the difference is smooth: it is worked out for squares of this side
_TONE_LEVELS = 40.0  # of 255: a larger difference is another thing and not another tone


def toned(before: Field, after: Field, weights: Field) -> Field:
    """`after` [height, width, 3], in the tone of `before` where `weights` [height, width] blend both."""
    slope = (weights > 0) & (weights < 1)
    difference = np.asarray(before, np.float32) - after
    trusted = slope & (np.abs(difference).max(axis=2) < _TONE_LEVELS)
    if not trusted.any():
        return after
    sums = _pooled(np.dstack([difference * trusted[..., None], trusted.astype(np.float32)]))
    membrane = _filled(sums[..., :3], sums[..., 3])
    height, width = weights.shape
    return after + _resized(membrane, width, height, Image.Resampling.BICUBIC)


def _resized(field: Field, width: int, height: int, resampling: Image.Resampling) -> Field:
    """Each channel of [rows, columns, channels] by itself."""
    channels = (Image.fromarray(np.ascontiguousarray(field[..., c])) for c in range(field.shape[2]))
    return np.dstack([np.asarray(channel.resize((width, height), resampling)) for channel in channels])


def _pooled(values: Field, side: int = _CELL_PX) -> Field:
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
    known = np.minimum(counts / _CELL_PX**2, 1)[..., None]
    return (known * means + (1 - known) * spread).astype(np.float32)
