"""Noise between two seeds keeps the length of either; that is the point of the arc."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from bonsai_mlx.nn.noise import between, seeded

SHAPE = (1, 32, 16, 16)


def length(values: mx.array) -> float:
    return float(np.linalg.norm(np.asarray(values).astype(np.float64)))


def test_the_ends_are_the_seeds_own_bits() -> None:
    first, second = seeded(SHAPE, 7), seeded(SHAPE, 8)
    assert mx.array_equal(between(first, second, 0), first)
    assert mx.array_equal(between(first, second, 1), second)
    assert mx.array_equal(between(first, first, 0.5), first)
    assert mx.array_equal(between(first, -first, 0.5), first)


def test_between_them_the_angle_grows_with_the_amount_and_the_length_stays() -> None:
    first, second = seeded(SHAPE, 7), seeded(SHAPE, 8)
    whole = np.arccos(float(mx.sum(first * second)) / length(first) / length(second))
    for amount in (0.1, 0.4, 0.9):
        mixed = between(first, second, amount)
        angle = np.arccos(float(mx.sum(first * mixed)) / length(first) / length(mixed))
        assert abs(angle / whole - amount) < 0.01
        assert abs(length(mixed) / length(first) - 1) < 0.02
