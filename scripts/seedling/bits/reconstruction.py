"""How good an exported autoencoder of bits is, measured with the engine that runs it: on pictures that it has not seen.

PSNR of pictures after a way through bits; how many bits another way through changes; and whether the judge still finds
in a drawing what its prompt asks for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonsai_mlx.bits.codec import Codec

from ..draw.render import render
from ..judge.expectations import Prompt
from ..judge.judge import judge
from ..judge.prompts import clean_scene

Pixels = NDArray[np.uint8]
LEAST_PSNR, LEAST_PASSED, MOST_CHANGED = 32.0, 0.98, 0.02  # the gate: docs/bits.md


def measured(folder: Path, pixels: Pixels, prompts: Mapping[str, Sequence[Prompt]]) -> dict[str, Any]:
    """What comes of held-back pictures [count, side, side, 3], and of clean drawings of prompts by category."""
    codec = Codec.from_pretrained(folder)
    ways = [_through(codec, Image.fromarray(picture)) for picture in pixels]
    made = [np.asarray(picture, np.float64) for picture, _ in ways]
    errors = [float(np.square(one - picture).mean()) for one, picture in zip(made, pixels, strict=True)]
    categories = {name: _judged(codec, chosen) for name, chosen in prompts.items()}
    return {
        "pictures": len(pixels),
        "psnr": round(psnr(sum(errors) / len(errors)), 2),
        "worst_psnr": round(psnr(max(errors)), 2),
        "bits_changed": round(sum(changed for _, changed in ways) / len(ways), 4),
        "judged": categories,
    }


def passes(found: Mapping[str, Any]) -> bool:
    """Whether it is good enough to train a model of its codes."""
    kept = [one["reconstructed"] for one in found["judged"].values()]
    good = found["psnr"] >= LEAST_PSNR and found["bits_changed"] < MOST_CHANGED
    return bool(good and all(share >= LEAST_PASSED for share in kept))


def psnr(mean_square: float) -> float:
    """dB of a mean squared error of levels; an exact picture has as many as eight bits can tell, and ten."""
    return 10 * math.log10(255**2 / max(mean_square, 1e-3))


def _through(codec: Codec, picture: Image.Image) -> tuple[Image.Image, float]:
    """The picture after a way through bits, and the part of these that a second way changes."""
    code = codec.encode(picture)
    made = codec.decode(code)
    distance = codec.encode(made).distance(code)
    assert distance is not None  # of one model and size
    return made, distance / (8 * len(code.bits))


def _judged(codec: Codec, prompts: Sequence[Prompt]) -> dict[str, float]:
    """Shares that pass: of the clean drawings, and of those of them that do, after a way through bits."""
    drawn = [(render(clean_scene(prompt, random.Random(f"0 {prompt.text}"))), prompt) for prompt in prompts]
    right = [(picture, prompt) for picture, prompt in drawn if judge(picture, prompt).passed]
    kept = sum(judge(codec.decode(codec.encode(picture)), prompt).passed for picture, prompt in right)
    return {"clean": round(len(right) / len(drawn), 3), "reconstructed": round(kept / max(1, len(right)), 3)}
