"""The table's values against MLX's own."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.nn import expand
from bonsai_mlx.nn.expand import Scratch


def random_rows(rows: int, inputs: int, bits: int, group_size: int) -> tuple[mx.array, mx.array, mx.array]:
    rng = np.random.default_rng(rows + bits)
    words = rng.integers(0, 2**32, (rows, inputs * bits // 32), dtype=np.uint32)
    scales, biases = (rng.normal(size=(rows, inputs // group_size)) for _ in range(2))
    return mx.array(words), mx.array(scales).astype(mx.bfloat16), mx.array(biases).astype(mx.bfloat16)


def dequantized(weight: mx.array, scales: mx.array, biases: mx.array, bits: int, group_size: int) -> mx.array:
    wide = scales.astype(mx.float32), biases.astype(mx.float32)
    return mx.dequantize(weight, *wide, group_size=group_size, bits=bits)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("group_size", [64, 128])
@pytest.mark.parametrize("piece", [1, 384, 1 << 16])  # less than a group, some groups, everything
def test_values_are_mlx_s_own(bits: int, group_size: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "_PIECE_VALUES", piece)
    packed = random_rows(13, 640, bits, group_size)
    values = Scratch(13 * 640).expanded(*packed, bits)
    assert values.dtype == mx.float32
    assert np.array_equal(np.array(values), np.array(dequantized(*packed, bits, group_size)))


def test_rows_of_a_larger_matrix_in_larger_scratch() -> None:
    packed = random_rows(37, 256, 2, 128)
    expected = np.array(dequantized(*packed, 2, 128))
    scratch = Scratch(20 * 256)
    for rows in (slice(0, 20), slice(20, 37), slice(36, 37)):
        assert np.array_equal(np.array(scratch.expanded(*(part[rows] for part in packed), 2)), expected[rows])


def test_the_next_expansion_takes_the_same_memory() -> None:
    packed = random_rows(4, 128, 1, 128)
    scratch = Scratch(4 * 128)
    first = scratch.expanded(*packed, 1)
    mx.eval(first)
    scratch.expanded(packed[0], -packed[1], packed[2], 1)
    assert not np.array_equal(np.array(first), np.array(dequantized(*packed, 1, 128)))
