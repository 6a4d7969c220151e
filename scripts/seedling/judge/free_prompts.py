"""Sixty prompts as people write them, with what a right picture must show."""

from .expectations import Expectation, Thing


def _one(kind: str, colour: str = "", **rest: str) -> Expectation:
    """One thing somewhere; `rest` may name its `accent`, `form`, `season`, `size` and the place."""
    dress = {key: rest.pop(key) for key in ("accent", "form", "season", "size") if key in rest}
    return Expectation((Thing(kind, 1, colour, **dress),), **rest)


def _many(kind: str, count: int, colour: str = "", **place: str) -> Expectation:
    return Expectation((Thing(kind, count, colour),), **place)


def _both(first: tuple[str, str], second: tuple[str, str], **place: str) -> Expectation:
    return Expectation((Thing(first[0], colour=first[1]), Thing(second[0], colour=second[1])), **place)


PROMPTS: tuple[tuple[str, Expectation], ...] = (
    ("bonsai", _one("bonsai")),
    (
        "a pine bonsai on a table under the full moon",
        _one("bonsai", season="pine", land="table", sky="night", body="moon"),
    ),
    ("cherry blossom bonsai at dawn", _one("bonsai", season="cherry", sky="dawn")),
    ("maple bonsai in autumn, in a blue pot", _one("bonsai", season="maple", accent="blue")),
    ("a bare bonsai in the falling snow", _one("bonsai", season="snow", weather="snow")),
    ("an old cascade bonsai in a white pot", _one("bonsai", form="cascade", accent="white")),
    ("a windswept pine bonsai by the sea", _one("bonsai", season="pine", form="windswept", land="sea")),
    ("bonsai forest at sunset", _one("bonsai", form="forest", sky="sunset")),
    ("please draw a formal upright bonsai in a zen garden", _one("bonsai", form="formal", land="garden")),
    ("a slanting maple bonsai by a lake", _one("bonsai", season="maple", form="slanting", land="lake")),
    ("a beautiful cherry blossom bonsai in a garden", _one("bonsai", season="cherry", land="garden")),
    ("a bonsai in a red pot on a rainy day", _one("bonsai", accent="red", weather="rain")),
    ("purple bonsai under a pink sky", _one("bonsai", "purple", sky="pink")),
    ("winter bonsai at night", _one("bonsai", season="snow", sky="night")),
    ("a pine bonsai in the mist", _one("bonsai", season="pine", weather="mist")),
    ("three bonsai trees", _many("bonsai", 3)),
    ("two red houses at night", _many("house", 2, "red", sky="night")),
    ("three green trees in the snow", _many("tree", 3, "green", land="snow")),
    ("two boats on the sea", _many("boat", 2, land="sea")),
    ("four orange cats in a meadow", _many("cat", 4, "orange", land="meadow")),
    ("three mushrooms in the rain", _many("mushroom", 3, weather="rain")),
    ("two white cats at sunset", _many("cat", 2, "white", sky="sunset")),
    ("two blue birds in falling snow", _many("bird", 2, "blue", weather="snow")),
    ("three red lanterns at night", _many("lantern", 3, "red", sky="night")),
    ("two pink flowers on a table", _many("flower", 2, "pink", land="table")),
    ("two cups on a wooden table", _many("cup", 2, land="table")),
    ("four purple butterflies", _many("butterfly", 4, "purple")),
    ("show me two yellow stars", _many("star", 2, "yellow")),
    ("a boat and a house by the sea", _both(("boat", ""), ("house", ""), land="sea")),
    ("a cat and a tree in a meadow", _both(("cat", ""), ("tree", ""), land="meadow")),
    ("a bird and a flower in the rain", _both(("bird", ""), ("flower", ""), weather="rain")),
    ("a red mushroom next to a blue flower", _both(("mushroom", "red"), ("flower", "blue"))),
    ("a white house and a green tree at sunset", _both(("house", "white"), ("tree", "green"), sky="sunset")),
    ("a black cat beside a red house in the snow", _both(("cat", "black"), ("house", "red"), land="snow")),
    ("an orange fish and a red boat on a lake", _both(("fish", "orange"), ("boat", "red"), land="lake")),
    ("a bonsai next to a cat in a garden", _both(("bonsai", ""), ("cat", ""), land="garden")),
    ("a star, a heart and a circle", Expectation((Thing("star"), Thing("heart"), Thing("circle")))),
    (
        "red square, blue circle, green triangle",
        Expectation((Thing("square", colour="red"), Thing("circle", colour="blue"), Thing("triangle", colour="green"))),
    ),
    ("a cat, a flower and a house", Expectation((Thing("cat"), Thing("flower"), Thing("house")))),
    ("a huge yellow sun", _one("sun", "yellow", size="huge")),
    ("a tiny red heart", _one("heart", "red", size="tiny")),
    ("a big old tree", _one("tree", size="big")),
    ("a small blue boat on the sea", _one("boat", "blue", size="small", land="sea")),
    ("please draw me a purple flower", _one("flower", "purple")),
    ("could you paint a red fish?", _one("fish", "red")),
    ("I would like a white cat, please", _one("cat", "white")),
    ("a cute orange cat in the desert", _one("cat", "orange", land="desert")),
    ("a little red house by the sea", _one("house", "red", land="sea")),
    ("red lantern in the night", _one("lantern", "red", sky="night")),
    ("butterfly", _one("butterfly")),
    ("a house under a red moon", _both(("house", ""), ("moon", "red"), relation="below")),  # no sky here has a red one
    ("mountains at sunset", Expectation(sky="sunset", heights="mountains")),
    ("the sea under a full moon", Expectation(sky="night", land="sea", body="moon")),
    ("a snowy night", Expectation(sky="night", land="snow")),
    ("mountains by a lake at dawn", Expectation(sky="dawn", land="lake", heights="mountains")),
    ("rain over the sea", Expectation(land="sea", weather="rain")),
    ("a meadow under a pink sky", Expectation(sky="pink", land="meadow")),
    ("a desert under the sun", Expectation(land="desert", body="sun")),
    ("a lake under a purple sky", Expectation(sky="purple", land="lake")),
    ("mountains in the snow on a starry night", Expectation(sky="night", land="snow", heights="mountains")),
)
