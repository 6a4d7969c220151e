"""Turns a scene into a picture: ground or landscape, shadows, subjects, weather, in that order."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from . import landscape, weather
from .canvas import Pen, enlarge, shrink, smooth
from .look import Look
from .palette import ACCENTS, COLOURS, RGB, TINTS, Tones, ground, mix, toned
from .scene import Scene, Subject
from .subjects import draw

SIZE = 256
STANDING = frozenset(("flower", "mushroom", "tree", "bonsai", "house", "cup", "cat", "bird"))
STONE = Tones((170, 174, 180), (138, 143, 152), (104, 110, 122), (60, 64, 76))
AFLOAT = frozenset(("boat",))


def render(scene: Scene, size: int = SIZE) -> Image.Image:
    """The picture of a scene, RGB, `size` x `size` pixels. The same scene is the same picture."""
    picture = _ground(scene, size)
    tint, share = landscape.light(scene.place.sky) if scene.place else ((255, 255, 255), 0.0)
    if scene.place is not None and scene.place.land in landscape.WATER:
        _reflect(picture, scene, (tint, share))
    canvas = enlarge(picture)
    for subject in scene.subjects:
        if scene.place is not None and scene.place.land in landscape.WATER and subject.kind in STANDING:
            _rock(canvas, subject, tint, share)
        elif subject.kind in STANDING:
            _shadow(canvas, picture, subject)
        elif subject.kind == "lantern" and _dark(scene):
            side, warm = canvas.width, (255, 206, 132)
            landscape.glow(canvas, (subject.cx * side, subject.cy * side), subject.r * side * 2.6, warm, 84)
    for subject in scene.subjects:
        draw(subject.kind, _pen(canvas, subject), _look(subject, tint, share * 0.3, lit=_dark(scene)))
    if scene.place is not None:
        weather.falling(canvas, scene.place.weather, scene.seed)
    return shrink(canvas)


def _ground(scene: Scene, size: int) -> Image.Image:
    if scene.place is None:
        return _paper(ground(scene.ground) if scene.ground else TINTS[scene.tint], size).copy()
    picture = landscape.backdrop(scene.place, scene.seed, size)
    if scene.place.weather == "mist":
        weather.mist(picture, scene.place.horizon)
    return picture


@lru_cache(maxsize=32)
def _paper(colour: RGB, size: int) -> Image.Image:
    """A plain ground, a little lighter at the top than at the foot."""
    rows = np.asarray(colour, float)[None] + np.linspace(4, -5, size)[:, None]
    return Image.fromarray(np.repeat(np.clip(np.rint(rows), 0, 255).astype(np.uint8)[:, None], size, axis=1))


def _pen(canvas: Image.Image, subject: Subject) -> Pen:
    side = canvas.width
    return Pen(canvas, subject.cx * side, subject.cy * side, subject.r * side, mirror=subject.mirror, tilt=subject.tilt)


def _dark(scene: Scene) -> bool:
    return scene.place is not None and scene.place.sky == "night"


def _look(subject: Subject, tint: RGB, share: float, *, lit: bool = False) -> Look:
    accent = subject.accent or (ACCENTS[subject.kind][1][0] if subject.kind in ACCENTS else "brown")
    tones, second = COLOURS[subject.colour], COLOURS[accent]
    if share > 0.0:
        tones, second = _dimmed(tones, tint, share), _dimmed(second, tint, share)
    return Look(tones, second, subject.form or "informal", subject.season, lit, subject.seed)


def _dimmed(tones: Tones, tint: RGB, share: float) -> Tones:
    return toned(tones, tint, share)._replace(line=tones.line)


def _shadow(canvas: Image.Image, picture: Image.Image, subject: Subject) -> None:
    """A flat shadow under what stands on something."""
    side, size = canvas.width, picture.width
    x, y = subject.cx, subject.cy + subject.r * 0.97
    half = subject.r * (0.82 if subject.kind in ("house", "bonsai", "cat", "cup") else 0.5)
    below = picture.getpixel((min(size - 1, round(x * size)), min(size - 1, round(y * size))))
    dark = mix(below, (30, 36, 60), 0.14)  # type: ignore[arg-type]  # an RGB picture's pixel is three numbers
    box = ((x - half) * side, (y - subject.r * 0.06) * side, (x + half) * side, (y + subject.r * 0.07) * side)
    ImageDraw.Draw(canvas).ellipse(box, fill=dark)


def _rock(canvas: Image.Image, subject: Subject, tint: RGB, share: float) -> None:
    """A flat rock to stand on, where all around is water."""
    side = canvas.width
    wide = subject.r * (1.25 if subject.kind == "bonsai" else 1.1)
    pen = Pen(canvas, subject.cx * side, (subject.cy + subject.r * 0.97) * side, wide * side)
    stone = toned(STONE, tint, share * 0.5)
    ring = smooth(
        (
            (-0.8, -0.08),
            (-0.3, -0.16),
            (0.3, -0.16),
            (0.82, -0.07),
            (0.98, 0.16),
            (0.5, 0.24),
            (-0.5, 0.24),
            (-0.98, 0.16),
        )
    )
    pen.shape(ring, stone.shade)
    pen.shape([(x * 0.9 - 0.02, y * 0.62 - 0.04) for x, y in ring], stone.main)
    pen.shape([(x * 0.6 - 0.1, y * 0.24 - 0.07) for x, y in ring], stone.light)


def _reflect(picture: Image.Image, scene: Scene, hour: tuple[RGB, float]) -> None:
    """The boats upside down in the water, faintly."""
    tint, share = hour
    size = picture.width
    for subject in scene.subjects:
        if subject.kind not in AFLOAT:
            continue
        canvas = enlarge(picture)
        draw(subject.kind, _pen(canvas, subject), _look(subject, tint, share * 0.3))
        upper = shrink(canvas)
        line = round((subject.cy + subject.r * 0.9) * size)
        deep = min(size - line, round(subject.r * 1.1 * size))
        if deep <= 0:
            continue
        box = (round((subject.cx - subject.r) * size), line - deep, round((subject.cx + subject.r) * size), line)
        mirror = upper.crop(box).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        under = (box[0], line, box[2], line + deep)
        picture.paste(Image.blend(picture.crop(under), mirror, 0.26), under)
