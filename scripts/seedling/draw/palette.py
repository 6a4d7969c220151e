"""The colours of the drawings: ten named ones in four tones, the tints of unnamed grounds, what things wear by nature.

Knows nothing of shapes, scenes or words beyond the ten colour names and the names of the subjects.
"""

from typing import NamedTuple

RGB = tuple[int, int, int]


class Tones(NamedTuple):
    """One colour as a painter mixes it: lit side, body, shaded side, outline."""

    light: RGB
    main: RGB
    shade: RGB
    line: RGB


COLOURS: dict[str, Tones] = {
    "red": Tones((238, 102, 90), (214, 52, 50), (172, 34, 44), (98, 18, 30)),
    "orange": Tones((253, 178, 94), (240, 136, 42), (206, 102, 28), (106, 46, 12)),
    "yellow": Tones((255, 232, 132), (249, 207, 64), (222, 168, 40), (100, 66, 12)),
    "green": Tones((126, 198, 112), (70, 160, 82), (42, 122, 70), (20, 68, 44)),
    "blue": Tones((110, 166, 238), (54, 110, 212), (36, 78, 168), (18, 40, 96)),
    "purple": Tones((178, 126, 214), (134, 78, 178), (100, 54, 142), (54, 26, 82)),
    "pink": Tones((253, 192, 212), (243, 143, 179), (217, 105, 149), (114, 38, 74)),
    "brown": Tones((178, 130, 90), (137, 92, 58), (104, 66, 42), (56, 34, 22)),
    "black": Tones((86, 88, 100), (47, 48, 57), (31, 31, 39), (10, 10, 14)),
    "white": Tones((255, 255, 255), (250, 249, 245), (222, 226, 232), (72, 78, 94)),
}
NAMES = tuple(COLOURS)

# Grounds nobody asked for: quiet, so that every one of the ten colours stands out against them.
TINTS: dict[str, RGB] = {
    "cream": (240, 231, 211),
    "mist": (208, 219, 228),
    "sage": (209, 224, 205),
    "blush": (240, 217, 212),
    "lilac": (221, 214, 234),
    "sand": (231, 219, 197),
    "sky": (201, 221, 240),
    "pearl": (222, 225, 229),
}

# What each subject wears when no colour is asked for, the commonest first.
NATURAL: dict[str, tuple[str, ...]] = {
    "circle": ("red", "blue", "orange"),
    "square": ("blue", "green", "purple"),
    "triangle": ("green", "orange", "blue"),
    "star": ("yellow", "orange"),
    "heart": ("red", "pink"),
    "sun": ("yellow", "orange"),
    "moon": ("yellow", "white"),
    "cloud": ("white",),
    "flower": ("pink", "red", "yellow"),
    "mushroom": ("red", "brown"),
    "tree": ("green",),
    "bonsai": ("green",),
    "house": ("white", "yellow"),
    "boat": ("red", "blue", "brown"),
    "lantern": ("red", "orange"),
    "cup": ("blue", "white", "green"),
    "fish": ("orange", "red"),
    "bird": ("blue", "red"),
    "cat": ("orange", "black", "white"),
    "butterfly": ("orange", "blue", "purple"),
}
KINDS = tuple(NATURAL)

# The second part a caption may colour, and what it wears by nature.
ACCENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bonsai": ("pot", ("brown", "blue", "white")),
    "house": ("roof", ("red", "brown")),
    "boat": ("sail", ("white",)),
}


def contrast_accent(kind: str, colour: str) -> str:
    """The natural colour of the kind's second part that is not `colour`; "" for a kind without one."""
    return next((name for name in ACCENTS[kind][1] if name != colour), "yellow") if kind in ACCENTS else ""


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """The colour `share` of the way from `a` to `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def toned(tones: Tones, towards: RGB, share: float) -> Tones:
    """All four tones moved `share` of the way to one colour: dusk, mist, moonlight."""
    return Tones(*(mix(tone, towards, share) for tone in tones))


def ground(name: str) -> RGB:
    """The paper for "on a NAME background": paler than a subject of that colour would be."""
    main = COLOURS[name].main
    return main if name in ("black", "white") else mix(main, (255, 255, 255), 0.26)
