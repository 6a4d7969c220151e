"""Animals: fish, bird, cat, butterfly."""

import math

from .canvas import Pen, Point, smooth
from .look import Look, scaled
from .palette import COLOURS, RGB, Tones

INK: RGB = (24, 24, 30)
PAPER: RGB = (252, 252, 250)
BEAK = COLOURS["orange"]


def fish(pen: Pen, look: Look) -> None:
    """A goldfish swimming left."""
    t = look.tones
    fork = look.pick(0.5, 0.6)
    tail: tuple[Point, ...] = ((0.36, 0.0), (0.7, -0.24), (0.98, -fork), (0.86, 0.0), (0.98, fork), (0.7, 0.24))
    pen.shape(smooth(tail), t.shade, t.line)
    fin: tuple[Point, ...] = ((-0.38, -0.42), (-0.08, -0.78), (0.3, -0.66), (0.24, -0.3))
    pen.shape(smooth(fin), t.shade, t.line)
    pen.shape(smooth(((-0.14, 0.4), (0.0, 0.7), (0.24, 0.66), (0.16, 0.34))), t.shade, t.line)
    body: tuple[Point, ...] = (
        (-0.96, 0.02),
        (-0.62, -0.38),
        (-0.1, -0.5),
        (0.3, -0.26),
        (0.5, 0.0),
        (0.3, 0.28),
        (-0.1, 0.48),
        (-0.62, 0.36),
    )
    pen.shape(smooth(body), t.shade, t.line)
    pen.shape(scaled(smooth(body), 0.9, -0.04, -0.05), t.main)
    for x in (-0.08, 0.12, 0.3):
        pen.stroke(smooth(((x, -0.2), (x + 0.09, 0.0), (x, 0.2)), closed=False), 0.05, t.light)
    pen.shape(smooth(((-0.32, 0.1), (-0.04, 0.08), (-0.14, 0.32))), t.light, t.shade)
    _eye(pen, -0.6, -0.1, 0.13)


def _eye(pen: Pen, x: float, y: float, r: float) -> None:
    pen.disc(x, y, r, PAPER, INK)
    pen.disc(x - r * 0.15, y, r * 0.62, INK)


def bird(pen: Pen, look: Look) -> None:
    """A songbird on its legs, looking left."""
    t = look.tones
    for x in (-0.1, 0.14):
        pen.stroke([(x, 0.5), (x - 0.02, 0.9), (x - 0.14, 0.95)], 0.07, BEAK.line)
    lift = look.pick(-0.1, 0.06)
    pen.shape([(0.4, 0.1), (0.98, lift), (0.94, lift + 0.26), (0.42, 0.42)], t.shade, t.line)
    pen.shape([(-0.7, -0.52), (-0.98, -0.4), (-0.7, -0.3)], BEAK.main, BEAK.line)
    body: tuple[Point, ...] = (
        (-0.74, -0.44), (-0.5, -0.76), (-0.16, -0.72), (0.08, -0.36), (0.5, 0.04),
        (0.5, 0.38), (0.14, 0.58), (-0.34, 0.54), (-0.64, 0.18), (-0.62, -0.16),
    )  # fmt: skip
    pen.shape(smooth(body), t.main, t.line)
    belly = COLOURS["white"] if t is not COLOURS["white"] else COLOURS["orange"]
    pen.shape(smooth(((-0.58, 0.06), (-0.3, 0.02), (0.0, 0.36), (0.06, 0.54), (-0.32, 0.5), (-0.58, 0.2))), belly.shade)
    wing: tuple[Point, ...] = ((-0.24, -0.12), (0.16, -0.22), (0.66, 0.18), (0.3, 0.36), (-0.06, 0.28))
    pen.shape(smooth(wing), t.shade, t.line)
    pen.stroke(smooth(((-0.04, 0.02), (0.2, 0.06), (0.44, 0.18)), closed=False), 0.06, t.light)
    _eye(pen, -0.42, -0.46, 0.09)


def cat(pen: Pen, look: Look) -> None:
    """A cat sitting up and facing us, its tail curled to one side."""
    t = look.tones
    curl = look.pick(0.0, 0.12)
    tail = smooth(((0.3, 0.82), (0.66, 0.84), (0.86, 0.6), (0.74, 0.3 - curl), (0.88, 0.1 - curl)), closed=False)
    pen.stroke(tail, 0.27, t.line)
    pen.stroke(tail, 0.16, t.shade)
    body: tuple[Point, ...] = (
        (-0.26, -0.1),
        (0.26, -0.1),
        (0.5, 0.46),
        (0.5, 0.84),
        (0.2, 0.96),
        (-0.2, 0.96),
        (-0.5, 0.84),
        (-0.5, 0.46),
    )
    pen.shape(smooth(body), t.main, t.line)
    pen.shape(smooth(((0.2, 0.1), (0.34, 0.2), (0.46, 0.5), (0.46, 0.84), (0.24, 0.92), (0.3, 0.5))), t.shade)
    bib = _contrast(t)
    pen.shape(smooth(((-0.18, 0.08), (0.18, 0.08), (0.16, 0.46), (0.0, 0.6), (-0.16, 0.46))), bib.main)
    pen.stroke([(0, 0.66), (0, 0.92)], 0.05, t.line)
    _cat_head(pen, t, bib)


def _contrast(t: Tones) -> Tones:
    if t is COLOURS["white"]:
        return COLOURS["pink"]
    return COLOURS["white"]


def _cat_head(pen: Pen, t: Tones, bib: Tones) -> None:
    for side in (-1, 1):
        pen.shape([(side * 0.56, -0.46), (side * 0.53, -0.97), (side * 0.14, -0.72)], t.main, t.line)
        pen.shape([(side * 0.47, -0.6), (side * 0.46, -0.82), (side * 0.28, -0.7)], COLOURS["pink"].main)
    pen.disc(0, -0.38, 0.6, t.main, t.line, ry=0.44)
    pen.disc(0, -0.2, 0.26, bib.main, ry=0.17)
    eye = COLOURS["yellow"].light if t is COLOURS["black"] else INK
    for side in (-1, 1):
        pen.disc(side * 0.25, -0.42, 0.085, eye, ry=0.115)
    pen.shape([(-0.08, -0.27), (0.08, -0.27), (0, -0.17)], COLOURS["pink"].shade)
    for side in (-1, 1):
        pen.stroke([(side * 0.3, -0.2), (side * 0.62, -0.26)], 0.03, t.line)


def butterfly(pen: Pen, look: Look) -> None:
    t = look.tones
    wide = look.pick(0.9, 0.98)
    for side in (-1.0, 1.0):
        lower: tuple[Point, ...] = ((0.05, 0.0), (0.5, 0.08), (0.74, 0.42), (0.52, 0.82), (0.2, 0.6))
        pen.shape([(side * x, y) for x, y in smooth(lower)], t.shade, t.line)
        upper: tuple[Point, ...] = ((0.05, 0.06), (0.16, -0.4), (0.56, -0.84), (wide, -0.76), (0.92, -0.3), (0.6, 0.08))
        ring = [(side * x, y) for x, y in smooth(upper)]
        pen.shape(ring, t.line, t.line)
        pen.shape([(x * 0.9 + side * 0.03, (y + 0.3) * 0.88 - 0.3) for x, y in ring], t.main)
        pen.disc(side * 0.62, -0.46, 0.17, t.light)
        pen.disc(side * 0.46, 0.42, 0.12, t.light)
    pen.stroke([(0, -0.36), (0, 0.6)], 0.17, INK)
    pen.disc(0, -0.44, 0.12, INK)
    for side in (-1.0, 1.0):
        curve = [(side * 0.3 * math.sin(k / 8 * 1.4), -0.5 - 0.42 * k / 8) for k in range(9)]
        pen.stroke(curve, 0.05, INK)
        pen.disc(curve[-1][0], curve[-1][1], 0.055, INK)
