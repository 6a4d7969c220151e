"""A drawn part put back into the picture that it came from, through a mask with a slope at its edge.

All of it goes a band of rows at a time: of a photo with 40 megapixels, weights and colours as floating-point numbers
would be gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from .frame import Frame
from .tone import CELL_PX, Tone

Image8: TypeAlias = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [height, width, 3]
Weights: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float32]]  # [height, width], 0 to 1
Rows: TypeAlias = tuple[int, int]  # the first, and the one behind the last

_BAND_PX = 1 << 20


@dataclass(frozen=True, slots=True)
class Painted:
    """How far each pixel is repainted, worked out for some rows when they are asked for."""

    mask: Image.Image  # L
    feather_px: int

    def rows(self, rows: Rows) -> Weights:
        """Weights [rows, width]; the slope is that of the whole mask."""
        top, bottom = rows
        reach = self.feather_px  # of both steps of the feather
        first, last = max(0, top - reach), min(self.mask.height, bottom + reach)
        weights = feathered(weights_of(self.mask.crop((0, first, self.mask.width, last))), self.feather_px)
        return weights[top - first : bottom - first]

    def touched(self) -> Image.Image:
        out = np.empty((self.mask.height, self.mask.width), np.uint8)
        for top, bottom in bands(*self.mask.size):
            out[top:bottom] = np.ceil(self.rows((top, bottom)) * 255)
        return Image.fromarray(out)


def put_back(whole: Image.Image, drawn: Image.Image, painted: Painted, frame: Frame) -> Image.Image:
    """The canvas with the model's picture of the box in it, in its tone.

    What the mask and its feather leave out is the canvas's own, bit for bit.
    """
    size = painted.mask.size
    if drawn.width != frame.box_size[0]:  # rows by themselves, so that a band is the same whatever its height
        drawn = drawn.resize((frame.box_size[0], drawn.height), Image.Resampling.LANCZOS)

    def moments() -> Iterator[tuple[Rows, Image8, Image8, Weights]]:
        for rows in bands(*size):
            yield rows, _rows_of(whole, frame, rows), _drawn_rows(drawn, frame, rows), painted.rows(rows)

    tone = Tone(*size)
    for rows, before, after, weights in moments():
        tone.note(rows, before, after, weights)
    tone.settle()
    out = whole.copy()
    left, top = frame.on_canvas[:2]
    for rows, before, after, weights in moments():
        toned = after + tone.rows(rows)
        mixed = before + (toned - before) * weights[..., None]
        out.paste(Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8)), (left, top + rows[0]))
    return out


def bands(width: int, height: int) -> Iterator[Rows]:
    """Rows from the top to the bottom, so many at a time that they are whole cells of the tone."""
    step = max(1, _BAND_PX // (width * CELL_PX)) * CELL_PX
    for top in range(0, height, step):
        yield top, min(height, top + step)


def _rows_of(whole: Image.Image, frame: Frame, rows: Rows) -> Image8:
    left, top, right, _ = frame.on_canvas
    return np.asarray(whole.crop((left, top + rows[0], right, top + rows[1])))


def _drawn_rows(drawn: Image.Image, frame: Frame, rows: Rows) -> Image8:
    """Rows of the drawn picture, which is as wide as the box, at its height; as far as they lie on the canvas."""
    width, height = frame.box_size
    left, top, right, _ = frame.beyond
    first, last = rows[0] + top, rows[1] + top
    if drawn.height != height:
        scale = drawn.height / height
        part = (0, first * scale, drawn.width, last * scale)
        band = drawn.resize((width, last - first), Image.Resampling.LANCZOS, box=part)
    else:
        band = drawn.crop((0, first, width, last))
    return np.asarray(band.crop((left, 0, width - right, band.height)))


def weights_of(mask: Image.Image) -> Weights:
    values: Weights = np.asarray(mask, np.float32) / np.float32(255)
    return values


def feathered(mask: Weights, feather_px: int) -> Weights:
    """The mask with a slope of `feather_px` outside of it; 0 beyond that."""
    if feather_px == 0:
        return mask
    grown = _grown(mask >= 0.5, feather_px // 2)
    return np.maximum(mask, _averaged(grown.astype(np.float32), (feather_px + 1) // 2))


def _grown(mask: np.ndarray[Any, np.dtype[np.bool_]], reach: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where the mask is within `reach` pixels, along rows and columns."""
    return _window_sums(mask.astype(np.float64), reach) > 0.5


def _averaged(values: Weights, reach: int) -> Weights:
    """The mean of the square of `reach` pixels around each, edges carried outwards."""
    padded = np.pad(values.astype(np.float64), reach, mode="edge")
    sums = _window_sums(padded, reach)[reach:-reach, reach:-reach] if reach else padded
    return np.clip(sums / (2 * reach + 1) ** 2, 0, 1).astype(np.float32)


def _window_sums(values: np.ndarray[Any, np.dtype[np.float64]], reach: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The sum over the square of `reach` values around each; nothing lies beyond the edges."""
    for axis in (0, 1):
        moved = np.moveaxis(values, axis, 0)
        sums = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0)])
        places = np.arange(len(moved))
        high, low = np.minimum(places + reach + 1, len(moved)), np.maximum(places - reach, 0)
        values = np.moveaxis(sums[high] - sums[low], 0, axis)
    return values
