"""silu, the gated product and softmax, by MLX and by NumPy in place."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.nn import activations
from bonsai_mlx.runtime import device

EXTREMES = [-1e4, -104.0, -88.0, -1.0, -0.0, 0.0, 1e-30, 1.0, 88.0, 1e4]


@pytest.fixture(params=[True, False], ids=["mlx", "numpy"])
def has_vector_exp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(device, "has_vector_exp", lambda: request.param)
    return bool(request.param)


@pytest.fixture(params=[1 << 16, 40], ids=["one piece", "many pieces"])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_PIECE_VALUES", request.param)


def values(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = np.random.default_rng(0).normal(scale=4, size=shape).astype(np.float32)
    x.reshape(-1)[: len(EXTREMES)] = EXTREMES
    return x


def sigmoid(x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x.astype(np.float64)))


@pytest.mark.usefixtures("has_vector_exp", "_pieces")
class TestBothWays:
    def test_silu(self) -> None:
        x = values(2, 7, 30)
        np.testing.assert_allclose(np.array(activations.silu(mx.array(x))), x * sigmoid(x), rtol=1e-5, atol=1e-37)

    def test_swiglu(self) -> None:
        x = values(1, 7, 60)
        gate, value = np.split(x, 2, axis=-1)
        ours = np.array(activations.swiglu(*mx.split(mx.array(x), 2, axis=-1)))
        np.testing.assert_allclose(ours, gate * sigmoid(gate) * value, rtol=1e-5, atol=1e-37)

    def test_swiglu_leaves_its_arguments_alone(self) -> None:
        x = mx.array(values(3, 8))
        before = np.array(x)
        mx.eval(activations.swiglu(*mx.split(x, 2, axis=-1)), activations.swiglu(x, x))
        np.testing.assert_array_equal(np.array(x), before)

    def test_softmax(self) -> None:
        x = values(2, 5, 33)
        exact = np.exp(x - x.max(axis=-1, keepdims=True).astype(np.float64))
        exact /= exact.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(np.array(activations.softmax(mx.array(x))), exact, rtol=1e-4, atol=1e-7)

    def test_the_type_and_the_shape_are_kept(self) -> None:
        x = mx.zeros((1, 2, 3, 4), dtype=mx.bfloat16)
        assert activations.silu(x).dtype == activations.softmax(x).dtype == mx.bfloat16
        assert activations.swiglu(x, x).shape == x.shape


@pytest.mark.skipif(device.has_vector_exp(), reason="MLX's own are used here")
def test_nothing_is_copied() -> None:
    x = mx.random.normal((1 << 20,)).reshape(1024, 1024)
    mx.eval(x)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    x = activations.softmax(activations.silu(x))
    mx.eval(x)
    assert mx.get_peak_memory() <= before
