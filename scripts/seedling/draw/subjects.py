"""How each subject is drawn: the table of all of them, and the plain shapes and heavenly bodies.

A drawing fills the unit square of its pen. It takes its colours from a `Look` and its freedom (what no caption
speaks of: how many petals, how long a tail) from the look's seed alone, so the same look is the same drawing.
"""

import math
from collections.abc import Callable

from . import subjects_animals as animals
from . import subjects_bonsai as bonsai
from . import subjects_things as things
from .canvas import Pen, Point, smooth
from .look import Look, scaled


def draw(kind: str, pen: Pen, look: Look) -> None:
    """Draws one subject in the pen's square; raises `KeyError` for a kind that is not in `palette.KINDS`."""
    DRAWINGS[kind](pen, look)


def circle(pen: Pen, look: Look) -> None:
    t = look.tones
    pen.disc(0, 0, 0.92, t.shade, t.line)
    pen.disc(-0.05, -0.06, 0.83, t.main)
    pen.disc(-0.36, -0.4, 0.2, t.light, ry=0.15)


def square(pen: Pen, look: Look) -> None:
    t = look.tones
    pen.shape([(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)], t.shade, t.line)
    pen.shape([(-0.84, -0.84), (0.7, -0.84), (0.7, 0.7), (-0.84, 0.7)], t.main)
    pen.shape([(-0.68, -0.68), (-0.28, -0.68), (-0.28, -0.56), (-0.56, -0.56), (-0.56, -0.28), (-0.68, -0.28)], t.light)


def triangle(pen: Pen, look: Look) -> None:
    t = look.tones
    top = look.pick(-0.92, -0.84)
    pen.shape([(0, top), (0.96, 0.8), (-0.96, 0.8)], t.shade, t.line)
    pen.shape([(0, top), (0.72, 0.66), (-0.88, 0.66)], t.main)
    pen.shape([(-0.03, top + 0.42), (0.02, top + 0.52), (-0.44, 0.42), (-0.56, 0.42)], t.light)


def star(pen: Pen, look: Look) -> None:
    t = look.tones
    inner = look.pick(0.43, 0.5)
    ring = [_spoke(k, 5, 1.0 if k % 2 == 0 else inner) for k in range(10)]
    pen.shape(ring, t.main, t.line)
    for tip in range(0, 10, 2):  # each arm a roof with one side in the shade
        pen.shape([(0, 0.06), ring[tip], ring[(tip + 1) % 10]], t.shade if tip in (2, 4, 6) else t.main)
        pen.shape([(0, 0.06), ring[tip], ring[tip - 1]], t.light if tip in (0, 8) else t.main)


def _spoke(k: int, spokes: int, radius: float) -> Point:
    angle = -math.pi / 2 + k * math.pi / spokes
    return radius * math.cos(angle), 0.06 + radius * math.sin(angle)


def heart(pen: Pen, look: Look) -> None:
    t = look.tones
    plump = look.pick(0.96, 1.06)
    ring = [_heart(k * 2 * math.pi / 64, plump) for k in range(64)]
    pen.shape(ring, t.shade, t.line)
    pen.shape(scaled(ring, 0.88, -0.05, -0.05), t.main)
    pen.disc(-0.45, -0.42, 0.17, t.light, ry=0.13)


def _heart(a: float, plump: float) -> Point:
    x = 16 * math.sin(a) ** 3
    y = -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a))
    return x / 17.5 * plump, y / 17 - 0.09


def sun(pen: Pen, look: Look) -> None:
    t = look.tones
    rays = look.choice(10, 12)
    for k in range(rays):
        a, half = 2 * math.pi * k / rays, math.pi / rays * 0.72
        reach = 0.98 if k % 2 == 0 else 0.86
        pen.shape([_polar(a - half, 0.55), _polar(a, reach), _polar(a + half, 0.55)], t.shade, t.line)
    pen.disc(0, 0, 0.58, t.main, t.line)
    pen.disc(-0.05, -0.06, 0.44, t.light)
    pen.disc(0.02, 0.03, 0.42, t.main)


def _polar(angle: float, radius: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)


def moon(pen: Pen, look: Look) -> None:
    """A crescent, open to the right: two arcs that meet at the horns."""
    t = look.tones
    pen.shape(_crescent(look.pick(0.4, 0.48)), t.shade, t.line)
    pen.shape(_crescent(0.42, 0.86, -0.05), t.main)
    pen.disc(-0.46, -0.14, 0.1, t.light)
    pen.disc(-0.36, 0.3, 0.07, t.light)


def _crescent(bite: float, size: float = 0.95, shift: float = 0.0) -> list[Point]:
    """The disc of radius `size` less a smaller disc, `bite` to its right."""
    radius = size * 0.8
    across = (size**2 - radius**2 + bite**2) / (2 * bite)  # where the two circles meet
    half = math.acos(across / size)
    inner = math.atan2(math.sqrt(size**2 - across**2), across - bite)
    outer = [half + 2 * (math.pi - half) * k / 40 for k in range(41)]
    back = [-inner - 2 * (math.pi - inner) * k / 30 for k in range(1, 30)]
    ring = [_polar(a, size) for a in outer] + [(bite + radius * math.cos(a), radius * math.sin(a)) for a in back]
    return [(x + 0.16 + shift, y) for x, y in ring]


def cloud(pen: Pen, look: Look) -> None:
    t, lift = look.tones, look.pick(-0.06, 0.06)
    base = smooth(((-0.62, 0.08), (0.66, 0.08), (0.96, 0.34), (0.72, 0.55), (-0.7, 0.55), (-0.96, 0.32)))
    bumps = [
        (-0.6, 0.12, 0.3),
        (-0.22, -0.16 + lift, 0.42),
        (0.28, -0.1 - lift, 0.36),
        (0.64, 0.16, 0.28),
        (0.05, 0.1, 0.36),
    ]
    pen.shape(base, t.shade, t.line)
    pen.cluster(bumps, t, lit=0.88)
    pen.shape(scaled(base, 0.93), t.shade)
    pen.shape(scaled(base, 0.88, -0.02, -0.05), t.main)


DRAWINGS: dict[str, Callable[[Pen, Look], None]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "sun": sun,
    "moon": moon,
    "cloud": cloud,
    "flower": things.flower,
    "mushroom": things.mushroom,
    "tree": things.tree,
    "bonsai": bonsai.bonsai,
    "house": things.house,
    "boat": things.boat,
    "lantern": things.lantern,
    "cup": things.cup,
    "fish": animals.fish,
    "bird": animals.bird,
    "cat": animals.cat,
    "butterfly": animals.butterfly,
}
