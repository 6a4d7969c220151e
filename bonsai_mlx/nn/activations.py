"""The functions with an exponential in them: silu, the gated product, softmax.

MLX's CPU build for x86 computes `exp` one value at a time (20 to 25 ns each where tried); with the products in a fast
BLAS, half of a full-size step was spent there. NumPy's is vectorised (0.3 to 0.6 ns), so on such a CPU the exponentials
are taken by NumPy, in place, through a view of MLX's own buffer, a piece at a time that stays in the core's cache.
Everywhere else these are MLX's operations.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from ..runtime import device

_PIECE_VALUES = 1 << 16  # float32, so 256 KB of scratch

View = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def silu(x: mx.array) -> mx.array:
    """x * sigmoid(x). May use up `x`, which must be the caller's own: a fresh result that nothing else refers to."""
    if not _by_numpy(x):
        return _silu(x)
    values = _view(x)
    _divide_by_one_plus_exp(values, values)
    return x


def swiglu(gate: mx.array, value: mx.array) -> mx.array:
    """silu(gate) * value, of the same shape; leaves both alone."""
    if not _by_numpy(gate):
        return _gated(gate, value)
    out = gate * value
    _divide_by_one_plus_exp(_view(out), _view(gate))
    return out


def softmax(scores: mx.array) -> mx.array:
    """Over the last axis. May use up `scores`, as `silu` does its argument."""
    if not _by_numpy(scores):
        return mx.softmax(scores, axis=-1, precise=True)
    for piece in _pieces(_view(scores)):
        piece -= piece.max(axis=-1, keepdims=True)
        np.exp(piece, out=piece)
        piece /= piece.sum(axis=-1, keepdims=True)
    return scores


@device.compiled
def _gated(gate: mx.array, value: mx.array) -> mx.array:
    return _silu(gate) * value


def _silu(x: mx.array) -> mx.array:
    return x * mx.sigmoid(x)


def _by_numpy(x: mx.array) -> bool:
    return not device.has_vector_exp() and bool(x.dtype == mx.float32)


def _view(x: mx.array) -> View:
    mx.eval(x)
    view: Any = np.array(x, copy=False)
    return view.reshape(-1, x.shape[-1])


def _pieces(rows: View) -> list[View]:
    step = max(1, _PIECE_VALUES // rows.shape[1])
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _divide_by_one_plus_exp(out: View, x: View) -> None:
    """out /= 1 + exp(-x)."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite below -88, and the quotient 0, as it should be
        for quotient, piece in zip(_pieces(out), _pieces(x), strict=True):
            divisor = np.negative(piece)
            np.exp(divisor, out=divisor)
            divisor += 1
            quotient /= divisor
