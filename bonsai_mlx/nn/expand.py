"""Packed weights as float32 values on a CPU, by table.

MLX's CPU build shifts and masks one value at a time (1.5 to 4 ns each where tried). A byte holds 8 values at most: a
table of 256 rows knows them all; NumPy looks them up and applies the groups' scales, a piece at a time that stays in
the core's cache (0.5 to 0.9 ns), straight into MLX's own buffer. Both give the same values, bit for bit.
"""

from __future__ import annotations

from functools import cache

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..weights.packing import in_bytes

_PIECE_VALUES = 1 << 16  # float32, so 256 KB


class Scratch:
    """Room for `values` float32 values, which each expansion overwrites."""

    def __init__(self, values: int) -> None:
        self._array = mx.zeros(values, dtype=mx.float32)
        mx.eval(self._array)
        self._view: NDArray[np.float32] = np.array(self._array, copy=False)

    def expanded(self, weight: mx.array, scales: mx.array, biases: mx.array, bits: int) -> mx.array:
        """The values [rows, inputs] of packed rows (see `packed`), to be used up before the next expansion."""
        rows, groups = scales.shape
        inputs = weight.shape[1] * 32 // bits
        group_size, (count, size) = inputs // groups, in_bytes(bits)
        factors, offsets = scales.astype(mx.float32), biases.astype(mx.float32)
        mx.eval(weight, factors, offsets)
        codes = np.array(weight, copy=False).reshape(-1).view(np.uint8)
        factor, offset = (np.array(part, copy=False).reshape(-1, 1) for part in (factors, offsets))
        values = self._view[: rows * inputs].reshape(-1, group_size)
        step = max(1, _PIECE_VALUES // group_size)
        for start in range(0, len(values), step):
            piece, chosen = values[start : start + step], slice(start, start + step)
            read = codes[start * group_size // count * size :][: piece.size // count * size]
            if size == 1:
                np.take(_table(bits), read, axis=0, out=piece.reshape(-1, count), mode="clip")  # "raise" would buffer
            else:
                _split(read.reshape(-1, size), bits, piece.reshape(-1, count))
            piece *= factor[chosen]
            piece += offset[chosen]
        return self._array[: rows * inputs].reshape(rows, inputs)


@cache
def _table(bits: int) -> NDArray[np.float32]:
    """The codes in each byte, least significant bits first: [256, 8 / bits]."""
    shifts = np.arange(0, 8, bits)
    return ((np.arange(256)[:, None] >> shifts) & ((1 << bits) - 1)).astype(np.float32)


def _split(data: NDArray[np.uint8], bits: int, out: NDArray[np.float32]) -> None:
    """The codes in each three bytes, where they do not fill single ones: [pieces, 3] -> out [pieces, 24 / bits]."""
    words = data[:, 0].astype(np.uint32)
    words |= data[:, 1].astype(np.uint32) << np.uint32(8)
    words |= data[:, 2].astype(np.uint32) << np.uint32(16)
    for place in range(out.shape[1]):
        out[:, place] = (words >> np.uint32(place * bits)) & np.uint32((1 << bits) - 1)
