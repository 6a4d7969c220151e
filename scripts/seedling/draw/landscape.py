"""Backdrops: skies, sun and moon, mountains, land, and water with reflections.

Draws a `Place` and nothing that stands in it. All that is free comes from the seed handed in.
"""

import math
import random
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from .canvas import OVERSAMPLING, Pen, Point, enlarge, shrink, smooth
from .look import Look
from .palette import COLOURS, RGB, Tones, mix
from .scene import Place
from .subjects import moon as crescent

Stops = tuple[RGB, RGB, RGB]  # zenith, middle, horizon
SKIES: dict[str, tuple[Stops, ...]] = {
    "day": (((92, 164, 230), (152, 202, 242), (222, 240, 248)), ((104, 182, 226), (168, 216, 238), (232, 244, 240))),
    "dawn": (((148, 180, 226), (240, 196, 210), (255, 232, 204)), ((172, 188, 226), (232, 206, 220), (255, 226, 212))),
    "sunset": (((92, 72, 142), (236, 118, 104), (255, 206, 122)), ((206, 84, 92), (246, 146, 92), (255, 222, 150))),
    "night": (((13, 19, 52), (28, 42, 96), (62, 84, 146)), ((20, 18, 52), (42, 40, 104), (88, 80, 150))),
    "grey": (((124, 140, 156), (164, 177, 189), (206, 213, 218)), ((136, 146, 158), (176, 184, 192), (212, 216, 218))),
    "winter": (
        ((146, 178, 210), (190, 210, 230), (230, 239, 246)),
        ((168, 184, 208), (204, 214, 228), (236, 240, 246)),
    ),
}
COLOURED = ("red", "orange", "yellow", "green", "blue", "purple", "pink")  # skies that go by their colour
LANDS: dict[str, tuple[RGB, RGB]] = {  # far and near
    "meadow": ((144, 194, 104), (92, 154, 80)),
    "snow": ((240, 245, 250), (222, 232, 244)),
    "desert": ((242, 212, 152), (224, 180, 112)),
    "garden": ((234, 226, 206), (220, 208, 182)),
    "table": ((168, 118, 78), (140, 94, 60)),
    "lake": ((120, 176, 200), (58, 116, 158)),
    "sea": ((74, 140, 200), (32, 84, 158)),
}
LIGHT: dict[str, tuple[RGB, float]] = {  # what the hour does to the colours of the land
    "day": ((255, 255, 255), 0.0),
    "dawn": ((236, 196, 196), 0.22),
    "sunset": ((176, 78, 84), 0.34),
    "night": ((20, 28, 74), 0.62),
    "grey": ((142, 154, 164), 0.32),
    "winter": ((206, 218, 232), 0.12),
}
WATER = ("lake", "sea")


def backdrop(place: Place, seed: int, size: int) -> Image.Image:
    """The place without weather, `size` x `size` pixels."""
    rng = random.Random(seed)
    stops = _stops(place.sky, rng)
    canvas = enlarge(_sky(stops, size))
    if place.sky == "night":
        _stars(canvas, rng, place.horizon)
    _body(canvas, place, stops)
    if place.clouds:
        _clouds(canvas, rng, stops)
    if place.heights:
        _heights(canvas, place, stops, rng)
    if place.land in WATER:
        return _water(shrink(canvas), place, stops, rng)
    _land(canvas, place, rng)
    return shrink(canvas)


def light(sky: str) -> tuple[RGB, float]:
    """The colour of the hour and how strongly it tints what stands in it."""
    return LIGHT.get(sky, (COLOURS[sky].main, 0.16) if sky in COLOURS else LIGHT["day"])


def _stops(sky: str, rng: random.Random) -> Stops:
    variant = rng.random()
    if sky in COLOURED:
        t = COLOURS[sky]
        return mix(t.main, t.shade, 0.3 * variant), mix(t.main, t.light, 0.55), mix(t.light, (255, 255, 255), 0.35)
    choices = SKIES[sky]
    return choices[int(variant * len(choices))]


@lru_cache(maxsize=64)
def _sky(stops: Stops, size: int) -> Image.Image:
    at = np.linspace(0, 1, size)
    rows = np.stack([np.interp(at, (0.0, 0.38, 0.7), [stop[c] for stop in stops]) for c in range(3)], 1)
    return Image.fromarray(np.repeat(np.rint(rows).astype(np.uint8)[:, None], size, axis=1))


def spread(rng: random.Random, columns: int, rows: int) -> list[Point]:
    """Points of the unit square, one a cell: scattered, yet never bunched."""
    return [
        ((i + rng.uniform(0.2, 0.8)) / columns, (j + rng.uniform(0.2, 0.8)) / rows)
        for i in range(columns)
        for j in range(rows)
    ]


def _stars(canvas: Image.Image, rng: random.Random, horizon: float) -> None:
    draw, side = ImageDraw.Draw(canvas), canvas.width
    for k, (x, y) in enumerate(spread(rng, 6, 4)):
        cx, cy, r = x * side, y * horizon * 0.9 * side, (1.0, 1.3, 1.8)[k % 3] * side / 256
        if k % 8 == 3:
            draw.polygon(_sparkle(cx, cy, 4.4 * side / 256), fill=(255, 246, 206))
        else:
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=(236, 238, 250))


def _sparkle(cx: float, cy: float, r: float) -> list[Point]:
    turns = [(k * math.pi / 4, r if k % 2 == 0 else r * 0.3) for k in range(8)]
    return [(cx + q * math.cos(a), cy + q * math.sin(a)) for a, q in turns]


@lru_cache(maxsize=48)
def _halo(radius: int, strength: int) -> Image.Image:
    """A round mask that fades outwards from `strength` of 255."""
    at = np.linspace(-1, 1, 2 * radius)
    fade = np.clip(1 - np.hypot(at[:, None], at[None, :]), 0, 1) ** 1.6
    return Image.fromarray((fade * strength).astype(np.uint8))


def glow(canvas: Image.Image, at: Point, radius: float, colour: RGB, strength: int) -> None:
    """Light around a lamp or a moon, fading outwards from `strength` of 255."""
    mask = _halo(round(radius / 8) * 8, strength)
    canvas.paste(colour, (round(at[0] - mask.width / 2), round(at[1] - mask.height / 2)), mask)


def _body(canvas: Image.Image, place: Place, stops: Stops) -> None:
    """Sun, full moon or crescent, with its glow."""
    if not place.body:
        return
    side = canvas.width
    cx, cy = place.body_x * side, place.body_y * side
    tones = body_tones(place)
    r = side * (0.082 if place.body != "crescent" else 0.09)
    glow(canvas, (cx, cy), r * 3.2, mix(tones.light, stops[1], 0.15), 150 if place.body == "sun" else 110)
    pen = Pen(canvas, cx, cy, r, tilt=-0.3 if place.body == "crescent" else 0.0)
    if place.body == "crescent":
        crescent(pen, Look(tones))
        return
    pen.disc(0, 0, 1.0, tones.main)
    if place.body == "sun":
        pen.disc(-0.05, -0.06, 0.84, mix(tones.main, tones.light, 0.6))
    else:
        for x, y, q in ((-0.35, -0.25, 0.22), (0.3, 0.1, 0.28), (-0.15, 0.45, 0.16), (0.25, -0.5, 0.12)):
            pen.disc(x, y, q, mix(tones.main, tones.shade, 0.55))


def body_tones(place: Place) -> Tones:
    """The colours of the sun or the moon: as asked, else as the hour wants it."""
    if place.body_colour:
        return COLOURS[place.body_colour]
    if place.body == "sun":
        return COLOURS["orange"] if place.sky in ("sunset", "dawn", "yellow") else COLOURS["yellow"]
    return Tones((255, 250, 226), (250, 240, 204), (220, 206, 170), (132, 118, 96))


def _clouds(canvas: Image.Image, rng: random.Random, stops: Stops) -> None:
    """Two or three flat clouds without outlines, lit by the sky they hang in."""
    side = canvas.width
    pale = mix(stops[2], (255, 255, 255), 0.55)
    for x, y, w in ((0.2, 0.16, 0.13), (0.62, 0.1, 0.1), (0.88, 0.3, 0.12)):
        pen = Pen(canvas, (x + rng.uniform(-0.06, 0.06)) * side, (y + rng.uniform(-0.03, 0.03)) * side, w * side)
        pen.shape([(-0.95, 0.1), (0.95, 0.1), (0.8, 0.3), (-0.8, 0.3)], pale)
        for bx, by, br in ((-0.55, 0.02, 0.26), (-0.1, -0.12, 0.38), (0.42, -0.02, 0.29)):
            pen.disc(bx, by, br, pale)
        for bx in (-0.85, 0.85):
            pen.disc(bx, 0.2, 0.1, pale)


def _heights(canvas: Image.Image, place: Place, stops: Stops, rng: random.Random) -> None:
    """Ranges one behind another, each paler than the one before it."""
    tint, share = light(place.sky)
    rock = (96, 118, 150) if place.heights == "mountains" else (104, 152, 110)
    base = (place.horizon + 0.03 * (place.land not in WATER)) * canvas.width + OVERSAMPLING
    for depth, paleness in enumerate((0.62, 0.3)):
        colour = mix(mix(rock, tint, share), stops[2], paleness)
        if place.heights == "hills":
            _hill(canvas, rng, base, 0.1 - 0.035 * depth, colour)
        else:
            _peaks(canvas, rng, base, depth, colour, snowy=mix((250, 252, 255), mix(tint, stops[2], 0.4), share * 0.8))


def _hill(canvas: Image.Image, rng: random.Random, base: float, height: float, colour: RGB) -> None:
    side = canvas.width
    phase, waves = rng.uniform(0, 6.3), rng.uniform(1.2, 1.8)
    x = np.linspace(0, 1, 48)
    y = base - side * height * (1.0 + 0.7 * np.sin(phase + 2 * math.pi * waves * x))
    ridge = [(float(a * side), float(b)) for a, b in zip(x, y, strict=True)]
    ImageDraw.Draw(canvas).polygon([*ridge, (side, base), (0, base)], fill=colour)


def _peaks(canvas: Image.Image, rng: random.Random, base: float, depth: int, colour: RGB, snowy: RGB) -> None:
    """Three mountains of one range; the far range is lower, the near one carries snow."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    places = ((0.1, 0.2), (0.5, 0.24), (0.9, 0.19)) if depth == 0 else ((0.26, 0.27), (0.78, 0.22))
    for at, height in places:
        x, tall = (at + rng.uniform(-0.06, 0.06)) * side, height * rng.uniform(0.9, 1.12) * side
        wide, skew = tall * rng.uniform(0.95, 1.15), rng.uniform(-0.12, 0.12) * tall
        top = (x + skew, base - tall)
        draw.polygon([(x - wide, base), top, (x + wide, base)], fill=colour)
        draw.polygon([top, (x + wide, base), (x + wide * 0.3, base), (x + skew * 0.4 + wide * 0.12, base - tall * 0.5)],
                     fill=mix(colour, (40, 50, 84), 0.14))  # fmt: skip
        if depth:
            _snowcap(draw, top, (x - wide, base), (x + wide, base), snowy)


def _snowcap(draw: ImageDraw.ImageDraw, top: Point, left: Point, right: Point, colour: RGB) -> None:
    def along(end: Point, share: float) -> Point:
        return top[0] + (end[0] - top[0]) * share, top[1] + (end[1] - top[1]) * share

    a, b = along(left, 0.34), along(right, 0.34)
    wide, low = b[0] - a[0], a[1]
    drop = (low - top[1]) * 0.42
    teeth = [
        (a[0] + wide * s, low - drop * d) for s, d in ((0.82, 0.75), (0.66, 0.1), (0.5, 0.8), (0.34, 0.05), (0.18, 0.7))
    ]
    draw.polygon([top, b, *teeth, a], fill=colour)


def _land(canvas: Image.Image, place: Place, rng: random.Random) -> None:
    side, (far, near) = canvas.width, LANDS[place.land]
    tint, share = light(place.sky)
    if place.land == "snow":
        share *= 0.72  # snow stays the brightest thing there is
    far, near = mix(far, tint, share), mix(near, tint, share)
    if place.land == "table":
        _table(canvas, place.horizon * side, far, near)
        return
    if place.land == "garden":
        _garden(canvas, place.horizon * side, far, near, rng)
        return
    swell = 0.012 if place.land != "desert" else 0.03
    for level, colour in ((0.0, far), (0.12, mix(far, near, 0.55)), (0.24, near)):
        x = np.linspace(0, 1, 40)
        y = (
            place.horizon + level + swell * np.sin(rng.uniform(0, 6.3) + 2 * math.pi * rng.uniform(0.7, 1.2) * x)
        ) * side
        edge = [(float(a * side), float(b)) for a, b in zip(x, y, strict=True)]
        ImageDraw.Draw(canvas).polygon([*edge, (side, side), (0, side)], fill=colour)


def _table(canvas: Image.Image, top: float, far: RGB, near: RGB) -> None:
    """A wooden board, nearer edge in front."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    draw.rectangle((0, top, side, side), fill=far)
    for share in (0.3, 0.6):
        y = top + (side - top) * share
        draw.line((0, y, side, y), fill=mix(far, near, 0.55), width=OVERSAMPLING + 2)
    draw.rectangle((0, top + (side - top) * 0.86, side, side), fill=near)


def _garden(canvas: Image.Image, top: float, far: RGB, near: RGB, rng: random.Random) -> None:
    """Raked sand: a clipped hedge behind, lines in the gravel, a few stones."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    draw.rectangle((0, top, side, side), fill=far)
    hedge = mix((98, 142, 92), near, 0.25)
    draw.rectangle((0, top - 0.045 * side, side, top), fill=hedge)
    draw.rectangle((0, top - 0.045 * side, side, top - 0.033 * side), fill=mix(hedge, (236, 244, 210), 0.25))
    for k in range(1, 6):
        y = top + (side - top) * (k / 6) ** 1.3
        x = np.linspace(0, 1, 24)
        wave = y + np.sin(2 * math.pi * x + k) * 0.006 * side
        draw.line(
            [(float(a * side), float(b)) for a, b in zip(x, wave, strict=True)], fill=mix(far, near, 0.9), width=6
        )
    stone = mix((132, 138, 146), near, 0.2)
    for at, wide in ((rng.uniform(0.06, 0.14), 0.1), (rng.uniform(0.86, 0.94), 0.08)):
        pen = Pen(canvas, at * side, top + 0.06 * side, wide * side)
        ring = smooth(((-0.9, 0.3), (-0.6, -0.36), (0.0, -0.62), (0.62, -0.3), (0.9, 0.3), (0.0, 0.42)))
        pen.shape(ring, stone)
        pen.shape([(a * 0.7 - 0.12, b * 0.7 - 0.12) for a, b in ring], mix(stone, (255, 255, 255), 0.25))


def _water(above: Image.Image, place: Place, stops: Stops, rng: random.Random) -> Image.Image:
    """Lays water below the horizon: the sky and the mountains upside down, drowned in the water's own colour."""
    size = above.width
    level = round(place.horizon * size)
    tint, share = light(place.sky)
    far, near = (mix(colour, tint, share) for colour in LANDS[place.land])
    deep = _sky((far, mix(far, near, 0.6), near), size).resize((size, size - level))
    mirror = above.crop((0, max(0, 2 * level - size), size, level)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((size, size - level))
    above.paste(Image.blend(deep, mirror, 0.42 if place.land == "lake" else 0.24), (0, level))
    canvas = enlarge(above)
    _ripples(canvas, place, level, mix(stops[2], (255, 255, 255), 0.3), rng)
    return shrink(canvas)


def _ripples(canvas: Image.Image, place: Place, level: int, glint: RGB, rng: random.Random) -> None:
    draw, side = ImageDraw.Draw(canvas), canvas.width
    top = level * OVERSAMPLING
    faint = mix(glint, LANDS[place.land][1], 0.5)
    for k, (x, y) in enumerate(spread(rng, 4, 4)):
        half = (0.05 + 0.05 * y) * side
        _dash(
            draw,
            x * side,
            top + (side - top) * (y * 0.9 + 0.08),
            half,
            (1.1 + 0.9 * y) * OVERSAMPLING,
            faint if k % 2 else glint,
        )
    if place.body:
        shine = mix(body_tones(place).light, glint, 0.2)
        for k in range(6):
            y = (k + 0.6) / 7
            half = (0.07 - 0.03 * abs(0.5 - y)) * side * (1.0, 0.6, 0.85)[k % 3]
            _dash(draw, place.body_x * side, top + (side - top) * y, half, 2 * OVERSAMPLING, shine)


def _dash(draw: ImageDraw.ImageDraw, x: float, y: float, half: float, thick: float, colour: RGB) -> None:
    draw.ellipse((x - half, y - thick / 2, x + half, y + thick / 2), fill=colour)
