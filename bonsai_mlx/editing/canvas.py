"""The pixels that a model is given to change, and its picture put back into the one that they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ..request import SIZE_MULTIPLE_PX, Draw
from .blending import Image8, Painted, Weights, put_back, weights_of
from .frame import Frame
from .tone import filled

_SMOOTHED_PX = 8  # along an edge, so that what is filled from it has no streaks


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is changed of a picture: see the functions that make it."""

    pixels: Image8  # [drawn height, drawn width, 3]
    tokens: Weights | None  # [rows, columns]: 1 is repainted, 0 is kept; None: all is redrawn
    _frame: Frame
    _whole: Image.Image | None  # the canvas, for what is put back into it
    _painted: Painted | None  # as far as the box lies on the canvas

    def finished(self, drawn: Image.Image) -> Image.Image:
        """The picture that comes out, for the model's picture of the box.

        What the mask and its feather leave out is the canvas's own, bit for bit.
        """
        if self._whole is None or self._painted is None:
            return drawn
        return put_back(self._whole, drawn, self._painted, self._frame)


def canvas_of(request: Draw, frame: Frame, init: Image.Image, mask: Image.Image | None) -> Canvas:
    """The canvas of a request with an `init` picture (RGB) and a mask (L) of any size."""
    assert frame.canvas is not None  # noqa: S101  it has one with `init`
    whole = extended(init, frame.canvas, frame.offset)
    repainted = _repainted(request, frame, init.size, mask)
    if repainted is not None and request.restore_unmasked and frame.out != frame.canvas:
        whole, repainted, frame = _scaled(whole, repainted, frame)
    pixels = _drawn(whole, frame, Image.Resampling.LANCZOS)
    if request.mask_content == "surroundings" and repainted is not None:
        pixels = filled(pixels, weights_of(_drawn(repainted, frame, Image.Resampling.BILINEAR)) > 0)
    if repainted is None:
        return Canvas(np.asarray(pixels), None, frame, None, None)
    if not request.restore_unmasked:
        shown = weights_of(_drawn(repainted, frame, Image.Resampling.LANCZOS))
        return Canvas(np.asarray(pixels), reference_tokens(shown), frame, None, None)
    painted = Painted(repainted.crop(frame.on_canvas), request.feather_px)
    shown = weights_of(_fitted(painted.touched(), frame, Image.Resampling.BILINEAR))
    return Canvas(np.asarray(pixels), touched_tokens(shown), frame, whole, painted)


def extended(picture: Image.Image, canvas: tuple[int, int], offset: tuple[int, int]) -> Image.Image:
    """The picture on a larger canvas, what is new filled from its edges: smoothed along them and carried outwards."""
    if canvas == picture.size:
        return picture
    left, top = offset
    right, bottom = canvas[0] - left - picture.width, canvas[1] - top - picture.height
    inside = np.asarray(picture)
    smooth = np.asarray(picture.filter(ImageFilter.BoxBlur(_SMOOTHED_PX)))
    beyond = ((top, bottom), (left, right), (0, 0))
    out = np.pad(smooth, beyond[: smooth.ndim], mode="edge")
    out[top : top + picture.height, left : left + picture.width] = inside
    return Image.fromarray(out)


def _repainted(request: Draw, frame: Frame, size: tuple[int, int], mask: Image.Image | None) -> Image.Image | None:
    """What is repainted, as an L picture of the canvas: the mask, and what is new with a feather's width beside it."""
    assert frame.canvas is not None  # noqa: S101
    if mask is None and request.extend is None:
        return None
    own = Image.new("L", size, 0)
    if mask is not None:
        own = mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)
    if request.extend is None:
        return own
    values = np.array(own)
    margin = request.feather_px
    left, top, right, bottom = request.extend
    height, width = values.shape
    for new, strip in (
        (left, np.s_[:, :margin]),
        (top, np.s_[:margin]),
        (right, np.s_[:, max(0, width - margin) :]),
        (bottom, np.s_[max(0, height - margin) :]),
    ):
        if new and margin:
            values[strip] = 255
    grown = Image.new("L", frame.canvas, 255)
    grown.paste(Image.fromarray(values), frame.offset)
    return grown


def _scaled(whole: Image.Image, repainted: Image.Image, frame: Frame) -> tuple[Image.Image, Image.Image, Frame]:
    """The part of the canvas that is asked for at the size that is asked for: it is the original from here on."""
    size = frame.drawn
    whole = whole.crop(frame.box).resize(size, Image.Resampling.LANCZOS)
    repainted = repainted.crop(frame.box).resize(size, Image.Resampling.BILINEAR)
    return whole, repainted, Frame(size, size, size, (0, 0), (0, 0, *size))


def _drawn(picture: Image.Image, frame: Frame, resampling: Image.Resampling) -> Image.Image:
    whole = frame.on_canvas == (0, 0, *picture.size)
    return _fitted(picture if whole else picture.crop(frame.on_canvas), frame, resampling)


def _fitted(part: Image.Image, frame: Frame, resampling: Image.Resampling) -> Image.Image:
    """What lies on the canvas, carried outwards from its edges to the whole box, at the size that is drawn."""
    left, top, right, bottom = frame.beyond
    if any(frame.beyond):
        values = np.asarray(part)
        beyond = ((top, bottom), (left, right), (0, 0))
        part = Image.fromarray(np.pad(values, beyond[: values.ndim], mode="edge"))
    return part if part.size == frame.drawn else part.resize(frame.drawn, resampling)


def reference_tokens(mask: Weights) -> Weights:
    """A mask [height, width] as the reference has it: black or white, then the middle of each token's pixels."""
    binary = (mask >= 0.5).astype(np.float32)
    middle = SIZE_MULTIPLE_PX // 2
    rows = binary[middle - 1 :: SIZE_MULTIPLE_PX] + binary[middle::SIZE_MULTIPLE_PX]
    tokens = (rows[:, middle - 1 :: SIZE_MULTIPLE_PX] + rows[:, middle::SIZE_MULTIPLE_PX]) / 4
    return tokens.astype(np.float32)


def touched_tokens(mask: Weights) -> Weights:
    """The strongest value in each token's pixels: what the brush has touched is drawn anew."""
    rows, columns = (side // SIZE_MULTIPLE_PX for side in mask.shape)
    return mask.reshape(rows, SIZE_MULTIPLE_PX, columns, SIZE_MULTIPLE_PX).max(axis=(1, 3))
