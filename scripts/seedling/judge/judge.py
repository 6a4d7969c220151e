"""Decides whether a picture shows what its prompt asks for: kinds, numbers, colours, relation, ground, landscape.

Every rule is measured against our own drawings: silhouettes are compared with those of rendered examples, colours
with the share that a rendered example of that colour has. It knows this world of twenty kinds and nothing else.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..draw.palette import COLOURS, NAMES, TINTS, contrast_accent, ground
from ..draw.render import render
from ..draw.scene import Scene, Subject
from . import backdrops
from .expectations import Expectation, Prompt, Thing
from .recognition import Seen, recognise
from .segmentation import Pixels, Region, ground_colour, is_plain, is_rough, pixels_of, readings, regions

EXTRA = 0.74  # the likeness at which something that nobody asked for counts as there
SURE = 0.85  # the same in a landscape where nothing was asked for: shores and rocks look like something by chance
WITHIN = {"maple": ("red", "orange", "yellow"), "cherry": ("pink",), "pine": ("green",)}
WHOLE = (0.0, 1.0)  # heights, from the top of a thing to its foot
PARTS = {  # where a thing wears its colour: walls, hull, leaves, petals, cap
    "house": (0.48, 1.0), "boat": (0.74, 1.0), "bonsai": (0.0, 0.6), "tree": (0.0, 0.6), "flower": (0.0, 0.6),
    "mushroom": (0.0, 0.55), "lantern": (0.2, 0.8),
}  # fmt: skip
SECOND_PARTS = {"house": (0.0, 0.42), "boat": (0.0, 0.7), "bonsai": (0.55, 1.0)}
SMALL, BIG = 0.09, 0.22  # shares of the picture: a small thing covers less, a big one more
_TONES = np.array([tone for name in NAMES for tone in COLOURS[name][:3]], np.float64)


@dataclass(frozen=True)
class Verdict:
    """The judgement and, where it failed, the first thing that is wrong."""

    passed: bool
    reason: str = ""


def judge(image: Image.Image, prompt: Prompt) -> Verdict:
    """Whether the picture (RGB, square) shows what the prompt asks for."""
    pixels, expected = pixels_of(image), prompt.expected
    if is_rough(pixels):
        return Verdict(False, "it is noise")
    for wrong in (_place(pixels, expected), _ground(pixels, expected.ground)):
        if wrong:
            return Verdict(False, wrong)
    if not expected.things:
        intruder = _intruder(pixels)
        return Verdict(not intruder, intruder and f"there is a {intruder} that nobody asked for")
    outdoors, wrong = not is_plain(pixels), ""
    for found in readings(pixels):
        wrong = _things([recognise(region) for region in found], expected, outdoors=outdoors)
        if not wrong:
            return Verdict(True)
    return Verdict(False, wrong)


def colour_of(region: Region, kind: str) -> str:
    """The colour the kind wears here: the one that comes nearest to its share in a drawing of that colour."""
    share = _shares(region, PARTS.get(kind, WHOLE))
    return max(NAMES, key=lambda name: share[NAMES.index(name)] / max(_expected_share(kind, name), 0.15))


def _place(pixels: Pixels, expected: Expectation) -> str:
    if not expected.outdoors:
        return ""
    if is_plain(pixels):
        return "there is no landscape"
    return backdrops.missing(pixels, expected)


def _ground(pixels: Pixels, name: str) -> str:
    if not name:
        return ""
    if not is_plain(pixels):
        return "the ground is not plain"
    papers = [*((n, ground(n)) for n in NAMES), *(("", tint) for tint in TINTS.values())]
    found = min(papers, key=lambda paper: float(np.abs(ground_colour(pixels) - paper[1]).sum()))[0]
    return "" if found == name else f"the ground is not {name}"


def _things(seen: list[Seen], expected: Expectation, *, outdoors: bool) -> str:
    """What is wrong with number, kinds, colours, relation; "" if nothing."""
    wanted = [replace(thing, count=1) for thing in expected.things for _ in range(thing.count)]
    if outdoors:  # rocks, clouds and mountains are no things
        kinds = {thing.kind for thing in wanted}
        asked = [any(one.looks_like(kind) for kind in kinds) for one in seen]
        seen = [one for one, yes in zip(seen, asked, strict=True) if yes or _stands_out(one)]
    if len(seen) != len(wanted):
        return f"{len(seen)} things, not {len(wanted)}"
    return max(_fault(order, wanted, expected.relation) for order in permutations(seen))[1]


def _intruder(pixels: Pixels) -> str:
    """The kind of a thing that most readings of an empty landscape find all the same, or ""."""
    found = [[one for region in read if _stands_out(one := recognise(region), SURE)] for read in readings(pixels)]
    kinds = [seen[0].kind for seen in found if seen]
    return kinds[0] if len(kinds) > len(found) / 2 else ""


def _stands_out(seen: Seen, likeness: float = EXTRA) -> bool:
    """Whether something that nobody asked for counts as there."""
    return seen.likeness[seen.kind] >= likeness and seen.kind not in ("moon", "cloud", "circle", "sun")


def _fault(order: tuple[Seen, ...], wanted: list[Thing], relation: str) -> tuple[int, str]:
    """How many things are right in this order, one more if their relation is too; and what is wrong."""
    right = 0
    for seen, thing in zip(order, wanted, strict=True):
        if not seen.looks_like(thing.kind):
            return right, f"a {seen.kind} where a {thing.kind} should be"
        wrong = _dress(seen, thing)
        if wrong:
            return right, wrong
        right += 1
    if relation and not _lies(order[0].region, order[1].region, relation):
        return right, f"the {wanted[0].kind} is not {relation} of the {wanted[1].kind}"
    return right + 1, ""


def _dress(seen: Seen, thing: Thing) -> str:
    colours = (thing.colour,) if thing.colour else WITHIN.get(thing.season, ())
    if colours and colour_of(seen.region, thing.kind) not in colours:
        return f"the {thing.kind} is not {' or '.join(colours)}"
    if thing.season == "snow" and _shares(seen.region, PARTS["bonsai"])[NAMES.index("green")] > 0.3:
        return "the bonsai has leaves"
    if thing.accent and _shares(seen.region, SECOND_PARTS[thing.kind])[NAMES.index(thing.accent)] < 0.2:
        return f"nothing of the {thing.kind} is {thing.accent}"
    if thing.form and seen.form != thing.form:
        return f"the bonsai is {seen.form}, not {thing.form}"
    if thing.size in ("tiny", "small") and seen.region.area > SMALL:
        return f"the {thing.kind} is not small"
    if thing.size in ("big", "large", "huge") and seen.region.area < BIG:
        return f"the {thing.kind} is not big"
    return ""


def _lies(a: Region, b: Region, relation: str) -> bool:
    dx, dy = a.cx - b.cx, a.cy - b.cy
    if relation in ("left", "right"):
        return abs(dx) > max(abs(dy), 0.1) and (dx < 0) == (relation == "left")
    return abs(dy) > max(abs(dx), 0.1) and (dy < 0) == (relation == "above")


def _shares(region: Region, part: tuple[float, float]) -> NDArray[np.float64]:
    """Of the region's pixels between two heights, the share nearest to each named colour."""
    pixels = region.pixels[(region.heights >= part[0]) & (region.heights <= part[1])]
    if len(pixels) == 0:
        return np.zeros(len(NAMES))
    sample = pixels[:: max(1, len(pixels) // 600)]
    near = ((sample[:, None] - _TONES[None]) ** 2).sum(-1).argmin(1) // 3
    return np.asarray(np.bincount(near, minlength=len(NAMES)) / len(near))


@lru_cache(maxsize=256)
def _expected_share(kind: str, name: str) -> float:
    """The share of a colour in a drawing of the kind that wears it."""
    subject = Subject(kind, name, r=0.25, form="informal", accent=contrast_accent(kind, name), seed=5)
    tint = "sky" if name in ("red", "white", "brown", "yellow", "orange", "pink") else "cream"
    found = regions(pixels_of(render(Scene("single", (subject,), tint=tint))))
    return float(_shares(found[0], PARTS.get(kind, WHOLE))[NAMES.index(name)])
