"""Arranges landscapes: an empty view, one thing, a number of equals, two things, and bonsai in their seasons.

Decides what stands where and what the caption will speak of; drawing and wording are others' work.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from .landscape import COLOURED, WATER
from .layouts import dressed
from .palette import ACCENTS, NAMES
from .scene import Place, Scene, Subject
from .subjects_bonsai import FORMS, SEASON_COLOUR

GROUNDED = ("tree", "bonsai", "house", "flower", "mushroom", "cat", "cup", "bird")
FLYING = ("butterfly", "lantern", "star", "heart", "cloud")
ABSTRACT = ("circle", "square", "triangle", "star", "heart")
CLOUDY = ("day", "dawn", "blue", "pink", "sunset")
HOURS = ("day", "day", "sunset", "sunset", "night", "night", "dawn")
OPEN_LANDS = ("meadow", "meadow", "snow", "desert", "sea", "lake", "garden")
FEET = 0.93  # where the feet of what stands in front are, as a share of the height
SEASONS: dict[str, dict[str, tuple[str, ...]]] = {  # what goes with each season when nothing else is asked
    "cherry": {"sky": ("dawn", "day"), "weather": ("petals",), "land": ("garden", "meadow", "table", "lake")},
    "maple": {"sky": ("sunset", "day", "dawn"), "weather": ("leaves",), "land": ("garden", "lake", "meadow", "table")},
    "snow": {"sky": ("winter", "night"), "weather": ("snow", ""), "land": ("snow",)},
    "pine": {"sky": ("day", "sunset", "night", "grey"), "weather": ("",), "land": ("lake", "table", "garden", "sea")},
    "": {"sky": HOURS, "weather": ("",), "land": ("table", "garden", "lake", "meadow")},
}


def view(rng: random.Random, *, land: str = "") -> Place:
    """A landscape with something said about it: always the hour, the land, or the weather."""
    said = set()
    land = land or rng.choice(OPEN_LANDS)
    sky = rng.choice(HOURS)
    weather = ""
    roll = rng.random()
    if roll < 0.16:
        sky, weather = "grey", "rain"
    elif roll < 0.3:
        sky, weather = rng.choice(("winter", "night")), "snow"
        if land in WATER:
            said.add("land")  # "a snowy night" alone is one on land
        else:
            land = "snow"
    elif roll < 0.4:
        sky, weather = rng.choice(("grey", "dawn")), "mist"
    elif roll < 0.56:
        sky = rng.choice(COLOURED)
    if weather:
        said.add("weather")
    if sky not in ("day", "grey", "winter") or (not weather and rng.random() < 0.15):
        said.add("sky")
    if not said or (weather != "snow" and rng.random() < 0.7):
        said.add("land")
    return _furnished(rng, Place(sky, land, weather=weather, said=frozenset(said)))


def _furnished(rng: random.Random, place: Place) -> Place:
    """Adds what the words leave open or speak of: heights, sun or moon, clouds, where the horizon lies."""
    said = set(place.said)
    heights = rng.choice(("", "", "hills", "mountains", "mountains"))
    heights = "mountains" if place.weather == "mist" else heights
    heights = "" if place.land == "sea" and heights == "hills" else heights
    if heights == "mountains" and rng.random() < 0.6:
        said.add("heights")
    body, colour = _lit(rng, place, said)
    return replace(
        place,
        heights=heights,
        body=body,
        body_colour=colour,
        body_x=rng.choice((0.2, 0.5, 0.8)) + rng.uniform(-0.04, 0.04),
        body_y=0.18 + rng.uniform(-0.03, 0.04),
        horizon=0.64 + rng.uniform(-0.025, 0.025),
        clouds=place.sky in CLOUDY and not body and rng.random() < 0.5,
        said=frozenset(said),
    )


def _lit(rng: random.Random, place: Place, said: set[str]) -> tuple[str, str]:
    """Sun or moon and its colour; both empty where the sky hides them."""
    if place.sky in ("grey", "winter") or place.weather == "rain":
        return "", ""
    choices = ("moon", "moon", "crescent") if place.sky == "night" else ("sun",)
    if rng.random() >= (0.75 if place.sky == "night" else 0.5):
        return "", ""
    if rng.random() < 0.6 or place.sky in COLOURED:
        said.add("body")
    colour = rng.choice(("red", "orange", "yellow", "white")) if "body" in said and rng.random() < 0.3 else ""
    if colour in (place.sky, "white" if choices == ("sun",) else ""):
        colour = ""
    return rng.choice(choices), colour


def _standing(rng: random.Random, thing: Subject, x: float, r: float, place: Place, *, drift: float = 0.015) -> Subject:
    """The thing on the land, on the water or in the air, near `x`."""
    r *= 1 + rng.uniform(-0.06, 0.06)
    x = min(max(x + rng.uniform(-drift, drift), r + 0.02), 0.98 - r)
    if thing.kind in FLYING and thing.kind not in ("star", "heart"):
        y = 0.34 + rng.uniform(-0.04, 0.04)
    elif thing.kind == "fish" and place.land in WATER:
        y = min(0.98 - r, (1 + place.horizon) / 2 + 0.02)
    elif thing.kind == "boat":
        y = min(0.86 + rng.uniform(-0.02, 0.02), place.horizon + 0.24) - r * 0.92
    else:
        y = FEET + rng.uniform(-0.02, 0.015) - r * 0.97
    return replace(thing, cx=x, cy=max(y, r + 0.02), r=r)


def _fits(rng: random.Random, kind: str) -> str:
    """A land where the kind belongs ("" = anywhere)."""
    if kind in ("boat", "fish"):
        return rng.choice(WATER)
    return rng.choice(("meadow", "meadow", "snow", "desert", "garden", "sea", "lake"))


def empty(rng: random.Random) -> Scene:
    """A view with nothing in front: mountains, sea, night sky."""
    place = view(rng)
    if place.weather == "" and "body" not in place.said and "heights" not in place.said and not place.heights:
        place = replace(place, heights="mountains", said=place.said | {"heights"})
    return Scene("view", (), place=place, seed=rng.getrandbits(24))


def alone(rng: random.Random) -> Scene:
    """One thing in a landscape."""
    kind = rng.choice((*GROUNDED, *GROUNDED, "boat", "boat", "fish", *FLYING, *ABSTRACT))
    place = view(rng, land=_fits(rng, kind))
    size = rng.choice(("small", "big", "large", "tiny", "huge")) if rng.random() < 0.2 and kind not in FLYING else ""
    return one(rng, dressed(rng, kind, naming=0.5), place, size=size)


def one(rng: random.Random, thing: Subject, place: Place, *, size: str = "") -> Scene:
    """This thing in this landscape."""
    r = {"": 0.25, "small": 0.15, "tiny": 0.12}.get(size, 0.33)
    if thing.kind in FLYING:
        r = min(r, 0.2)
    if thing.kind == "bonsai" and not size:
        r = rng.choice((0.31, 0.34, 0.37))
    return scene(rng, "alone", [_standing(rng, replace(thing, size=size), 0.5, r, place, drift=0.04)], place)


def several(rng: random.Random) -> Scene:
    """Two to four equals in a landscape."""
    kind = rng.choice((*GROUNDED, "boat", "house", "tree", "bird", "butterfly", "lantern"))
    place = view(rng, land=_fits(rng, kind))
    return row(rng, dressed(rng, kind, naming=0.6, accents=0.05), rng.choice((2, 2, 3, 4)), place)


def row(rng: random.Random, model: Subject, number: int, place: Place) -> Scene:
    """So many of this thing side by side in this landscape."""
    r = {2: 0.19, 3: 0.132, 4: 0.102}[number]
    spots = [0.5 + 0.97 * ((k + 0.5) / number - 0.5) for k in range(number)]
    return scene(rng, "count", [_standing(rng, model, x, r, place, drift=0.01) for x in spots], place)


def together(rng: random.Random) -> Scene:
    """Two different things in one landscape."""
    first = rng.choice((*GROUNDED, *GROUNDED, "boat", "fish"))
    second = rng.choice([kind for kind in (*GROUNDED, *FLYING, "boat") if kind != first])
    watery = {"boat", "fish"} & {first, second}
    place = view(rng, land=rng.choice(WATER) if watery else _fits(rng, first))
    return both(rng, [dressed(rng, kind, naming=0.5, accents=0.05) for kind in (first, second)], place)


def both(rng: random.Random, pair: Sequence[Subject], place: Place) -> Scene:
    """These two side by side in this landscape."""
    things = [_standing(rng, t, x, 0.19, place) for t, x in zip(pair, (0.27, 0.73), strict=True)]
    return scene(rng, "together", things, place)


def bonsai_scene(rng: random.Random, *, season: str | None = None, form: str | None = None) -> Scene:
    """A bonsai to look at: form, season, pot, and a place that goes with them."""
    season = rng.choice(list(SEASONS)) if season is None else season
    form = rng.choice(list(FORMS)) if form is None else form
    if form == "cascade" and season == "snow":
        form = "informal"
    said: set[str] = {"season"} if season else set()
    if form != "informal" and rng.random() < 0.75:
        said.add("form")
    worn = SEASON_COLOUR.get(season) or ("green" if rng.random() < 0.7 else rng.choice(NAMES))
    if season == "maple":
        worn = rng.choice(("red", "red", "orange", "yellow"))
    if worn not in ("green", SEASON_COLOUR.get(season)):
        said.add("colour")
    accent = rng.choice([c for c in ACCENTS["bonsai"][1] if c != worn])
    if rng.random() < 0.3:
        accent = rng.choice([c for c in NAMES if c != worn])
        said.add("accent")
    tree = Subject("bonsai", worn, accent=accent, form=form, season=season, mirror=rng.random() < 0.4,
                   seed=rng.getrandbits(24), said=frozenset(said))  # fmt: skip
    place = _bonsai_place(rng, season)
    return replace(one(rng, tree, place), layout="bonsai")


def _bonsai_place(rng: random.Random, season: str) -> Place:
    """Half of the time the season's own place, unspoken; else one that the caption tells of."""
    suits = SEASONS[season]
    if rng.random() < 0.3:
        place = view(rng, land=rng.choice(("table", "garden", "lake", "meadow", "snow", "sea")))
        clash = season == "snow" and place.land != "snow"
        return replace(place, land="snow", said=place.said - {"land"}) if clash else place
    place = Place(rng.choice(suits["sky"]), rng.choice(suits["land"]), weather=rng.choice(suits["weather"]))
    said = {key for key, share in (("sky", 0.5), ("land", 0.4)) if rng.random() < share}
    if place.sky == "day":
        said.discard("sky")
    if place.sky in ("night", "sunset", "grey"):
        said.add("sky")
    return _furnished(rng, replace(place, said=frozenset(said)))


def scene(rng: random.Random, layout: str, things: Sequence[Subject], place: Place) -> Scene:
    """A landscape with these things in it."""
    high = any(t.kind in FLYING or t.cy - t.r < 0.28 for t in things)
    if place.body and high and abs(place.body_x - 0.5) < 0.1:
        place = replace(place, body_x=0.85)  # beside what would hide it
    if place.body and any(t.kind in FLYING for t in things):
        place = replace(place, body="", body_colour="", said=place.said - {"body"})
    return Scene(layout, tuple(things), place=place, seed=rng.getrandbits(24))
