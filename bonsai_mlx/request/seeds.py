"""Seeds: random ones, and those of a batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from .fields import MAX_SEED


def random_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def consecutive_seeds(first: int, count: int) -> Iterator[int]:
    """`count` seeds from `first` on; after the largest comes 0."""
    return ((first + offset) % (MAX_SEED + 1) for offset in range(count))
