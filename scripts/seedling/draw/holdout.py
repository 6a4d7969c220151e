"""Which combinations no training picture shows and no training caption names: they are what the evaluation asks for.

A hash decides, so that training and evaluation agree without sharing a list.
"""

import hashlib
from itertools import combinations

from .palette import NATURAL
from .scene import Scene, Subject

# Skies hold these, so that "a house under the moon" is always trained; their pairs with other things are not exempt.
HEAVENLY = frozenset(("sun", "moon", "cloud"))
EARTHLY = frozenset(("tree", "bonsai", "house", "boat", "flower", "cat", "bird", "lantern"))


def _chosen(salt: str, *keys: object, one_in: int) -> bool:
    text = "|".join(map(str, (salt, *keys)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % one_in == 0


def pair(a: str, b: str) -> bool:
    """Two kinds that never meet in a training picture, whichever comes first."""
    first, second = sorted((a, b))
    if first == second or (HEAVENLY & {a, b} and EARTHLY & {a, b}):
        return False
    return _chosen("pair", first, second, one_in=7)


def count(kind: str, number: int, colour: str) -> bool:
    """So many of one kind in one colour ("" = colour not named)."""
    return number > 1 and colour != "" and _chosen("count", kind, number, colour, one_in=9)


def colour(kind: str, name: str) -> bool:
    """A colour that a kind never wears in training, wherever it stands."""
    return name not in NATURAL[kind] and _chosen("colour", kind, name, one_in=10)


def ground(kind: str, name: str) -> bool:
    """A kind alone, in no named colour, on a ground of a named colour."""
    return name != "" and _chosen("ground", kind, name, one_in=8)


def is_held_out(scene: Scene) -> bool:
    """Whether training must not see this scene."""
    things = scene.subjects
    if any(colour(s.kind, s.colour) for s in things):
        return True
    kinds = [s.kind for s in things]
    if scene.place is not None and scene.place.body:
        kinds.append("sun" if scene.place.body == "sun" else "moon")
    if any(pair(a, b) for a, b in combinations(kinds, 2)):
        return True
    if scene.layout == "count":
        return count(things[0].kind, len(things), _named(things[0]))
    return len(things) == 1 and not _named(things[0]) and ground(things[0].kind, scene.ground)


def _named(subject: Subject) -> str:
    return subject.colour if "colour" in subject.said else ""
