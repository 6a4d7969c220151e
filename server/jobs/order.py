"""What a caller wants drawn, with nothing left open."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bonsai_mlx.request import MAX_SEED, consecutive_seeds


@dataclass(frozen=True, slots=True)
class Order:
    """One picture to make."""

    model: str
    prompt: str
    seed: int
    steps: int
    width: int
    height: int


def random_seed() -> int:
    """Any seed, each as likely as the others."""
    return secrets.randbelow(MAX_SEED + 1)


def batch(order: Order, count: int) -> Iterable[Order]:
    """The same picture with `count` consecutive seeds; after the largest comes 0."""
    for seed in consecutive_seeds(order.seed, count):
        yield replace(order, seed=seed)
