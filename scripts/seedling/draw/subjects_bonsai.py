"""Bonsai: a spine, pads of leaves carried by branches, a pot; six classical forms in five seasonal dresses.

The forms are measured in the unit square of the pen. Knows nothing of the landscape a tree stands in.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .canvas import Pen, Point, smooth
from .look import Look
from .palette import RGB, Tones, mix

BARK = Tones((172, 128, 92), (128, 88, 60), (94, 62, 46), (52, 34, 26))
MOSS = Tones((150, 190, 96), (108, 156, 78), (78, 122, 62), (44, 72, 40))
SNOW = Tones((255, 255, 255), (246, 249, 252), (206, 220, 236), (120, 140, 166))
PINE = Tones((126, 180, 112), (66, 132, 84), (38, 94, 70), (18, 54, 44))
SPECKS: dict[str, tuple[RGB, ...]] = {
    "cherry": ((255, 246, 250), (255, 226, 236), (232, 120, 160)),
    "maple": ((255, 206, 92), (250, 150, 66), (186, 44, 40)),
}
TWIGS = ((-1.15, -0.45), (-0.7, -1.35), (0.0, -1.75), (0.7, -1.3), (1.15, -0.4))
SEASON_COLOUR = {"cherry": "pink", "maple": "red", "pine": "green", "snow": "white"}

Spine = NDArray[np.float64]


class Pad(NamedTuple):
    """A cloud of leaves: centre, half width, half height."""

    x: float
    y: float
    w: float
    h: float


class Form(NamedTuple):
    """A classical form: the trunk's spine from the root up, its width at the root, the pads, the pot."""

    spine: tuple[Point, ...]
    girth: float
    pads: tuple[Pad, ...]
    pot: tuple[float, float, float, float] = (0.0, 0.62, 0.62, 0.96)  # centre x, top, half width, bottom


FORMS: dict[str, Form] = {
    "informal": Form(
        ((0.06, 0.64), (-0.14, 0.36), (0.12, 0.06), (-0.07, -0.26), (0.04, -0.6)),
        0.3,
        (
            Pad(-0.6, 0.02, 0.37, 0.17),
            Pad(0.6, -0.16, 0.37, 0.17),
            Pad(-0.45, -0.4, 0.33, 0.16),
            Pad(0.08, -0.7, 0.44, 0.2),
        ),
    ),
    "formal": Form(
        ((0.0, 0.64), (0.0, 0.3), (0.0, 0.0), (0.0, -0.35), (0.0, -0.7)),
        0.28,
        (
            Pad(-0.55, 0.2, 0.38, 0.15),
            Pad(0.55, 0.06, 0.38, 0.15),
            Pad(-0.42, -0.16, 0.34, 0.14),
            Pad(0.39, -0.32, 0.31, 0.14),
            Pad(0.0, -0.7, 0.32, 0.22),
        ),
    ),
    "slanting": Form(
        ((-0.36, 0.64), (-0.22, 0.34), (0.02, 0.06), (0.2, -0.26), (0.42, -0.56)),
        0.29,
        (
            Pad(-0.5, 0.02, 0.36, 0.15),
            Pad(0.64, 0.0, 0.34, 0.15),
            Pad(-0.2, -0.36, 0.36, 0.16),
            Pad(0.46, -0.64, 0.42, 0.2),
        ),
        (-0.16, 0.62, 0.6, 0.96),
    ),
    "cascade": Form(
        ((-0.4, 0.16), (-0.46, -0.16), (-0.18, -0.46), (0.18, -0.34), (0.42, 0.02), (0.62, 0.44)),
        0.27,
        (
            Pad(-0.42, -0.62, 0.4, 0.18),
            Pad(0.2, -0.54, 0.34, 0.16),
            Pad(0.64, -0.1, 0.3, 0.15),
            Pad(0.64, 0.54, 0.3, 0.16),
        ),
        (-0.4, 0.14, 0.38, 0.96),
    ),
    "windswept": Form(
        ((-0.5, 0.64), (-0.42, 0.34), (-0.2, 0.02), (0.02, -0.3), (0.36, -0.54)),
        0.3,
        (
            Pad(0.34, 0.12, 0.4, 0.13),
            Pad(0.62, -0.2, 0.36, 0.13),
            Pad(0.24, -0.42, 0.42, 0.14),
            Pad(0.56, -0.7, 0.4, 0.16),
        ),
        (-0.28, 0.62, 0.6, 0.96),
    ),
    "forest": Form(
        ((0.0, 0.66), (0.02, 0.3), (0.0, 0.0), (0.0, -0.5)),
        0.17,
        (Pad(0.0, -0.6, 0.4, 0.3),),
        (0.0, 0.7, 0.92, 0.94),
    ),
}
GROVE = ((-0.62, 0.62, 0.6), (0.64, 0.66, 0.66), (-0.32, 0.78, 0.8), (0.36, 0.8, 0.84), (0.0, 1.0, 1.0))


def bonsai(pen: Pen, look: Look) -> None:
    """Draws `look.form` dressed for `look.season` ("" = leaves in the look's own colour)."""
    form = FORMS[look.form]
    leaves = PINE if look.season == "pine" else look.tones
    _soil(pen, form.pot, SNOW if look.season == "snow" else MOSS)
    if look.form == "forest":
        for x, height, _ in GROVE:
            _tree(pen, look, leaves, _shrunk(form, x, height))
    else:
        _tree(pen, look, leaves, _varied(form, look))
    _pot(pen, look.accent, form.pot)  # last: its rim hides where the trunk ends


def _varied(form: Form, look: Look) -> Form:
    """The same form grown a little differently."""
    pads = tuple(
        Pad(p.x + look.pick(-0.05, 0.05), p.y + look.pick(-0.04, 0.04), p.w * look.pick(0.9, 1.06), p.h)
        for p in form.pads
    )
    lean = look.pick(-0.05, 0.05)
    spine = tuple((x + lean * (k > 0), y) for k, (x, y) in enumerate(form.spine))
    return form._replace(spine=((form.spine[0][0], form.spine[0][1] + 0.06), *spine), pads=pads)


def _shrunk(form: Form, x: float, height: float) -> Form:
    """One tree of a grove: moved sideways and less tall."""
    base = form.spine[0][1] + 0.06
    spine = tuple((x + sx * height, base + (sy - base) * height) for sx, sy in form.spine)
    pads = tuple(Pad(x + p.x, base + (p.y - base) * height, p.w * height * 0.9, p.h * height) for p in form.pads)
    return form._replace(spine=spine, pads=pads, girth=form.girth * height)


def _tree(pen: Pen, look: Look, leaves: Tones, form: Form) -> None:
    spine = np.asarray(smooth(form.spine, closed=False, steps=6))
    widths = form.girth * (1 - 0.78 * np.linspace(0, 1, len(spine)) ** 0.8)
    widths[:6] *= (2.1, 1.85, 1.6, 1.35, 1.18, 1.06)  # the flare of the roots
    bare = look.season == "snow"
    for pad in form.pads:
        _branch(pen, spine, widths, pad, bare)
    points = [(float(x), float(y)) for x, y in spine]
    pen.limb(points, widths, BARK.main, BARK.line)
    pen.limb([(x + 0.2 * w, y) for (x, y), w in zip(points, widths, strict=True)], widths * 0.5, BARK.shade)
    pen.limb([(x - 0.26 * w, y) for (x, y), w in zip(points, widths, strict=True)], widths * 0.2, BARK.light)
    for pad in form.pads:
        if not bare:
            _leaves(pen, look, leaves, pad)


def _branch(pen: Pen, spine: Spine, widths: Spine, pad: Pad, bare: bool) -> None:
    """A limb from the trunk, a little below the pad, out to the pad's middle; bare ones fork into snowy twigs."""
    at = int(np.argmin(np.abs(spine[:, 1] - (pad.y + 0.24)) + 0.35 * np.abs(spine[:, 0] - pad.x)))
    x, y = float(spine[at, 0]), float(spine[at, 1])
    path = smooth(((x, y), ((x + pad.x) / 2, (y + pad.y) / 2 + 0.06), (pad.x, pad.y + 0.02)), closed=False, steps=5)
    thick = float(widths[at]) * 0.62
    pen.limb(path, np.linspace(thick, max(thick * 0.35, 0.06), len(path)), BARK.main, BARK.line)
    if bare:
        for dx, dy in TWIGS:
            _twig(pen, (pad.x, pad.y + 0.03), (pad.x + dx * pad.w, pad.y + dy * pad.h))
        pen.limb([(x, y - thick * 0.3) for x, y in path[2:]], (0.03,) + (0.07,) * (len(path) - 3), SNOW.main)
        pen.disc(pad.x, pad.y - 0.02, 0.09, SNOW.main, ry=0.05)


def _twig(pen: Pen, root: Point, tip: Point) -> None:
    """A thin twig that forks once, with a little snow in the fork."""
    (x0, y0), (x1, y1) = root, tip
    fork = (x0 * 0.42 + x1 * 0.58, y0 * 0.6 + y1 * 0.4)
    side = (fork[0] + (y1 - fork[1]) * 0.7, fork[1] + (y1 - y0) * 0.55 - abs(x1 - fork[0]) * 0.5)
    for path in ((root, fork, tip), (fork, side)):
        pen.limb(path, (0.06, 0.045, 0.028)[-len(path) :], BARK.line)
    pen.stroke(
        [(x0 * 0.5 + fork[0] * 0.5, y0 * 0.5 + fork[1] * 0.5 - 0.03), (fork[0], fork[1] - 0.03)], 0.035, SNOW.main
    )


def _leaves(pen: Pen, look: Look, tones: Tones, pad: Pad) -> None:
    count = max(4, min(7, round(pad.w / pad.h * 2.2)))
    bumps = []
    for k in range(count):
        s = -1 + 2 * k / (count - 1)
        size = pad.h * (0.98 - 0.36 * s * s) * look.pick(0.92, 1.08)
        bumps.append((pad.x + s * (pad.w - size * 0.8), pad.y + 0.3 * pad.h * s * s - 0.1 * pad.h, size))
    pen.cluster(bumps, tones, flat=0.86)
    specks = SPECKS.get(look.season)
    if specks is not None and pen.r > 160:  # too fine to see on a small tree
        _speckle(pen, look, pad, specks)


def _speckle(pen: Pen, look: Look, pad: Pad, colours: tuple[RGB, ...]) -> None:
    """Blossoms or turning leaves scattered over a pad."""
    for k in range(14):
        x, y = look.pick(-0.9, 0.9), look.pick(-0.8, 0.55)
        if x * x + y * y < 0.95:
            pen.disc(pad.x + x * pad.w, pad.y + y * pad.h, 0.032, colours[k % len(colours)])


def _soil(pen: Pen, box: tuple[float, float, float, float], soil: Tones) -> None:
    x, top, w, _ = box
    pen.disc(x, top + 0.02, w * 0.86, soil.main, soil.line, ry=0.1)
    pen.disc(x - 0.1, top - 0.02, w * 0.5, soil.light, ry=0.045)


def _pot(pen: Pen, glaze: Tones, box: tuple[float, float, float, float]) -> None:
    x, top, w, bottom = box
    tall = bottom - top
    for side in (-1, 1):
        pen.shape(_box(x + side * w * 0.62, bottom - 0.05, w * 0.16, bottom + 0.03), glaze.shade, glaze.line)
    foot = w * (0.72 if tall > 0.5 else 0.84)
    rim, low = top + 0.06, bottom - 0.03
    pen.shape([(x - w * 0.93, rim), (x + w * 0.93, rim), (x + foot, low), (x - foot, low)], glaze.main, glaze.line)
    pen.shape([(x + w * 0.5, rim), (x + w * 0.93, rim), (x + foot, low), (x + foot * 0.6, low)], glaze.shade)
    pen.shape(_box(x, top + 0.03, w, top + 0.12), glaze.main, glaze.line)
    pen.shape(_box(x - w * 0.1, top + 0.045, w * 0.84, top + 0.075), mix(glaze.light, glaze.main, 0.25))


def _box(x: float, top: float, half: float, bottom: float) -> list[Point]:
    return [(x - half, top), (x + half, top), (x + half, bottom), (x - half, bottom)]
