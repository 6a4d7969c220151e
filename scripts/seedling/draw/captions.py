"""Says what a scene shows, in one of many ways: only what its `said` attributes name, and never what is not there."""

import random
from collections.abc import Callable
from dataclasses import replace

from . import words
from .palette import ACCENTS
from .scene import Place, Scene, Subject

BETWEEN = {
    "two": ("{} and {}", "{} and {}", "{} next to {}", "{} with {}", "{} beside {}", "{} and {} side by side"),
    "left": ("{} to the left of {}", "{} left of {}", "{} on the left of {}", "{} on the left and {} on the right"),
    "right": ("{} to the right of {}", "{} right of {}", "{} on the right of {}", "{} on the right and {} on the left"),
    "above": ("{} above {}", "{} above {}", "{} over {}", "{} on top of {}"),
    "below": ("{} below {}", "{} below {}", "{} under {}", "{} beneath {}", "{} underneath {}"),
}
BARE = 0.12  # share of captions without an article: "red house"


def caption(scene: Scene, rng: random.Random) -> str:
    """One caption of the scene; call again for another phrasing."""
    phrase = _WORDINGS.get(scene.layout, _pair)(scene, rng)
    if scene.place is None:
        phrase += _ground(scene.ground, rng)
    return words.framed(
        rng, phrase, plural=scene.layout == "count" or phrase.startswith(("mountains", "hills", "sand"))
    )


def described(subject: Subject, rng: random.Random, *, with_article: bool = True) -> str:
    """ "a big red house with a blue roof": the noun phrase of one subject."""
    phrase = _core(subject, rng)
    if subject.size:
        phrase = f"{subject.size} {phrase}"
    elif rng.random() < 0.06:
        phrase = f"{words.AGED.get(subject.kind, rng.choice(words.ADJECTIVES))} {phrase}"
    if with_article and rng.random() >= BARE:
        phrase = words.article(phrase)
    return phrase + _second(subject, rng)


def _core(subject: Subject, rng: random.Random) -> str:
    """Colour, form, season and noun, in that order."""
    word = words.noun(rng, subject.kind)
    if "season" in subject.said:
        word = _fill(rng.choice(words.SEASONS[subject.season]), word)
    if "form" in subject.said:
        word = _fill(rng.choice(words.FORMS[subject.form]), word)
    return f"{subject.colour} {word}" if "colour" in subject.said else word


def _fill(pattern: str, word: str) -> str:
    """The pattern around the noun; "tree" is not said twice, nor a wind or a season behind another."""
    head, _, tail = pattern.partition("{n}")
    if " in " in word and tail:
        return word
    return f"{head}{word}{tail}"


def _second(subject: Subject, rng: random.Random) -> str:
    """ " in a blue pot", " with a red roof"."""
    if "accent" not in subject.said or subject.kind not in ACCENTS:
        return ""
    part = words.PARTS[subject.kind]
    joint = "in" if part == "pot" and rng.random() < 0.7 else "with"
    return f" {joint} {words.article(subject.accent)} {part}"


def _ground(name: str, rng: random.Random) -> str:
    if not name:
        return ""
    paper = words.article(name)
    return rng.choice(
        (f" on {paper} background", f" on {paper} background", f" against {paper} background",
         f" with {paper} background", f", {name} background", f" on {name}")
    )  # fmt: skip


def _single(scene: Scene, rng: random.Random) -> str:
    phrase = described(scene.subjects[0], rng)
    if rng.random() < 0.06 and phrase.startswith(("a ", "an ")):
        phrase = "one" + phrase[phrase.index(" ") :]
    return phrase


def _corner(scene: Scene, rng: random.Random) -> str:
    phrase, where = described(scene.subjects[0], rng), scene.corner
    if " " in where:
        return phrase + rng.choice((f" in the {where} corner", f" in the {where}", f" at the {where}"))
    if where in ("left", "right"):
        return phrase + rng.choice((f" on the {where}", f" on the {where} side"))
    return phrase + f" at the {where}"


def _count(scene: Scene, rng: random.Random) -> str:
    number, subject = len(scene.subjects), scene.subjects[0]
    many = words.NUMBERS[number] if rng.random() < 0.9 else str(number)
    core = _core(subject, rng)
    head, joint, tail = core.partition(" in ")  # "three bonsai trees in autumn"
    phrase = f"{many} {words.plural(head)}{joint}{tail}"
    if "accent" in subject.said:
        phrase += f" with {subject.accent} {words.plural(words.PARTS[subject.kind])}"
    return phrase + (_where(scene.place, subject.kind, rng) if scene.place else "")


def _pair(scene: Scene, rng: random.Random) -> str:
    first, second = scene.subjects
    if rng.random() < BARE:
        pair = (described(first, rng, with_article=False), described(second, rng, with_article=False))
    else:
        pair = (_with_article(first, rng), _with_article(second, rng))
    return rng.choice(BETWEEN[scene.layout]).format(*pair)


def _with_article(subject: Subject, rng: random.Random) -> str:
    return words.article(_core(subject, rng)) + _second(subject, rng)


def _list(scene: Scene, rng: random.Random) -> str:
    if rng.random() < 0.25:
        return ", ".join(described(s, rng, with_article=False) for s in scene.subjects)
    a, b, c = (_with_article(s, rng) for s in scene.subjects)
    return rng.choice((f"{a}, {b} and {c}", f"{a}, {b}, and {c}", f"{a} and {b} and {c}"))


def _landscape(scene: Scene, rng: random.Random) -> str:
    place, things = scene.place, scene.subjects
    if place is None:
        raise ValueError(f"the layout {scene.layout!r} needs a place")
    if len(things) == 1:
        return described(things[0], rng) + _where(place, things[0].kind, rng)
    a, b = (_with_article(s, rng) for s in things)
    pair = rng.choice((f"{a} and {b}", f"{a} and {b}", f"{a} with {b}", f"{a} next to {b}"))
    return pair + _where(place, things[0].kind, rng)


def _view(scene: Scene, rng: random.Random) -> str:
    """A landscape without a subject: named after its mountains, land, body of light, hour or weather."""
    place = scene.place
    if place is None:
        raise ValueError("a view needs a place")
    heads: dict[tuple[str, ...], str] = {}  # what each says, in the terms of `said`
    if "land" in place.said:
        heads["land",] = rng.choice(words.VIEWS[place.land])
    if "heights" in place.said:
        heads["heights",] = rng.choice(words.RANGES[place.heights])
    if "body" in place.said:
        heads["body",] = _body(place, rng)
    if place.weather in words.WEATHERED and "weather" in place.said:
        heads["weather", "sky"] = words.article(_moment(place, rng))
        if "land" in place.said:
            heads["weather", "land"] = f"{place.weather} over {rng.choice(words.VIEWS[place.land])}"
    elif place.sky in ("night", "sunset", "dawn") and "sky" in place.said:
        heads["sky",] = rng.choice(words.TIMES[place.sky])
    if not heads or rng.random() < 0.04:
        return rng.choice(("a landscape", "a view", "a scene")) + _where(place, "", rng)
    key = rng.choice(list(heads))
    return heads[key] + _where(replace(place, said=place.said - set(key)), "", rng)


def _moment(place: Place, rng: random.Random) -> str:
    """ "snowy night": weather and hour in two words."""
    return f"{rng.choice(words.WEATHERED[place.weather])} {words.MOMENTS[place.sky]}"


def _where(place: Place, kind: str, rng: random.Random) -> str:
    """ " in the snow at night under a full moon": what is said of the place, in a random order."""
    said: list[str] = []
    names = place.said
    if place.weather in words.WEATHERED and "weather" in names and rng.random() < 0.2:
        said.append(f"on {words.article(_moment(place, rng))}")
        names = names - {"weather", "sky"}
    if "land" in names:
        floats = kind in ("boat", "fish") and place.land in words.AFLOAT
        said.append(rng.choice((words.AFLOAT if floats else words.LANDS)[place.land]))
    if "heights" in names:
        said.append(rng.choice(words.HEIGHTS[place.heights]))
    if "weather" in names:
        said.append(rng.choice(words.WEATHERS[place.weather]))
    if "sky" in names:
        said.append(rng.choice(words.HOURS.get(place.sky, (f"under {words.article(place.sky)} sky",))))
    if "body" in names:
        said.append(rng.choice(("under", "under", "with")) + " " + _body(place, rng))
    if rng.random() < 0.3 or len(said) > 3:
        rng.shuffle(said)
    said = said[:3]
    return "".join(f"{', ' if k and rng.random() < 0.15 else ' '}{phrase}" for k, phrase in enumerate(said))


def _body(place: Place, rng: random.Random) -> str:
    word = rng.choice(words.BODIES[place.body])
    if place.body_colour:
        return words.article(f"{place.body_colour} {word}")
    return rng.choice((words.article(word), f"the {word}"))


_WORDINGS: dict[str, Callable[[Scene, random.Random], str]] = {
    "single": _single,
    "corner": _corner,
    "count": _count,
    "list": _list,
    "view": _view,
    "alone": _landscape,
    "together": _landscape,
    "bonsai": _landscape,
}
