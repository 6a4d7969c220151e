"""Recognises a landscape: its sky, its land, its weather, sun or moon. Compares with our own drawn places."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..draw.landscape import COLOURED, LANDS, SKIES, WATER, backdrop
from ..draw.scene import Place
from ..draw.weather import MIST
from .expectations import Expectation
from .segmentation import GREY, Pixels, grown, label, pixels_of, shrunk

SKY_ROWS, LAND_ROWS = (0.02, 0.1, 0.2, 0.32), (0.74, 0.82, 0.9, 0.97)
_FOOT = 0.7  # from here down lies the land
_BROKEN = 0.6  # strokes to dots, at least, in rain: a model's strokes break, and some of snow's dots run together
CRESCENT = 0.46  # the share of its bounds that a crescent covers, at most; of drawn full moons 98 in 100 cover more
VARIANTS = (1, 2, 3, 5)  # seeds that between them show every variant of a sky


def missing(pixels: Pixels, expected: Expectation) -> str:
    """What the place lacks that the prompt names; "" if nothing."""
    sky, land = place_of(pixels)
    if expected.sky and sky != expected.sky:
        return f"the sky is {sky}, not {expected.sky}"
    if expected.land and land != expected.land and not {land, expected.land} <= set(WATER):
        return f"the land is {land}, not {expected.land}"
    if expected.weather in ("rain", "snow") and weather_of(pixels) != expected.weather:
        return f"there is no {expected.weather}"
    if expected.weather == "mist" and not is_misty(pixels):
        return "there is no mist"
    if expected.body and not has_body(pixels, full=expected.body == "moon"):
        return f"there is no {expected.body}"
    if expected.heights and not has_heights(pixels):
        return f"there are no {expected.heights}"
    return ""


def place_of(pixels: Pixels) -> tuple[str, str]:
    """The names of the sky and the land that come nearest, judged at the left and right borders."""
    skies, lands, names = _places()
    sky, land = _edge_colours(pixels, SKY_ROWS), _edge_colours(pixels, LAND_ROWS)
    far = np.abs(skies - sky).mean(1)
    best = names[int(far.argmin())][0]
    same = np.array([name[0] == best for name in names])
    return best, names[int(np.where(same, np.abs(lands - land).mean(1), np.inf).argmin())][1]


def _edge_colours(pixels: Pixels, rows: tuple[float, ...]) -> NDArray[np.float64]:
    """The border's colour at some heights: the median of a few pixels, flakes and drops outvoted."""
    side = len(pixels)
    found = []
    for row in rows:
        y = round(row * side)
        band = pixels[max(0, y - 3) : y + 4]
        found.append(np.median(np.concatenate([band[:, :14].reshape(-1, 3), band[:, -14:].reshape(-1, 3)]), axis=0))
    return np.concatenate(found)


@lru_cache(maxsize=1)
def _places() -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[str, str]]]:
    skies, lands, names = [], [], []
    for sky in (*SKIES, *COLOURED):
        for land in LANDS:
            for seed in VARIANTS:
                drawn = pixels_of(backdrop(Place(sky, land), seed, 128))
                skies.append(_edge_colours(drawn, SKY_ROWS))
                lands.append(_edge_colours(drawn, LAND_ROWS))
                names.append((sky, land))
    return np.stack(skies), np.stack(lands), names


def weather_of(pixels: Pixels) -> str:
    """ "rain" for many bright upright strokes, "snow" for many bright dots down to the foot of the picture, else ""."""
    image = Image.fromarray((pixels @ GREY).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))  # against grain
    grey = np.asarray(image)
    bright = grey - grown(shrunk(grey, 9), 9).astype(np.float64) > 6
    labels, count = label(bright)
    if count == 0:
        return ""
    strokes = dots = low = 0
    for k in range(1, count + 1):
        ys, xs = np.nonzero(labels == k)
        tall, wide = np.ptp(ys) + 1, np.ptp(xs) + 1
        strokes += bool(tall >= 7 and tall > 1.4 * wide)
        if 3 <= tall <= 9 and 3 <= wide <= 1.5 * tall:
            dots += 1
            low += bool(ys.mean() > _FOOT * len(grey))
    if strokes >= 8 and strokes > _BROKEN * dots:
        return "rain"
    return "snow" if dots >= 8 and low >= 5 else ""  # stars stay above


def is_misty(pixels: Pixels) -> bool:
    """Whether the foot of the picture is paler than the land above it, as it is behind a band of mist."""
    *land, foot = (float(np.linalg.norm(_edge_colours(pixels, (row,)) - MIST)) for row in (0.8, 0.86, 0.96))
    return max(land) - foot > 3


def has_body(pixels: Pixels, *, full: bool = False) -> bool:
    """Whether something of a sun's or moon's size stands out from the sky's own colour at its height; a `full` one
    fills its bounds, which a crescent in its glow does not."""
    side = len(pixels)
    sky = pixels[: round(0.36 * side)]
    edge = np.median(np.concatenate([sky[:, :10], sky[:, -10:]], axis=1), axis=1)[:, None]
    away = np.linalg.norm(sky - edge, axis=-1)
    labels, count = label(away > 55)
    for k in range(1, count + 1):
        (top, tall), (left, wide) = (_extent(places) for places in np.nonzero(labels == k))
        if not (0.1 <= tall / side <= 0.32 and 0.1 <= wide / side <= 0.32 and 0.6 < wide / tall < 1.6):
            continue
        if not full or _filling(away[top : top + tall, left : left + wide]) > CRESCENT:
            return True
    return False


def _extent(places: NDArray[np.int64]) -> tuple[int, int]:
    return int(places.min()), int(np.ptp(places)) + 1


def _filling(away: NDArray[np.float64]) -> float:
    """The share of its bounds that the brightest part covers; the glow around it is left out."""
    core = away > 0.62 * np.percentile(away, 95)
    tall, wide = (_extent(places)[1] for places in np.nonzero(core))
    return float(core.sum() / (tall * wide))


def has_heights(pixels: Pixels) -> bool:
    """Whether the air above the horizon differs from place to place, as it does behind mountains."""
    side = len(pixels)
    band = pixels[round(0.5 * side) : round(0.58 * side)]
    return bool(np.abs(band - np.median(band, axis=1, keepdims=True)).mean() > 3)
