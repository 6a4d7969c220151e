"""The training pairs: pictures with their captions.

Item i depends on the seed and on i alone, so that several processes may each draw a share, in any order, and a resumed
run sees what it would have seen.
"""

import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..judge import prompts
from .captions import caption
from .render import SIZE, render
from .sampling import sample

Picture = NDArray[np.uint8]  # [size, size, 3]
CAPTIONS = 4  # of each picture
SPOKEN = 3  # words from which on a prompt of the evaluation is no training caption; "bonsai" may be one


def pair(index: int, seed: int = 0, size: int = SIZE) -> tuple[Picture, tuple[str, ...]]:
    """Item `index` of the data that `seed` stands for."""
    rng = random.Random(f"{seed}/{index}")
    scene = sample(rng)
    texts: list[str] = []
    while len(texts) < CAPTIONS:
        text = caption(scene, rng)
        if plain_words(text) not in _reserved():
            texts.append(text)
    return np.asarray(render(scene, size)), tuple(texts)


def plain_words(text: str) -> str:
    """The text without capitals and full stops: two texts that differ in these alone are one."""
    return text.lower().rstrip(".?").replace(",", "")


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    """The free prompts of the evaluation that are sentences rather than single words."""
    return frozenset(plain_words(p.text) for p in prompts.free() if len(p.text.split()) >= SPOKEN)
