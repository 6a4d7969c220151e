"""The weather in front of everything: mist, rain, snow, drifting petals and leaves."""

import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Pen, smooth
from .landscape import spread
from .palette import RGB

MIST: RGB = (236, 240, 242)
DRIFT: dict[str, tuple[RGB, RGB]] = {
    "petals": ((255, 214, 228), (246, 158, 190)),
    "leaves": ((232, 84, 52), (246, 156, 60)),
}


@lru_cache(maxsize=8)
def _veil(size: int, centre: float) -> Image.Image:
    at = np.linspace(0, 1, size)
    band = 150 * np.exp(-(((at - centre) / 0.11) ** 2))
    return Image.fromarray(np.repeat(band.astype(np.uint8)[:, None], size, axis=1))


def mist(picture: Image.Image, horizon: float) -> None:
    """Bands of mist over the foot of the mountains, painted into the picture."""
    for centre in (round(horizon - 0.06, 2), 0.96):
        picture.paste(MIST, (0, 0), _veil(picture.width, centre))


def falling(canvas: Image.Image, weather: str, seed: int) -> None:
    """Rain, snow, petals or leaves in front of everything, painted onto an enlarged canvas."""
    rng, draw, side = random.Random(seed), ImageDraw.Draw(canvas), canvas.width
    unit = side / 256
    if weather == "rain":
        for x, y in spread(rng, 8, 6):
            cx, cy = x * side, y * side
            draw.line((cx, cy, cx - 4 * unit, cy + 15 * unit), fill=(214, 226, 238), width=round(1.5 * unit))
    elif weather == "snow":
        for k, (x, y) in enumerate(spread(rng, 7, 6)):
            r = (1.7, 2.3, 3.0)[k % 3] * unit
            draw.ellipse((x * side - r, y * side - r, x * side + r, y * side + r), fill=(255, 255, 255))
    elif weather in DRIFT:
        for k, (x, y) in enumerate(spread(rng, 5, 4)):
            pen = Pen(canvas, x * side, y * side, 4.2 * unit, tilt=rng.uniform(0, 3.1))
            pen.shape(smooth(((-0.9, 0.0), (0.0, -0.55), (0.9, 0.0), (0.0, 0.55)), steps=4), DRIFT[weather][k % 2])
