"""Is the judge right? What it says of our own drawings, clean, shaky and scrambled, beside captions true and false."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..draw.render import render
from .expectations import Prompt
from .judge import judge
from .prompts import clean_scene

SHAKES = 3.0  # pixels by which points of a shaky drawing are off: standard deviation
SHAKES_APART = 16  # pixels between places that move on their own
NOISE = 4.0  # levels
PIECE = 4  # pixels: side of the pieces of a scrambled drawing


class Trust(NamedTuple):
    """Shares of drawings that the judge passes: clean ones beside their own caption, shaky ones beside their own, clean
    ones beside another caption of the category, scrambled ones beside their own."""

    right: float
    shaken: float
    shuffled: float
    scrambled: float


def trust(prompts: Sequence[Prompt], seed: int = 0) -> Trust:
    """Draw what each prompt asks for; judge it clean, shaken, beside the next prompt, and scrambled."""
    right = shaken = shuffled = muddled = 0
    for index, prompt in enumerate(prompts):
        picture = render(clean_scene(prompt, random.Random(f"{seed} {prompt.text}")))
        right += judge(picture, prompt).passed
        shaken += judge(shaky(picture, seed + index), prompt).passed
        shuffled += judge(picture, prompts[(index + 1) % len(prompts)]).passed
        muddled += judge(scrambled(picture, seed + index), prompt).passed
    return Trust(*(passed / len(prompts) for passed in (right, shaken, shuffled, muddled)))


def shaky(picture: Image.Image, seed: int) -> Image.Image:
    """The picture with its points moved a little, neighbours alike, and some noise: outlines as of a trained model."""
    generator = np.random.default_rng(seed)
    side = picture.size[0]
    places = np.arange(side)
    off_y, off_x = (np.asarray(_smooth(generator.normal(0, SHAKES, (side // SHAKES_APART,) * 2), side)) for _ in "yx")
    rows = np.clip(np.rint(places[:, None] + off_y), 0, side - 1).astype(int)
    columns = np.clip(np.rint(places[None] + off_x), 0, side - 1).astype(int)
    moved = np.asarray(picture.convert("RGB"), np.float64)[rows, columns]
    return Image.fromarray(np.clip(moved + generator.normal(0, NOISE, moved.shape), 0, 255).astype(np.uint8))


def scrambled(picture: Image.Image, seed: int) -> Image.Image:
    """The picture's pieces in any order: its colours without its shapes."""
    count = picture.size[0] // PIECE
    pixels = np.asarray(picture.convert("RGB"))[: count * PIECE, : count * PIECE]
    pieces = pixels.reshape(count, PIECE, count, PIECE, 3).swapaxes(1, 2).reshape(-1, PIECE, PIECE, 3)
    mixed = np.random.default_rng(seed).permutation(pieces).reshape(count, count, PIECE, PIECE, 3)
    return Image.fromarray(mixed.swapaxes(1, 2).reshape(pixels.shape))


def _smooth(values: NDArray[np.float64], side: int) -> Image.Image:
    return Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
