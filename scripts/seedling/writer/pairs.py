"""Short and long captions of the same scene, and whether a text is inside the world that the seedling draws.

The long one says everything of a scene that has words; the short one is what somebody might type of it. Every word of
the short one is in the long one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from bonsai_mlx.writing.survival import survival

from ..draw import layouts, places, words
from ..draw.holdout import is_held_out
from ..draw.landscape import COLOURED
from ..draw.palette import ACCENTS, KINDS, NAMES
from ..draw.scene import Place, Scene, Subject

MOST_TAILS = 3
_MAKERS: tuple[tuple[Callable[[random.Random], Scene], float], ...] = (
    (places.bonsai_scene, 40.0),
    (places.alone, 28.0),
    (places.several, 16.0),
    (places.together, 10.0),
    (layouts.single, 4.0),
    (layouts.counted, 4.0),
)
_ASKED = ("{}", "{}", "{}", "{}", "{}", "draw {}", "please draw {}", "a picture of {}", "show me {}", "{}, please")


@dataclass(frozen=True, slots=True)
class Thing:
    """The words of one kind of thing, each chosen once, so that short and long say the same."""

    noun: str
    count: int = 1
    size: str = ""
    colour: str = ""
    season: str = ""  # patterns around the noun
    form: str = ""
    second: str = ""  # " in a blue pot"

    def said(self, names: Iterable[str], *, article: bool = True) -> str:
        """The noun phrase with these attributes only."""
        core = self.noun
        for pattern in (self.season * ("season" in names), self.form * ("form" in names)):
            core = pattern.replace("{n}", core) if pattern else core
        if self.count > 1:
            head, joint, tail = core.partition(" in ")
            core = f"{words.plural(head)}{joint}{tail}"
        core = " ".join(filter(None, (self.size * ("size" in names), self.colour * ("colour" in names), core)))
        if self.count > 1:
            return f"{words.NUMBERS[self.count]} {core}"
        return (words.article(core) if article else core) + self.second * ("second" in names)


ATTRIBUTES = ("size", "colour", "season", "form", "second")


def pair(rng: random.Random) -> tuple[str, str]:
    """(short, long) of one random scene; never one that is held out."""
    while True:
        scene = rng.choices([maker for maker, _ in _MAKERS], [weight for _, weight in _MAKERS])[0](rng)
        if is_held_out(scene):
            continue
        short, long = _worded(scene, rng)
        if inside(long) and not _repeats(long) and not survival(short, long).missing and short != long:
            return short, long


def _repeats(text: str) -> bool:
    """Whether anything but small words is said twice: "in the snow on a snowy day in the snow"."""
    said = [word[:4] for word in text.split() if len(word) > 3 and word not in ("with", "under")]
    return len(said) != len(set(said))


def _worded(scene: Scene, rng: random.Random) -> tuple[str, str]:
    things = _things(scene, rng)
    tails = _tails(scene, rng)
    joint = rng.choice((" and ", " and ", " with ", " next to "))
    long = joint.join(thing.said(ATTRIBUTES) for thing in things) + "".join(f" {tail}" for tail in tails)
    keep = rng.choice((0.0, 0.0, 0.15, 0.3, 0.6))
    names = [name for name in ATTRIBUTES if rng.random() < keep]
    article = rng.random() < 0.5
    short = joint.join(thing.said(names, article=article or len(things) > 1) for thing in things)
    short += "".join(f" {tail}" for tail in tails if rng.random() < keep)
    short = rng.choice(_ASKED).format(short)
    return (short[0].upper() + short[1:] if rng.random() < 0.1 else short), long


def _things(scene: Scene, rng: random.Random) -> list[Thing]:
    if len(scene.subjects) > 1 and len({subject.kind for subject in scene.subjects}) == 1:
        return [_thing(scene.subjects[0], rng, len(scene.subjects))]
    return [_thing(subject, rng, 1) for subject in scene.subjects]


def _thing(subject: Subject, rng: random.Random, count: int) -> Thing:
    second = ""
    if subject.accent and subject.kind in ACCENTS and count == 1 and rng.random() < 0.8:
        part = words.PARTS[subject.kind]
        second = f" {'in' if part == 'pot' else 'with'} {words.article(subject.accent)} {part}"
    season = rng.choice(words.SEASONS[subject.season]) if subject.season else ""
    form = rng.choice(words.FORMS[subject.form]) if subject.form and (subject.form != "informal") else ""
    if " in " in season.partition("{n}")[2] and form.partition("{n}")[2]:
        form = ""  # "bonsai in autumn forest" is no English
    colour = subject.colour if "colour" in subject.said or (not season and rng.random() < 0.6) else ""
    noun = words.noun(rng, subject.kind) if not (season or form) else subject.kind
    return Thing(noun, count, subject.size, colour, season, form, second)


def _tails(scene: Scene, rng: random.Random) -> list[str]:
    place = scene.place
    if place is None:
        return [f"on {words.article(scene.ground)} background"] if scene.ground else []
    kinds = {subject.kind for subject in scene.subjects}
    floats = bool(kinds & {"boat", "fish"}) and place.land in words.AFLOAT
    said = [rng.choice((words.AFLOAT if floats else words.LANDS)[place.land])]
    more = []
    if place.weather:
        more.append(rng.choice(words.WEATHERS[place.weather]))
    if place.body:
        more.append(f"under {_body(place, rng)}")
    if place.heights:
        more.append(rng.choice(words.HEIGHTS[place.heights]))
    said.append(rng.choice(words.HOURS.get(place.sky, (f"under {words.article(place.sky)} sky",))))
    if more:
        said.append(rng.choice(more))
    rng.shuffle(said)
    return said[:MOST_TAILS]


def _body(place: Place, rng: random.Random) -> str:
    word = rng.choice(words.BODIES[place.body])
    return words.article(f"{place.body_colour} {word}" if place.body_colour else word)


# The world as a grammar


def inside(text: str) -> bool:
    """Whether the seedling was trained to draw everything that the text says, and in such words."""
    return _grammar().fullmatch(text.strip().rstrip(".").lower()) is not None


@cache
def _grammar() -> re.Pattern[str]:
    colour = _any(NAMES)
    patterns = [p.partition("{n}") for kind in (*words.FORMS.values(), *words.SEASONS.values()) for p in kind]
    before = _any(sorted({head.strip() for head, _, _ in patterns if head}))
    behind = _any(sorted({tail.strip() for _, _, tail in patterns if tail}))
    nouns = {noun for kind in KINDS for noun in words.NOUNS.get(kind, (kind,))}
    noun = _any(sorted(nouns | {words.plural(noun) for noun in nouns}))
    size = _any(sorted(layouts.SIZES))
    part = _any([form for part in words.PARTS.values() for form in (part, words.plural(part))])
    adjective = _any([*words.ADJECTIVES, *sorted(set(words.AGED.values()))])
    core = rf"(?:{size} )?(?:{adjective} )?(?:{colour} )?(?:{before} ){{0,2}}{noun}(?: {behind}){{0,2}}"
    thing = rf"(?:an? |{_any(list(words.NUMBERS.values()))} |[1-4] )?{core}(?: (?:in|with)(?: an?)? {colour} {part})?"
    body = _any([name for kind in words.BODIES.values() for name in kind])
    listed = (words.HOURS, words.LANDS, words.AFLOAT, words.WEATHERS, words.HEIGHTS)
    fixed = _any(sorted({phrase for table in listed for phrases in table.values() for phrase in phrases}))
    sky = rf"under an? {_any([*COLOURED, 'grey'])} sky"
    tail = rf"(?:{fixed}|{sky}|(?:under|with) (?:an?|the) (?:{colour} )?{body})"
    ground = rf"(?: on an? {colour} background)?"
    return re.compile(rf"{thing}(?:(?: and | with | next to |, ){thing}){{0,2}}(?:,? {tail}){{0,4}}{ground}")


def _any(options: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(options, key=len, reverse=True)))})"
