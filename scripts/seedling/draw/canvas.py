"""Drawing on a supersampled Pillow image: a pen that works in a subject's own unit square.

Owns outlines, curves, limbs and clusters of leaves; knows no subject and no scene.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .palette import RGB, Tones

OVERSAMPLING = 4  # each pixel is the mean of 4 x 4: seventeen levels along an edge
CORNERED = 20  # a polygon of fewer points has corners to round; one of more is a curve
Point = tuple[float, float]
Widths = Sequence[float] | NDArray[np.float64]


def enlarge(picture: Image.Image) -> Image.Image:
    """A picture at drawing size; `shrink` gives exactly the same pixels back where nothing was drawn."""
    width, height = picture.size
    return picture.resize((width * OVERSAMPLING, height * OVERSAMPLING), Image.Resampling.NEAREST)


def shrink(canvas: Image.Image) -> Image.Image:
    """The finished picture, with smooth edges."""
    return canvas.reduce(OVERSAMPLING)


@lru_cache(maxsize=4096)
def smooth(points: tuple[Point, ...], closed: bool = True, steps: int = 6) -> tuple[Point, ...]:
    """A Catmull-Rom curve through `points`, `steps` segments between neighbours."""
    p = np.asarray(points, float)
    if closed:
        ring = np.concatenate([p[-1:], p, p[:2]])
    else:
        ring = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(steps) / steps)[:, None, None]
    a, b, c, d = ring[None, :-3], ring[None, 1:-2], ring[None, 2:-1], ring[None, 3:]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = curve.transpose(1, 0, 2).reshape(-1, 2)
    if not closed:
        flat = np.concatenate([flat, p[-1:]])
    return tuple((float(x), float(y)) for x, y in flat)


class Pen:
    """Draws in the unit square [-1, 1] x [-1, 1], y downwards, laid on a canvas at (`cx`, `cy`) with half side `r`.

    Lengths of the canvas are its own (supersampled) pixels. `mirror` swaps left and right, `tilt` turns clockwise
    (radians).
    """

    def __init__(
        self, canvas: Image.Image, cx: float, cy: float, r: float, *, mirror: bool = False, tilt: float = 0.0
    ) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.cx, self.cy, self.r = cx, cy, r
        self.side = -1.0 if mirror else 1.0
        self.cos, self.sin = math.cos(tilt), math.sin(tilt)
        self.tilted = tilt != 0.0
        # An outline as thick as a felt pen's: thin on small things, never below a pixel and a half.
        self.width = max(1.5, 1.1 + 0.02 * r / OVERSAMPLING) * OVERSAMPLING

    def at(self, x: float, y: float) -> Point:
        """Canvas position of one point of the unit square."""
        x *= self.side
        return (
            self.cx + self.r * (x * self.cos - y * self.sin),
            self.cy + self.r * (x * self.sin + y * self.cos),
        )

    def shape(self, points: Sequence[Point], fill: RGB, line: RGB | None = None) -> None:
        """A filled polygon; its outline lies outside it."""
        flat = [self.at(x, y) for x, y in points]
        if line is not None and len(flat) < CORNERED:
            self._edge([*flat, flat[0]], line, self.width * 2)
        elif line is not None:
            self.draw.polygon(_swollen(flat, self.width), fill=line)
        self.draw.polygon(flat, fill=fill)

    def disc(self, x: float, y: float, rx: float, fill: RGB, line: RGB | None = None, ry: float | None = None) -> None:
        """A filled circle, or an ellipse where `ry` differs."""
        ry = rx if ry is None else ry
        if self.tilted and rx != ry:
            self.shape(_oval(x, y, rx, ry), fill, line)
            return
        cx, cy = self.at(x, y)
        if line is not None:
            self._ellipse(cx, cy, rx * self.r + self.width, ry * self.r + self.width, line)
        self._ellipse(cx, cy, rx * self.r, ry * self.r, fill)

    def stroke(self, points: Sequence[Point], width: float, fill: RGB) -> None:
        """A line with round ends and joints, `width` in unit lengths."""
        self._edge([self.at(x, y) for x, y in points], fill, max(width * self.r, OVERSAMPLING))

    def limb(self, points: Sequence[Point], widths: Widths, fill: RGB, line: RGB | None = None) -> None:
        """A branch along `points` whose full width runs through `widths` (as many as points)."""
        self.shape(limb_outline(points, widths), fill, line)

    def cluster(
        self, bumps: Sequence[tuple[float, float, float]], tones: Tones, *, flat: float = 1.0, lit: float = 0.8
    ) -> None:
        """A cloud, a crown, a pad of leaves: overlapping discs (x, y, r) lit from the upper left.

        `flat` squeezes the discs' height; `lit` is the share of each disc in full colour.
        """
        for x, y, r in bumps:
            cx, cy = self.at(x, y)
            self._ellipse(cx, cy, r * self.r + self.width, r * self.r * flat + self.width, tones.line)
        for x, y, r in bumps:
            self.disc(x, y, r, tones.shade, ry=r * flat)
        for x, y, r in bumps:
            self.disc(x, y - r * flat * 0.18, r * lit, tones.main, ry=r * flat * lit)
        for x, y, r in bumps:
            self.disc(
                x - 0.22 * r * self.side, y - r * flat * 0.42, r * lit * 0.42, tones.light, ry=r * flat * 0.34 * lit
            )

    def _ellipse(self, cx: float, cy: float, rx: float, ry: float, fill: RGB) -> None:
        self.draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=fill)

    def _edge(self, flat: list[Point], fill: RGB, width: float) -> None:
        self.draw.line(flat, fill=fill, width=round(width))
        for x, y in flat:  # round joints: without them the segments gape on the outside of a bend
            self._ellipse(x, y, width / 2, width / 2, fill)


def limb_outline(points: Sequence[Point], widths: Widths) -> list[Point]:
    """The outline of a limb along `points` as thick at each as `widths` says."""
    p = np.asarray(points, float)
    along = np.gradient(p, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], 1) * (np.asarray(widths, float)[:, None] / 2)
    ring = np.concatenate([p + across, (p - across)[::-1]])
    return [(float(x), float(y)) for x, y in ring]


def _swollen(flat: list[Point], width: float) -> list[Point]:
    """A closed curve moved outwards by `width`: its outline, without the beads that a drawn line leaves."""
    p = np.asarray(flat, float)
    before, after = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0)
    along = after - before
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    area = np.sum(p[:, 0] * after[:, 1] - after[:, 0] * p[:, 1])
    out = np.stack([along[:, 1], -along[:, 0]], 1) * (width if area > 0 else -width)
    return [(float(x), float(y)) for x, y in p + out]


def _oval(x: float, y: float, rx: float, ry: float) -> list[Point]:
    turns = np.linspace(0, 2 * math.pi, 33)[:-1]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in turns]
