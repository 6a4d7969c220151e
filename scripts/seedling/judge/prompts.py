"""The prompts of the evaluation: what each asks for, in words and in terms that the judge can check.

Six categories follow GenEval's and ask for combinations that training never showed (`holdout`); the seventh, "free",
is a list of what people write. `clean_scene` draws what a prompt asks for, to validate the judge.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from ..draw import holdout, layouts, places, words
from ..draw.palette import ACCENTS, KINDS, NAMES, NATURAL
from ..draw.scene import Place, Scene, Subject
from ..draw.subjects_bonsai import SEASON_COLOUR
from .expectations import Expectation, Prompt, Thing
from .free_prompts import PROMPTS

CATEGORIES = ("single", "two", "counting", "colors", "position", "color_attr")
FREE = "free"
FRAMES = (
    "a photo of {}",
    "a photo of {}",
    "{}",
    "a picture of {}",
    "a drawing of {}",
    "an illustration of {}",
    "an image of {}",
)


def held_out(category: str, count: int, seed: int = 0) -> list[Prompt]:
    """`count` different prompts of one of `CATEGORIES`; the same seed gives the same list."""
    if category not in CATEGORIES:
        raise ValueError(f"unknown category {category!r}: one of {', '.join(CATEGORIES)}")
    rng = random.Random(f"{category} {seed}")
    found: dict[str, Prompt] = {}
    wanted, tries = list(_wanted(category)), 0
    while len(found) < count:
        tries += 1
        if tries > 200:
            raise ValueError(f"there are not {count} different prompts of category {category!r}")
        rng.shuffle(wanted)
        for expected in wanted[: count - len(found)]:
            asked = replace(expected, ground=_paper(rng, expected))
            text = rng.choice(FRAMES).format(_phrase(asked, category))
            found.setdefault(text, Prompt(text, category, asked))
    return list(found.values())


def free(count: int = 60) -> list[Prompt]:
    """Prompts as people write them; the first `count` of the list."""

    if count > len(PROMPTS):
        raise ValueError(f"there are {len(PROMPTS)} free prompts, not {count}")
    return [Prompt(text, FREE, expected) for text, expected in PROMPTS[:count]]


def _wanted(category: str) -> Iterator[Expectation]:
    """Everything a category may ask for, before the ground is chosen."""
    pairs = [(a, b) for a, b in permutations(KINDS, 2) if holdout.pair(a, b)]
    if category == "single":
        yield from (Expectation((Thing(kind),)) for kind in KINDS)
    elif category == "colors":
        hues = ((kind, name) for kind in KINDS for name in NAMES if holdout.colour(kind, name))
        yield from (Expectation((Thing(kind, colour=name),)) for kind, name in hues)
    elif category == "counting":
        for kind, number, name in ((k, n, c) for k in KINDS for n in (2, 3, 4) for c in NAMES):
            if holdout.count(kind, number, name) and not holdout.colour(kind, name):
                yield Expectation((Thing(kind, number, name),))
    elif category == "two":
        yield from (Expectation((Thing(a), Thing(b))) for a, b in pairs)
    elif category == "position":
        for relation in layouts.RELATIONS:
            yield from (Expectation((Thing(a), Thing(b)), relation) for a, b in pairs)
    else:
        for a, b in pairs:
            for c, d in (
                ("red", "blue"),
                ("green", "yellow"),
                ("purple", "orange"),
                ("white", "black"),
                ("pink", "brown"),
            ):
                for first, second in ((c, d), (d, c)):
                    if not (holdout.colour(a, first) or holdout.colour(b, second)):
                        yield Expectation((Thing(a, colour=first), Thing(b, colour=second)))


def _paper(rng: random.Random, expected: Expectation) -> str:
    """A named ground for four prompts of ten, unlike anything the things may wear; a held-out one for a single kind."""
    if rng.random() >= 0.4:
        return ""
    worn = {c for t in expected.things for c in ((t.colour,) if t.colour else NATURAL[t.kind])}
    worn |= {c for t in expected.things if t.kind in ACCENTS for c in ACCENTS[t.kind][1]}
    choices = [name for name in NAMES if name not in worn]
    if len(expected.things) == 1 and not expected.things[0].colour:
        choices = [name for name in choices if holdout.ground(expected.things[0].kind, name)]
    return rng.choice(choices) if choices else ""


def _phrase(expected: Expectation, category: str) -> str:
    first = expected.things[0]
    named = [f"{t.colour} {t.kind}".strip() for t in expected.things]
    if category == "counting":
        text = f"{words.NUMBERS[first.count]} {words.plural(named[0])}"
    elif category == "position":
        joint = {"left": "to the left of", "right": "to the right of"}.get(expected.relation, expected.relation)
        text = f"{words.article(named[0])} {joint} {words.article(named[1])}"
    else:
        text = " and ".join(words.article(name) for name in named)
    return f"{text} on {words.article(expected.ground)} background" if expected.ground else text


def clean_scene(prompt: Prompt, rng: random.Random) -> Scene:
    """A scene that satisfies the prompt, with everything free left to `rng`."""
    expected = prompt.expected
    things = [_subject(rng, thing, expected.ground) for thing in expected.things]
    if expected.outdoors or not things:
        return _outdoors(rng, expected, things)
    if len(things) == 3:
        return _in_a_row(rng, things)
    if len(things) == 2:
        return layouts.related(rng, expected.relation or "left", things, ground=expected.ground)
    if expected.things[0].count > 1:
        return layouts.counted(rng, expected.things[0].count, things[0], ground=expected.ground)
    scene = layouts.single(rng, things[0], ground=expected.ground)
    if not expected.things[0].size:
        return scene
    return replace(scene, subjects=(replace(scene.subjects[0], r=layouts.SIZES[expected.things[0].size]),))


def _subject(rng: random.Random, thing: Thing, ground: str) -> Subject:
    colour = thing.colour or SEASON_COLOUR.get(thing.season, "")
    subject = layouts.dressed(rng, thing.kind, colour=colour, naming=0.0, accents=0.0)
    if subject.accent and subject.accent == ground:
        visible = next(name for name in ("white", "brown", "red") if name not in (ground, subject.colour))
        subject = replace(subject, accent=visible)
    form = thing.form or ("informal" if thing.season == "snow" else subject.form)
    return replace(subject, form=form, season=thing.season, accent=thing.accent or subject.accent)


def _in_a_row(rng: random.Random, things: list[Subject]) -> Scene:
    spots = zip(things, layouts.ROWS[3], strict=True)
    return layouts.plain(rng, "list", [replace(t, cx=x, cy=y, r=layouts.REACH[3]) for t, (x, y) in spots], ground="")


def _outdoors(rng: random.Random, expected: Expectation, things: list[Subject]) -> Scene:
    land = expected.land or ("snow" if expected.weather == "snow" else "sea" if _watery(things) else "meadow")
    sky = expected.sky or {"rain": "grey", "snow": "winter", "mist": "grey"}.get(expected.weather, "day")
    body_x = 0.2 if rng.random() < 0.5 else 0.8
    place = Place(
        sky,
        land,
        heights=expected.heights or rng.choice(("", "mountains")),
        weather=expected.weather,
        body=expected.body,
        body_x=body_x,
    )
    if len(things) == 1 and expected.things[0].count > 1:
        return places.row(rng, things[0], expected.things[0].count, place)
    if len(things) == 2:
        return places.both(rng, things, place)
    size = expected.things[0].size if things else ""
    return places.one(rng, things[0], place, size=size) if things else places.scene(rng, "view", (), place)


def _watery(things: list[Subject]) -> bool:
    return any(thing.kind in ("boat", "fish") for thing in things)
