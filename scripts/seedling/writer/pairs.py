"""Short and long captions of the same scene, and whether a text is inside the world that the seedling draws.

The long one says everything of a scene that has words; the short one is what somebody might type of it. Every word of
the short one is in the long one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial

from bonsai_mlx.writing.survival import survival

from ..draw import layouts, places, words
from ..draw.holdout import is_held_out
from ..draw.landscape import COLOURED
from ..draw.palette import ACCENTS, KINDS, NAMES
from ..draw.scene import Place, Scene, Subject

MOST_TAILS = (2, 2, 1, 1)  # phrases about the place, by how many things stand in it; three are many
_MAKERS: tuple[tuple[Callable[[random.Random], Scene], float], ...] = (
    (places.bonsai_scene, 30.0),
    (places.alone, 26.0),
    (places.several, 14.0),
    (places.together, 14.0),
    (places.empty, 14.0),
    (layouts.single, 8.0),
    (layouts.counted, 6.0),
    (layouts.listed, 8.0),
)
ADDED = (2, 2, 1, 1)  # attributes and phrases more than the short one has, at most, likewise
_KEPT = (0.0, 0.0, 0.15, 0.3, 0.6, 0.9)  # of what the long caption says, in the short one
_PLAIN = 0.6  # share of questions that are nothing but the short caption


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
    adjective: str = ""  # "old"

    def said(self, names: Iterable[object], *, article: bool = True) -> str:
        """The noun phrase with these attributes only."""
        core = self.noun
        for pattern in (self.season * ("season" in names), self.form * ("form" in names)):
            core = pattern.replace("{n}", core) if pattern else core
        if self.count > 1:
            head, joint, tail = core.partition(" in ")
            core = f"{words.plural(head)}{joint}{tail}"
        before = (getattr(self, name) * (name in names) for name in ("size", "adjective", "colour"))
        core = " ".join(filter(None, (*before, core)))
        if self.count > 1:
            return f"{words.NUMBERS[self.count]} {core}"
        return (words.article(core) if article else core) + self.second * ("second" in names)


# As people say it: "under the full moon", "in the falling snow".
_THE = (
    (re.compile(r"\b(under|with) an? ((?:\w+ )?(?:sun|moon))\b"), r"\1 the \2"),
    (re.compile(r"\bin (falling snow|rain|mist|fog)\b"), r"in the \1"),
)
ATTRIBUTES = ("size", "adjective", "colour", "season", "form", "second")


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
    """The long caption has what the short one says and a little more: what is added at random, no more than is drawn
    well (`ADDED`)."""
    keep = rng.choice(_KEPT)
    if scene.place is not None and not scene.subjects:
        head, tails = _view(scene.place, rng)
        said: Callable[[Iterable[object], bool], str] = partial(_named, head)
        bare = True
    else:
        things, tails = _things(scene, rng), _tails(scene, rng)
        said, bare = partial(_listed, things, *_joints(things, rng)), rng.random() < 0.5
    there = [name for name in ATTRIBUTES if any(getattr(thing, name) for thing in things)] if scene.subjects else []
    parts: list[str | int] = [*there, *range(len(tails))]
    asked = {part for part in parts if rng.random() < keep}
    placed = not asked.isdisjoint(range(len(tails)))  # of a place that was named nothing more is said
    open_ = [part for part in parts if part not in asked and not (placed and isinstance(part, int))]
    told = asked | set(rng.sample(open_, min(len(open_), _few(ADDED, scene))))
    short, long = (
        f"{said(names, article)}{''.join(f' {tail}' for place, tail in enumerate(tails) if place in names)}"
        for names, article in ((asked, not bare), (told, True))
    )
    if rng.random() < 0.4:
        for pattern, said_so in _THE:
            short = pattern.sub(said_so, short)
    if rng.random() >= _PLAIN:
        short = rng.choice(words.FRAMES)[0].format(short)
    return (short[0].upper() + short[1:] if rng.random() < 0.1 else short), long


def _few(table: tuple[int, ...], scene: Scene) -> int:
    return table[min(len(scene.subjects), len(table) - 1)]


def _named(view: str, _names: Iterable[object], _article: bool) -> str:
    return view


def _joints(things: list[Thing], rng: random.Random) -> tuple[str, str]:
    """What stands between things, and before the last one."""
    if len(things) > 2:
        return ", ", rng.choice((" and ", " and ", ", "))
    joint = rng.choice((" and ", " and ", " with ", " next to ", " beside "))
    return joint, joint


def _listed(things: list[Thing], joint: str, last: str, names: Iterable[object], article: bool) -> str:
    """A list without "and" has no articles either, as the captions that the seedling was taught."""
    with_article = article and not (len(things) > 2 and last == ", ")
    return _joined([thing.said(names, article=with_article) for thing in things], joint, last)


def _joined(parts: list[str], joint: str, last: str) -> str:
    *before, end = parts
    return f"{joint.join(before)}{last}{end}" if before else end


def _view(place: Place, rng: random.Random) -> tuple[str, list[str]]:
    """What a landscape without a thing is named after, and what else is said of it."""
    heads = [(rng.choice(words.VIEWS[place.land]), "land")]
    if place.heights:
        heads.append((rng.choice(words.RANGES[place.heights]), "heights"))
    if place.sky in words.TIMES:
        heads.append((rng.choice(words.TIMES[place.sky]), "sky"))
    if place.weather in words.WEATHERED:
        moment = f"{rng.choice(words.WEATHERED[place.weather])} {words.MOMENTS[place.sky]}"
        white = " land" * (place.weather == "snow")  # a snowy night is one in the snow
        heads.append((words.article(moment), f"weather sky{white}"))
        heads.append((f"{place.weather} over {rng.choice(words.VIEWS[place.land])}", "weather land sky"))
    if place.body:
        heads.append((_body(place, rng), "body"))
    head, named = rng.choice(heads)
    told = [(what, tail) for what, tail in _told(place, rng, floats=False) if what not in named.split()]
    rng.shuffle(told)
    return head, [tail for _, tail in told[: MOST_TAILS[0]]]


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
    adjective = rng.choice((words.AGED.get(subject.kind, ""), *words.ADJECTIVES)) if rng.random() < 0.12 else ""
    return Thing(noun, count, subject.size, colour, season, form, second, adjective)


def _tails(scene: Scene, rng: random.Random) -> list[str]:
    place = scene.place
    if place is None:
        return [f"on {words.article(scene.ground)} background"] if scene.ground else []
    kinds = {subject.kind for subject in scene.subjects}
    floats = bool(kinds & {"boat", "fish"}) and place.land in words.AFLOAT
    told = dict(_told(place, rng, floats=floats and rng.random() < 0.6))  # people say "a boat by the sea" as well
    more = [told[name] for name in ("weather", "body", "heights") if name in told]
    said = [told["land"], told["sky"], *(rng.sample(more, 1) if more else [])]
    rng.shuffle(said)
    return said[: _few(MOST_TAILS, scene)]


def _told(place: Place, rng: random.Random, *, floats: bool) -> list[tuple[str, str]]:
    """What can be said of a place, a phrase for each: (what it is about, the phrase)."""
    told = [("land", rng.choice((words.AFLOAT if floats else words.LANDS)[place.land]))]
    told.append(("sky", rng.choice(words.HOURS.get(place.sky, (f"under {words.article(place.sky)} sky",)))))
    if place.weather:
        told.append(("weather", rng.choice(words.WEATHERS[place.weather])))
    if place.body:
        told.append(("body", f"under {_body(place, rng)}"))
    if place.heights:
        told.append(("heights", rng.choice(words.HEIGHTS[place.heights])))
    return told


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
    things = rf"{thing}(?:(?: and | with | next to | beside |, ){thing}){{0,2}}"
    land = _any([name for names in words.VIEWS.values() for name in names])
    heads = [name for table in (words.RANGES, words.TIMES) for names in table.values() for name in names]
    weathered = _any([name for names in words.WEATHERED.values() for name in names])
    moment = rf"an? {weathered} {_any(sorted(set(words.MOMENTS.values())))}"
    over = rf"{_any(sorted(words.WEATHERED))} over {land}"
    view = rf"(?:{land}|{_any(heads)}|{moment}|{over}|(?:an?|the) (?:{colour} )?{body})"
    return re.compile(rf"(?:{things}|{view})(?:,? {tail}){{0,4}}{ground}")


def _any(options: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(options, key=len, reverse=True)))})"
