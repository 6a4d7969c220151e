"""The words of the captions: nouns, adjectives, phrases for places, forms, seasons; and how a request is framed."""

import random

NOUNS: dict[str, tuple[str, ...]] = {  # the plain word first; it is by far the commonest
    "bonsai": ("bonsai", "bonsai tree"),
    "cup": ("cup", "mug"),
    "boat": ("boat", "sailboat"),
    "moon": ("moon", "crescent moon"),
    "lantern": ("lantern", "paper lantern"),
    "tree": ("tree", "leafy tree"),
}
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
PARTS = {"bonsai": "pot", "house": "roof", "boat": "sail"}
ADJECTIVES = ("beautiful", "lovely", "pretty", "simple", "nice")  # what everything can be, to no effect
AGED = {"bonsai": "old", "tree": "old", "house": "old", "boat": "old", "cat": "cute", "bird": "cute", "fish": "cute"}

FORMS: dict[str, tuple[str, ...]] = {
    "formal": ("formal upright {n}", "straight {n}", "formal {n}"),
    "informal": ("informal upright {n}", "curved {n}"),
    "slanting": ("slanting {n}", "leaning {n}"),
    "cascade": ("cascade {n}", "cascading {n}"),
    "windswept": ("windswept {n}", "{n} in the wind"),
    "forest": ("forest {n}", "{n} forest"),
}
SEASONS: dict[str, tuple[str, ...]] = {
    "pine": ("pine {n}", "pine tree {n}"),
    "maple": ("maple {n}", "maple {n} in autumn", "autumn {n}", "{n} in autumn"),
    "cherry": ("cherry blossom {n}", "cherry blossom {n}", "blossoming {n}", "{n} in spring", "sakura {n}"),
    "snow": ("bare {n} in snow", "winter {n}", "snow-covered {n}", "{n} in winter", "bare {n}"),
}
HOURS: dict[str, tuple[str, ...]] = {
    "day": ("by day", "on a sunny day", "in daylight"),
    "dawn": ("at dawn", "at sunrise", "in the morning"),
    "sunset": ("at sunset", "at sunset", "in the evening"),
    "night": ("at night", "at night", "in the night", "under the stars", "on a starry night"),
    "grey": ("under a grey sky", "on a grey day"),
    "winter": ("in winter", "on a winter day"),
}
LANDS: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "on the grass", "on green grass", "on grass"),
    "snow": ("in the snow", "on snow", "in snow"),
    "desert": ("in the desert", "in a desert", "on sand"),
    "garden": ("in a zen garden", "in a garden", "in a japanese garden"),
    "table": ("on a table", "on a wooden table"),
    "lake": ("by a lake", "by the lake", "on a lake"),
    "sea": ("by the sea", "by the sea", "by the ocean"),
}
AFLOAT = {"lake": ("on a lake", "on the lake"), "sea": ("on the sea", "at sea", "on the ocean")}
VIEWS: dict[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "a green meadow"),
    "snow": ("a snowy landscape", "a snow field"),
    "desert": ("a desert", "sand dunes"),
    "garden": ("a zen garden", "a japanese garden"),
    "table": ("a table",),
    "lake": ("a lake", "a calm lake"),
    "sea": ("the sea", "the ocean"),
}
WEATHERS: dict[str, tuple[str, ...]] = {
    "rain": ("in the rain", "in rain", "on a rainy day"),
    "snow": ("in falling snow", "while it snows", "in the snow"),
    "mist": ("in the mist", "in mist", "in fog"),
    "petals": ("with falling petals",),
    "leaves": ("with falling leaves",),
}
WEATHERED: dict[str, tuple[str, ...]] = {  # before the name of an hour
    "rain": ("rainy",),
    "snow": ("snowy", "snowy", "wintry"),
    "mist": ("misty", "foggy"),
}
TIMES: dict[str, tuple[str, ...]] = {  # an hour that is itself the view
    "night": ("a starry night", "the night sky", "night"),
    "sunset": ("a sunset", "sunset", "an evening"),
    "dawn": ("a sunrise", "dawn", "a morning"),
}
MOMENTS = {"night": "night", "dawn": "morning", "sunset": "evening", "grey": "day", "winter": "day", "day": "day"}
HEIGHTS: dict[str, tuple[str, ...]] = {
    "mountains": ("in front of mountains", "with mountains", "in the mountains", "before a mountain"),
    "hills": ("in front of hills", "with hills"),
}
RANGES = {"mountains": ("mountains", "mountains", "a mountain"), "hills": ("hills", "green hills")}
BODIES: dict[str, tuple[str, ...]] = {
    "sun": ("sun",),
    "moon": ("full moon", "moon"),
    "crescent": ("crescent moon", "moon"),
}

FRAMES: tuple[tuple[str, float], ...] = (
    ("{}", 40.0),
    ("a photo of {}", 16.0),
    ("a picture of {}", 6.0),
    ("a drawing of {}", 5.0),
    ("an illustration of {}", 4.0),
    ("an image of {}", 3.0),
    ("a painting of {}", 2.0),
    ("draw {}", 2.5),
    ("draw me {}", 2.0),
    ("please draw {}", 2.5),
    ("draw {}, please", 2.0),
    ("{}, please", 1.5),
    ("can you draw {}?", 1.5),
    ("could you paint {}?", 1.0),
    ("paint {}", 1.0),
    ("show me {}", 2.0),
    ("I would like {}", 1.5),
    ("I want to see {}", 1.0),
    ("there is {}", 0.8),
    ("this is {}", 0.8),
)
TAILS = (", detailed", ", flat illustration", ", high quality", ", minimalist")
_FRAMES = tuple(frame for frame, _ in FRAMES)
_WEIGHTS = tuple(weight for _, weight in FRAMES)


def framed(rng: random.Random, phrase: str, *, plural: bool = False) -> str:
    """The phrase as somebody would ask for it: bare, politely, as "a photo of", with or without a full stop."""
    frame = rng.choices(_FRAMES, _WEIGHTS)[0]
    if plural and frame in ("there is {}", "this is {}"):
        frame = "there are {}"
    text = frame.format(phrase)
    if rng.random() < 0.03 and not text.endswith(("?", "please")):
        text += rng.choice(TAILS)
    if rng.random() < 0.12:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.1 and not text.endswith("?"):
        text += "."
    return text


def article(phrase: str) -> str:
    """ "a" or "an" in front of a phrase."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def noun(rng: random.Random, kind: str) -> str:
    """A word for the kind: mostly the plain one."""
    words = NOUNS.get(kind, (kind,))
    return words[0] if rng.random() < 0.78 else rng.choice(words)


def plural(word: str) -> str:
    """The plural of one of our nouns."""
    if word.endswith(("fish", "bonsai")):
        return word
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + "s"
