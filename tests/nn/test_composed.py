"""Fused and adapted linears against the dense sum in float64: whole, cut by rows and by columns, and both at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.nn.composed import Adapted, FusedLinear
from bonsai_mlx.nn.deltas import Kronecker, LowRank, Strength
from bonsai_mlx.nn.linear import DenseLinear, Linear, PackedLinear
from bonsai_mlx.nn.shards import Share

INPUTS, OUTPUTS = 512, 48
Values = np.ndarray[Any, np.dtype[np.float64]]
Made = tuple[Linear, Values]  # a linear, and its matrix in float64


def of_packed(seed: int, outputs: int = OUTPUTS) -> Made:
    random = np.random.default_rng(seed)
    layer = PackedLinear(INPUTS, outputs, 2)
    layer.weight = mx.array(random.integers(0, 2**32, layer.weight.shape, dtype=np.uint32))
    layer.scales, layer.biases = (
        mx.array(random.normal(size=layer.scales.shape)).astype(mx.bfloat16) for _ in range(2)
    )
    return layer, np.array(layer.dequantized(), dtype=np.float64)


def of_dense(seed: int, outputs: int = OUTPUTS) -> Made:
    layer = DenseLinear(INPUTS, outputs)
    layer.weight = mx.random.normal(layer.weight.shape, key=mx.random.key(seed)).astype(mx.bfloat16)
    return layer, np.array(layer.weight.astype(mx.float32), dtype=np.float64)


def adapted(make: Callable[..., Made], seed: int, strengths: tuple[float, ...] = (0.7, -1.3)) -> Made:
    """A linear with adapters of ranks 4, 5 ... and the whole matrix."""
    layer, matrix = make(seed)
    terms = []
    for place, strength in enumerate(strengths):
        keys = mx.random.split(mx.random.key(100 * seed + place))
        down = mx.random.normal((4 + place, INPUTS), key=keys[0]).astype(mx.bfloat16)
        up = mx.random.normal((OUTPUTS, 4 + place), key=keys[1]).astype(mx.bfloat16)
        terms.append(LowRank(down, up, Strength(strength / 2), 2.0))
        a, b = (np.array(part.astype(mx.float32), dtype=np.float64) for part in (down, up))
        matrix = matrix + strength * b @ a
    return Adapted(layer, terms), matrix


def kronecker(make: Callable[..., Made], seed: int) -> Made:
    """A linear with Kronecker products, of a whole second factor and of one in two, that fit into no share."""
    layer, matrix = make(seed)
    terms = []
    for place, (first, second) in enumerate([((6, 4), [(8, 128)]), ((16, 64), [(3, 2), (2, 8)])]):
        keys = mx.random.split(mx.random.key(place), 3)
        a = mx.random.normal(first, key=keys[0]).astype(mx.bfloat16)
        factors = [
            mx.random.normal(shape, key=key).astype(mx.bfloat16) for shape, key in zip(second, keys[1:], strict=False)
        ]
        terms.append(Kronecker(a, factors, Strength(0.6 - 2 * place), 0.5))
        one, *others = (np.array(part.astype(mx.float32), dtype=np.float64) for part in (a, *factors))
        matrix = matrix + (0.3 - place) * np.kron(one, np.linalg.multi_dot(others) if others[1:] else others[0])
    return Adapted(layer, terms), matrix


def fused(make: Callable[..., Made]) -> Made:
    """q and v adapted, in two ways, k not."""
    parts = [adapted(make, 1), make(2), kronecker(make, 3)]
    return FusedLinear([layer for layer, _ in parts]), np.concatenate([matrix for _, matrix in parts])


def assert_computes(layer: Linear, matrix: Values) -> None:
    x = mx.random.normal((2, 3, matrix.shape[1]), key=mx.random.key(9))
    expected = np.array(x, dtype=np.float64) @ matrix.T
    found = layer(x)
    assert (found.dtype, found.shape) == (mx.float32, expected.shape)
    assert (layer.out_features, layer.in_features) == matrix.shape
    assert np.abs(np.array(found) - expected).max() <= 1e-5 * np.abs(expected).max()


def fused_of_different_kinds() -> Made:
    parts = [of_packed(0), of_dense(1), adapted(of_packed, 2)]
    return FusedLinear([layer for layer, _ in parts]), np.concatenate([matrix for _, matrix in parts])


KINDS = {
    "packed": lambda: of_packed(0),
    "dense": lambda: of_dense(0),
    "adapted packed": lambda: adapted(of_packed, 0),
    "adapted dense": lambda: adapted(of_dense, 0),
    "adapted by Kronecker products": lambda: kronecker(of_packed, 0),
    "fused packed": lambda: fused(of_packed),
    "fused dense": lambda: fused(of_dense),
    "fused of different kinds": fused_of_different_kinds,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_computes_its_matrix(kind: str) -> None:
    assert_computes(*KINDS[kind]())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_the_rows_are_rows_of_the_matrix(kind: str, count: int) -> None:
    layer, matrix = KINDS[kind]()
    sizes = (OUTPUTS,) * (matrix.shape[0] // OUTPUTS) if "fused" in kind else (16, 32)
    for index in range(count):
        pieces = Share(index, count).pieces(*sizes)
        assert_computes(layer.rows(pieces), np.concatenate([matrix[piece] for piece in pieces]))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_the_columns_add_up_to_the_matrix(kind: str, count: int) -> None:
    layer, matrix = KINDS[kind]()
    x = mx.random.normal((5, INPUTS), key=mx.random.key(8))
    total = 0.0
    for index in range(count):
        pieces = Share(index, count).pieces(256, 256)
        part = layer.columns(pieces)
        assert_computes(part, np.concatenate([matrix[:, piece] for piece in pieces], axis=1))
        total = total + part(mx.concatenate([x[:, piece] for piece in pieces], axis=1))
    expected = np.array(x, dtype=np.float64) @ matrix.T
    assert np.abs(np.array(total) - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_the_result_has_the_type_of_the_input(kind: str, dtype: mx.Dtype) -> None:
    assert KINDS[kind]()[0](mx.ones((3, INPUTS), dtype=dtype)).dtype == dtype


def test_a_strength_can_be_changed_and_zero_is_the_base() -> None:
    layer, _ = adapted(of_packed, 0, (1.0,))
    base, matrix = of_packed(0)
    assert isinstance(layer, Adapted)
    layer.terms[0].strength.value = 0.0
    assert_computes(layer, matrix)
    assert mx.array_equal(layer.linear.weight, base.weight)  # never baked in


def test_parts_of_a_fused_linear_are_views_of_its_weights() -> None:
    before = mx.get_active_memory()
    parts = [of_packed(seed, 1024)[0] for seed in range(3)]
    matrices = [np.array(part.dequantized()) for part in parts]
    layer = FusedLinear(parts)
    mx.eval([part.parameters() for part in parts])
    once = sum(matrix.nbytes for matrix in matrices) * (2 + 2 * 16 / 128) / 32  # 2 bits, and a scale and a bias a group
    assert mx.get_active_memory() - before == pytest.approx(once, rel=0.02)
    assert layer.parts == parts
    for part, matrix in zip(parts, matrices, strict=True):
        assert np.array_equal(np.array(part.dequantized()), matrix)


def test_what_does_not_fit_is_refused() -> None:
    layer, _ = of_packed(0)
    with pytest.raises(ValueError, match="both are the rank"):
        LowRank(mx.zeros((4, INPUTS)), mx.zeros((OUTPUTS, 8)), Strength())
    with pytest.raises(ValueError, match=r"for \[40, 512\] does not fit a linear of \[48, 512\]"):
        Adapted(layer, [LowRank(mx.zeros((4, INPUTS)), mx.zeros((40, 4)), Strength())])
    with pytest.raises(ValueError, match="do not lie within parts"):
        FusedLinear([layer, of_packed(1)[0]]).rows([slice(40, 56)])
