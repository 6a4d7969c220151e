"""A whole picture through an upscaler, in overlapping tiles, so that the memory does not grow with the picture."""

from __future__ import annotations

from collections.abc import Generator

import mlx.core as mx
import numpy as np
from PIL import Image

from ..editing.tiles import tiling
from ..runtime import device
from .networks import Network

TILE_PX, OVERLAP_PX = 96, 16
_EVEN = 2  # sides that can be unshuffled


def upscaled(picture: Image.Image, network: Network, by: int) -> Generator[tuple[int, int], None, Image.Image]:
    """The picture with `by` times the sides; yields (tiles done, tiles needed) of each time that it goes through.

    It goes through as often as is needed; what is larger than was asked for then is made smaller by Lanczos.
    """
    wanted = (picture.width * by, picture.height * by)
    made = 1
    while made < by:
        picture = yield from _once(picture, network)
        made *= network.scale
    return picture if picture.size == wanted else picture.resize(wanted, Image.Resampling.LANCZOS)


def _once(picture: Image.Image, network: Network) -> Generator[tuple[int, int], None, Image.Image]:
    width, height = picture.size
    pixels = np.asarray(picture)
    pixels = np.pad(pixels, ((0, height % _EVEN), (0, width % _EVEN), (0, 0)), mode="edge")
    rows, columns = (side // _EVEN for side in pixels.shape[:2])
    tiles = tiling((columns, rows), (TILE_PX // _EVEN, TILE_PX // _EVEN), OVERLAP_PX // _EVEN)

    def enlarged(down: slice, across: slice) -> np.ndarray:
        part = pixels[down.start * _EVEN : down.stop * _EVEN, across.start * _EVEN : across.stop * _EVEN]
        made = network(mx.array(part)[None].astype(mx.float32) / 255)
        values = np.array(mx.clip(made[0], 0, 1) * 255)
        device.release_cache()
        return values

    strips, done = [], 0
    for strip in tiles.strips(_EVEN * network.scale, enlarged):
        if strip is None:
            done += 1
            yield done, tiles.count
        else:
            strips.append(np.round(strip).astype(np.uint8))
    whole = np.concatenate(strips)
    return Image.fromarray(whole[: height * network.scale, : width * network.scale])
