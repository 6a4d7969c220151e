"""Pictures with more pixels: what lies between the old ones, and the canvas on which all of it is redrawn."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .blending import Image8
from .canvas import extended
from .frame import Size
from .tone import toned_like

_CELLS = 8  # along the shorter side of a tile, over which its tone is held


def exactly(picture: Image.Image, by: int) -> Image.Image:
    """RGB, or RGBA, whose colours are weighed by how much is seen of them."""
    return picture.resize((picture.width * by, picture.height * by), Image.Resampling.LANCZOS)


def on_canvas(picture: Image.Image, canvas: Size) -> Image8:
    return np.asarray(extended(picture, canvas, (0, 0)))


def in_tone(redrawn: Image.Image, source: Image8, tile: Size) -> Image.Image:
    """The redrawn canvas without the tones of its tiles, if it has more than one."""
    return redrawn if redrawn.size == tile else toned_like(source, redrawn, min(tile) // _CELLS)
