"""The training distribution: which kinds of scene, how often, and none that evaluation will ask for."""

import random
from collections.abc import Callable

from . import layouts, places
from .holdout import is_held_out
from .scene import Scene

MIXTURE: tuple[tuple[Callable[[random.Random], Scene], float], ...] = (
    (layouts.single, 19.0),
    (layouts.corner, 4.0),
    (layouts.counted, 17.0),
    (layouts.related, 22.0),
    (lambda rng: layouts.related(rng, "left", layout="two"), 12.0),
    (layouts.listed, 4.0),
    (places.empty, 7.0),
    (places.alone, 7.0),
    (places.several, 5.0),
    (places.together, 5.0),
    (places.bonsai_scene, 9.0),
)
_MAKERS = tuple(maker for maker, _ in MIXTURE)
_WEIGHTS = tuple(weight for _, weight in MIXTURE)


def sample(rng: random.Random) -> Scene:
    """One training scene; never one that `holdout.is_held_out`."""
    maker = rng.choices(_MAKERS, _WEIGHTS)[0]
    while True:
        scene = maker(rng)
        if not is_held_out(scene):
            return scene
