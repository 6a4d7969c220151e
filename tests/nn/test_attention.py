"""Attention against numpy, with and without a fused kernel."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.nn import attention
from bonsai_mlx.nn.attention import attend
from bonsai_mlx.runtime import device


def inputs(heads: int, tokens: int, width: int) -> list[mx.array]:
    keys = mx.random.split(mx.random.key(0), 3)
    return [mx.random.normal((1, heads, tokens, width), key=key) for key in keys]


def reference(q: mx.array, k: mx.array, v: mx.array, scale: float) -> np.ndarray[Any, Any]:
    q, k, v = (np.array(x, dtype=np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) * scale
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: np.ndarray[Any, Any] = weights / weights.sum(axis=-1, keepdims=True) @ v
    return result


@pytest.mark.parametrize("rows", [1, 2, 7, 33, 1000])
def test_strips_of_queries_give_softmax_attention(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, tokens, width = 3, 33, 16
    monkeypatch.setattr(attention, "SCORES_LIMIT_BYTES", rows * heads * tokens * 4)
    q, k, v = inputs(heads, tokens, width)
    out = attend(q, k, v, width**-0.5)
    assert np.abs(np.array(out) - reference(q, k, v, width**-0.5)).max() < 1e-5


def test_the_fused_kernel_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = inputs(2, 40, 64)
    monkeypatch.setattr(device, "has_fused_attention", lambda head_dim: True)
    assert np.abs(np.array(attend(q, k, v, 0.125)) - reference(q, k, v, 0.125)).max() < 1e-5


@pytest.mark.parametrize("rows", [5, 1000])
def test_masked_with_fewer_key_heads(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SCORES_LIMIT_BYTES", rows * 12 * 4)
    (q, _, _), (_, k, v) = inputs(4, 12, 16), inputs(2, 12, 16)
    mask = mx.tril(mx.ones((12, 12))).astype(mx.bool_)
    out = np.array(attend(q, k, v, 0.25, mask))
    for row in range(12):  # a query sees what comes before it, and each pair of heads shares a key head
        seen = slice(0, row + 1)
        shared = [mx.repeat(x[:, :, seen], 2, axis=1) for x in (k, v)]
        expected = reference(q[:, :, row : row + 1], *shared, 0.25)
        assert np.abs(out[:, :, row : row + 1] - expected).max() < 1e-5


def test_the_type_is_kept() -> None:
    q, k, v = (x.astype(mx.bfloat16) for x in inputs(1, 8, 16))
    assert attend(q, k, v, 0.25).dtype == mx.bfloat16


def test_scores_are_as_exact_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU computes the VAE's attention, whose head of 512 no fused kernel takes."""
    monkeypatch.setattr(device, "backend", lambda: "metal")
    q, k, v = (x.astype(mx.bfloat16) for x in inputs(1, 256, 512))
    scale = 6 * 512**-0.5  # scores up to 25, where bfloat16 knows steps of 0.125
    expected = reference(*(x.astype(mx.float32) for x in (q, k, v)), scale)
    error = np.abs(np.array(attend(q, k, v, scale).astype(mx.float32)) - expected).max()
    assert error < np.abs(expected).max() * 2**-7  # a step of bfloat16, which the weights and the result have


@pytest.mark.skipif(device.backend() != "cpu", reason="needs the path without a fused kernel")
def test_the_score_matrix_is_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, tokens, width = 4, 1024, 16
    scores_bytes = heads * tokens * tokens * 4
    monkeypatch.setattr(attention, "SCORES_LIMIT_BYTES", scores_bytes // 16)
    q, k, v = inputs(heads, tokens, width)
    mx.eval(q, k, v)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(attend(q, k, v, 0.25))
    assert mx.get_peak_memory() - before < scores_bytes / 4
