"""A distribution of eight bits that can be enumerated, and what a perfect network says of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
BITS = 8
STATES: Array = np.array(list(itertools.product((-1.0, 1.0), repeat=BITS)))  # [256, 8]


def distribution(seed: int) -> Array:
    """Probabilities [256] of correlated bits."""
    weights = np.random.default_rng(seed).gamma(1.0, size=len(STATES))
    return weights / weights.sum()


def leave_one_out(kept: float, truth: Array) -> Array:
    """For each of the 256 noisy states, at a level that keeps a share `kept`: logits [256, 8] of a bit of the picture
    being +1, given the other bits."""
    likely = np.log((1 + kept * STATES[:, None] * STATES) / 2 + 1e-300)  # [noisy, clean, bits]
    joint = np.exp(likely.sum(2, keepdims=True) - likely) * truth[None, :, None]
    ones = STATES[None] > 0
    return np.log((joint * ones).sum(1) + 1e-300) - np.log((joint * ~ones).sum(1) + 1e-300)


def places(samples: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where samples [n, 8] are among the states."""
    return ((samples > 0) @ (1 << np.arange(BITS)[::-1])).astype(np.int64)


def variation(samples: Array, truth: Array) -> float:
    """The total variation between samples [n, 8] and the truth."""
    return float(np.abs(np.bincount(places(samples), minlength=len(STATES)) / len(samples) - truth).sum() / 2)


def entropy(truth: Array) -> float:
    """Bits."""
    seen = truth[truth > 0]
    return float(-(seen * np.log2(seen)).sum())
