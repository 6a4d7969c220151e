"""Noise that a picture begins as: that of a seed, and that between two seeds."""

from __future__ import annotations

import math

import mlx.core as mx

_SMALLEST_SINE = 1e-4  # of two that are the same, or each other's opposite


def seeded(shape: tuple[int, ...], seed: int) -> mx.array:
    """Float32, but rounded to bfloat16, so that a seed gives what it gives in mflux and PrismML's."""
    noise = mx.random.normal(shape, key=mx.random.key(seed))
    return noise.astype(mx.bfloat16).astype(mx.float32)


def between(first: mx.array, second: mx.array, amount: float) -> mx.array:
    """Noise on the arc from `first` (0) to `second` (1).

    A straight line would pass nearer to 0, and less noise than a model expects is drawn as a flat picture.
    """
    lengths = mx.sqrt(mx.sum(first * first) * mx.sum(second * second))
    cosine = float(mx.sum(first * second) / lengths)
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if amount == 0 or math.sin(angle) < _SMALLEST_SINE:
        return first
    if amount == 1:
        return second
    near, far = (math.sin(part * angle) / math.sin(angle) for part in (1 - amount, amount))
    return near * first + far * second
