"""Layers that only hold what is loaded into them.

MLX's own start with random values, which are never used here: every picture would lengthen the chain of random states
that MLX has not computed yet, and with it the process, for ever.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn


def read(layer: nn.Module) -> None:
    """Have a layer's weights in memory: a GPU that is given work must not wait for a disk, it stops what does."""
    mx.eval(layer.parameters())


def take(tensors: dict[str, mx.array], prefix: str) -> dict[str, mx.array]:
    """Move the tensors whose names begin with `prefix` out of `tensors`; their names lose it."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


class Convolution(nn.Module):
    """Weight [after, kernel, kernel, before] and bias [after] of a 2-D convolution."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.weight = mx.zeros((after, kernel, kernel, before))
        self.bias = mx.zeros((after,))


class LinearWithBias(nn.Module):
    """x @ weight.T + bias over the last axis, weight [after, before]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight = mx.zeros((after, before))
        self.bias = mx.zeros((after,))

    def __call__(self, x: mx.array) -> mx.array:
        return mx.addmm(self.bias, x, self.weight.T)
