"""Things that grow, stand and float: flower, mushroom, tree, house, boat, lantern, cup."""

import math

from .canvas import Pen, Point, smooth
from .look import Look
from .palette import COLOURS, RGB, Tones

BARK = COLOURS["brown"]
LEAF = Tones((132, 196, 104), (82, 158, 78), (52, 118, 66), (26, 70, 44))
CREAM = Tones((255, 250, 236), (248, 234, 206), (222, 198, 160), (96, 70, 46))
GLASS: RGB = (168, 214, 238)
LIT: RGB = (255, 226, 130)


def flower(pen: Pen, look: Look) -> None:
    t = look.tones
    petals = look.choice(5, 6, 7)
    stem = smooth(((0.0, -0.1), (look.pick(-0.06, 0.06), 0.45), (0.0, 0.98)), closed=False)
    pen.stroke(stem, 0.15, LEAF.line)
    pen.stroke(stem, 0.08, LEAF.main)
    for side, y in ((-1, 0.62), (1, 0.76)):
        leaf = smooth(((0.0, y), (side * 0.24, y - 0.26), (side * 0.56, y - 0.24), (side * 0.34, y - 0.02)))
        pen.shape(leaf, LEAF.main if side < 0 else LEAF.shade, LEAF.line)
    reach, size = 0.36, (0.36, 0.31, 0.28)[petals - 5]
    ring = [(2 * math.pi * k / petals - math.pi / 2, k) for k in range(petals)]
    for a, _ in ring:
        pen.disc(reach * math.cos(a), -0.36 + reach * math.sin(a), size, t.main, t.line)
    for a, _ in ring:
        pen.disc(reach * math.cos(a), -0.36 + reach * math.sin(a), size, t.shade)
        pen.disc(1.06 * reach * math.cos(a), -0.37 + 1.06 * reach * math.sin(a), size * 0.86, t.main)
    for a, _ in ring:
        pen.disc(1.3 * reach * math.cos(a), -0.38 + 1.3 * reach * math.sin(a), size * 0.36, t.light)
    heart = COLOURS["orange"] if t is COLOURS["yellow"] else COLOURS["yellow"]
    pen.disc(0, -0.36, 0.2, heart.main, heart.line)
    pen.disc(-0.04, -0.4, 0.09, heart.light)


def mushroom(pen: Pen, look: Look) -> None:
    t = look.tones
    stem: tuple[Point, ...] = (
        (-0.24, 0.0),
        (0.24, 0.0),
        (0.25, 0.5),
        (0.38, 0.9),
        (0.0, 0.97),
        (-0.38, 0.9),
        (-0.25, 0.5),
    )
    pen.shape(smooth(stem), CREAM.main, CREAM.line)
    pen.shape(smooth(((0.08, 0.1), (0.22, 0.1), (0.24, 0.5), (0.34, 0.86), (0.1, 0.9))), CREAM.shade)
    tall = look.pick(-0.94, -0.84)
    arc = [(0.97 * math.cos(a), 0.12 + (tall - 0.12) * math.sin(a)) for a in (math.pi * k / 24 for k in range(25))]
    rim = [(-0.6, 0.27), (0.0, 0.32), (0.6, 0.27)]
    pen.shape([*arc, *rim], t.shade, t.line)
    pen.shape([(x * 0.9 - 0.06, (y - 0.12) * 0.9 + 0.04) for x, y in arc], t.main)
    pale = COLOURS["white"].main if t is not COLOURS["white"] else COLOURS["red"].light
    for x, y, r in ((-0.46, -0.2, 0.15), (0.08, -0.5, 0.17), (0.46, -0.08, 0.14), (-0.06, -0.02, 0.1)):
        pen.disc(x, y, r, pale, ry=r * 0.82)


def tree(pen: Pen, look: Look) -> None:
    pen.shape([(-0.12, 0.1), (0.12, 0.1), (0.15, 0.8), (0.26, 0.98), (-0.26, 0.98), (-0.15, 0.8)], BARK.main, BARK.line)
    pen.shape([(0.03, 0.1), (0.12, 0.1), (0.15, 0.8), (0.26, 0.98), (0.06, 0.98)], BARK.shade)
    sway = look.pick(-0.07, 0.07)
    crown = [
        (-0.46, 0.06, 0.38), (0.46, 0.08, 0.38), (0.0, 0.14, 0.4), (-0.4, -0.32, 0.38),
        (0.4, -0.3, 0.38), (sway, -0.58, 0.38), (0.0, -0.14, 0.46),
    ]  # fmt: skip
    pen.cluster(crown, look.tones)


def house(pen: Pen, look: Look) -> None:
    t, roof = look.tones, look.accent
    door = look.choice(-1, 1) * 0.36
    ridge = look.pick(-0.94, -0.84)
    if look.chance(0.5):
        at = -0.5 if door > 0 else 0.5
        pen.shape([(at - 0.11, -0.8), (at + 0.11, -0.8), (at + 0.11, -0.2), (at - 0.11, -0.2)], BARK.shade, BARK.line)
    pen.shape([(-0.74, -0.12), (0.74, -0.12), (0.74, 0.94), (-0.74, 0.94)], t.main, t.line)
    pen.shape([(0.56, -0.12), (0.74, -0.12), (0.74, 0.94), (0.56, 0.94)], t.shade)
    pen.shape([(0, ridge), (0.99, -0.08), (-0.99, -0.08)], roof.main, roof.line)
    pen.shape([(-0.99, -0.08), (-0.85, -0.2), (0.85, -0.2), (0.99, -0.08)], roof.shade)
    wood = CREAM if t in (COLOURS["brown"], COLOURS["black"]) else BARK
    pen.shape(
        [(door - 0.18, 0.32), (door + 0.18, 0.32), (door + 0.18, 0.94), (door - 0.18, 0.94)], wood.main, wood.line
    )
    pen.disc(door + 0.1, 0.64, 0.035, LIT)
    _window(pen, -door, 0.34, LIT if look.lit or t is COLOURS["blue"] else GLASS, t.line)


def _window(pen: Pen, x: float, y: float, pane: RGB, frame: RGB) -> None:
    pen.shape([(x - 0.2, y - 0.18), (x + 0.2, y - 0.18), (x + 0.2, y + 0.2), (x - 0.2, y + 0.2)], pane, frame)
    pen.stroke([(x, y - 0.18), (x, y + 0.2)], 0.05, frame)
    pen.stroke([(x - 0.2, y), (x + 0.2, y)], 0.05, frame)


def boat(pen: Pen, look: Look) -> None:
    t, sail = look.tones, look.accent
    pen.stroke([(0, -0.94), (0, 0.45)], 0.09, BARK.line)
    lee = look.pick(0.72, 0.84)
    pen.shape(smooth(((0.1, -0.86), (0.5, -0.36), (lee, 0.26), (0.1, 0.24)), steps=8), sail.main, sail.line)
    pen.shape([(-0.1, -0.62), (-0.1, 0.24), (-0.66, 0.24)], sail.shade, sail.line)
    hull = [(-0.98, 0.4), (0.98, 0.4), (0.8, 0.74), (0.62, 0.92), (-0.62, 0.92), (-0.82, 0.74)]
    pen.shape(hull, t.main, t.line)
    pen.shape([(-0.78, 0.78), (0.77, 0.78), (0.62, 0.92), (-0.62, 0.92)], t.shade)
    pen.shape([(-0.93, 0.46), (0.93, 0.46), (0.9, 0.55), (-0.9, 0.55)], t.light)


def lantern(pen: Pen, look: Look) -> None:
    """A paper lantern: ribs around a glowing belly, a cap and a tassel."""
    t, cap = look.tones, COLOURS["black"] if look.tones is not COLOURS["black"] else COLOURS["red"]
    pen.stroke([(0, -0.99), (0, -0.7)], 0.06, cap.line)
    pen.stroke([(0, 0.6), (0, 0.97)], 0.09, cap.shade)
    girth = look.pick(0.62, 0.7)
    pen.disc(0, -0.04, girth, t.shade, t.line, ry=0.64)
    pen.disc(-0.04, -0.04, girth * 0.86, t.main, ry=0.62)
    pen.disc(-0.1, -0.06, girth * 0.44, t.light, ry=0.5)
    for y in (-0.34, -0.04, 0.26):
        half = girth * math.sqrt(1 - ((y + 0.04) / 0.64) ** 2)
        pen.stroke(smooth(((-half, y), (0.0, y + 0.07), (half, y)), closed=False), 0.045, t.shade)
    for y in (-0.68, 0.6):
        pen.shape([(-0.32, y - 0.07), (0.32, y - 0.07), (0.32, y + 0.07), (-0.32, y + 0.07)], cap.main, cap.line)


def cup(pen: Pen, look: Look) -> None:
    t = look.tones
    handle = [
        (0.5 + 0.4 * math.cos(a), 0.04 + 0.36 * math.sin(a)) for a in (math.pi * (k / 12 - 0.5) for k in range(13))
    ]
    pen.stroke(handle, 0.28, t.line)
    pen.stroke(handle, 0.17, t.shade)
    foot = look.pick(0.46, 0.54)
    body = [(-0.8, -0.62), (0.6, -0.62), (foot, 0.7), (foot - 0.1, 0.82), (-foot - 0.1, 0.82), (-foot - 0.2, 0.7)]
    pen.shape(body, t.main, t.line)
    pen.shape([(0.26, -0.62), (0.6, -0.62), (foot, 0.7), (foot - 0.1, 0.82), (0.16, 0.82)], t.shade)
    pen.shape([(-0.62, -0.4), (-0.5, -0.4), (-0.44, 0.3), (-0.54, 0.3)], t.light)
    pen.disc(-0.1, -0.62, 0.7, t.light, t.line, ry=0.17)
    pen.disc(-0.1, -0.59, 0.58, BARK.shade, ry=0.11)
