"""Arranges subjects on plain grounds: one, a place in the picture, a number of equals, two in a relation, a list.

What the words leave open (exact place and size, natural colours, the tint of the paper, a mirror image) is drawn from
`rng`; the bounds are wide enough to see and narrow enough to learn.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from .palette import ACCENTS, KINDS, NAMES, NATURAL, TINTS
from .scene import Scene, Subject
from .subjects_bonsai import FORMS

SIZES: dict[str, float] = {
    "tiny": 0.13, "small": 0.18, "little": 0.18, "large": 0.4, "big": 0.4, "huge": 0.44, "giant": 0.44,
}  # fmt: skip
NORMAL = 0.3
RELATIONS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "left": ((0.26, 0.5), (0.74, 0.5)),
    "right": ((0.74, 0.5), (0.26, 0.5)),
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "below": ((0.5, 0.74), (0.5, 0.26)),
}
ROWS: dict[int, tuple[tuple[float, float], ...]] = {
    2: ((0.26, 0.5), (0.74, 0.5)),
    3: ((0.17, 0.5), (0.5, 0.5), (0.83, 0.5)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
REACH = {2: 0.19, 3: 0.135, 4: 0.18}  # half sides: never below 56 of 256 pixels across
CORNERS: dict[str, tuple[float, float]] = {
    "left": (0.25, 0.5), "right": (0.75, 0.5), "top": (0.5, 0.25), "bottom": (0.5, 0.75),
    "top left": (0.25, 0.25), "top right": (0.75, 0.25), "bottom left": (0.25, 0.75), "bottom right": (0.75, 0.75),
}  # fmt: skip
MIRRORED = frozenset(("fish", "bird", "cat", "boat", "bonsai", "cup"))  # a moon or a house is the same either way
PLAIN_FORMS = ("informal", "informal", "formal", "slanting")  # when nobody asks for a form


def dressed(rng: random.Random, kind: str, *, colour: str = "", naming: float = 0.7, accents: float = 0.2) -> Subject:
    """One subject with its free choices made: natural or named colour, second colour, form, mirror, seed."""
    said = set()
    if not colour and rng.random() < naming:
        colour = rng.choice(NAMES)
    if colour:
        said.add("colour")
    worn = colour or _natural(rng, NATURAL[kind])
    accent = ""
    if kind in ACCENTS:
        accent = rng.choice([c for c in ACCENTS[kind][1] if c != worn] or ["yellow"])
        if rng.random() < accents:
            accent = rng.choice([c for c in NAMES if c != worn])
            said.add("accent")
    form = rng.choice(PLAIN_FORMS) if kind == "bonsai" else ""
    if kind == "bonsai" and rng.random() < 0.2:
        form = rng.choice(list(FORMS))
        said.add("form")
    return Subject(
        kind, worn, accent=accent, form=form, mirror=kind in MIRRORED and rng.random() < 0.35,
        tilt=0.0, seed=rng.getrandbits(24), said=frozenset(said),
    )  # fmt: skip


def _natural(rng: random.Random, colours: Sequence[str]) -> str:
    """The commonest natural colour most of the time."""
    return colours[0] if rng.random() < 0.6 else rng.choice(colours)


def placed(
    rng: random.Random, subject: Subject, at: tuple[float, float], r: float, *, drift: float, spread: float
) -> Subject:
    """The subject at a place, moved by up to `drift` of the side and scaled by up to `spread`."""
    r *= 1 + rng.uniform(-spread, spread)
    cx = min(max(at[0] + rng.uniform(-drift, drift), r + 0.02), 0.98 - r)
    cy = min(max(at[1] + rng.uniform(-drift, drift), r + 0.02), 0.98 - r)
    return replace(subject, cx=cx, cy=cy, r=r)


def paper(rng: random.Random, subjects: Sequence[Subject], naming: float = 0.4) -> str:
    """The named colour of the ground, or "": never a colour that a subject wears."""
    if rng.random() >= naming:
        return ""
    worn = {s.colour for s in subjects} | {s.accent for s in subjects if s.accent}
    return rng.choice([name for name in NAMES if name not in worn])


def plain(
    rng: random.Random, layout: str, subjects: Sequence[Subject], *, ground: str | None = None, corner: str = ""
) -> Scene:
    """A scene on plain ground."""
    named = paper(rng, subjects) if ground is None else ground
    return Scene(layout, tuple(subjects), named, rng.choice(list(TINTS)), corner=corner, seed=rng.getrandbits(24))


def single(rng: random.Random, subject: Subject | None = None, *, ground: str | None = None) -> Scene:
    """One subject in the middle, now and then of a named size."""
    free = subject is None
    thing = subject or dressed(rng, rng.choice(KINDS))
    size = rng.choice(list(SIZES)) if free and rng.random() < 0.25 else ""
    spread = 0.14 if not size else 0.06
    thing = placed(rng, replace(thing, size=size), (0.5, 0.5), SIZES.get(size, NORMAL), drift=0.06, spread=spread)
    return plain(rng, "single", [thing], ground=ground)


def corner(rng: random.Random) -> Scene:
    """One subject at a named side or corner."""
    where = rng.choice(list(CORNERS))
    thing = placed(rng, dressed(rng, rng.choice(KINDS)), CORNERS[where], 0.19, drift=0.03, spread=0.1)
    return plain(rng, "corner", [thing], corner=where)


def counted(rng: random.Random, number: int = 0, model: Subject | None = None, *, ground: str | None = None) -> Scene:
    """Two, three or four equals."""
    number = number or rng.choice((2, 3, 3, 4, 4))
    model = model or dressed(rng, rng.choice(KINDS), accents=0.06)
    drift = 0.012 if number == 3 else 0.025
    things = [placed(rng, model, at, REACH[number], drift=drift, spread=0.07) for at in ROWS[number]]
    return plain(rng, "count", things, ground=ground)


def related(
    rng: random.Random, relation: str = "", pair: Sequence[Subject] = (), *, ground: str | None = None, layout: str = ""
) -> Scene:
    """Two subjects, the first to the left, to the right, above or below the second; "two" is side by side."""
    relation = relation or rng.choice(list(RELATIONS))
    naming = rng.choice((0.0, 0.5, 1.0, 1.0))
    kinds = [rng.choice(KINDS)] * 2 if rng.random() < 0.06 else rng.sample(KINDS, 2)
    things = list(pair) or [dressed(rng, kind, naming=naming, accents=0.1) for kind in kinds]
    if things[0].kind == things[1].kind and (things[0].colour == things[1].colour or not pair):
        things = [dressed(rng, things[0].kind, colour=c, accents=0.0) for c in rng.sample(NAMES, 2)]
    spots = RELATIONS[relation]
    things = [placed(rng, t, at, 0.194, drift=0.025, spread=0.07) for t, at in zip(things, spots, strict=True)]
    return plain(rng, layout or relation, things, ground=ground)


def listed(rng: random.Random) -> Scene:
    """Three different subjects in a row."""
    naming = rng.choice((0.0, 0.5, 1.0))
    things = [dressed(rng, kind, naming=naming, accents=0.0) for kind in rng.sample(KINDS, 3)]
    things = [placed(rng, t, at, REACH[3], drift=0.012, spread=0.07) for t, at in zip(things, ROWS[3], strict=True)]
    return plain(rng, "list", things)
