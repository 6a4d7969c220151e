"""Linear layers whose weights stay packed: 1, 2 or 4 bits a value, with a scale and a bias for each group of inputs.

A packed linear [out, in] is three tensors, named as in the checkpoint (MLX's "affine" quantisation):
`weight` uint32 [out, in * bits / 32], least significant bits first; `scales` and `biases` bfloat16 [out, in / group].
A value is `code * scale + bias`. Ternary {-s, 0, +s}: codes 0, 1, 2 with bias -s. Binary {-s, +s}: codes 0, 1 with
scale 2s and bias -s.

On a GPU `mx.quantized_matmul` reads the packed weights directly. Elsewhere a few hundred rows at a time are expanded
to float32 and multiplied, so that the weights stay packed and the scratch memory stays small.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from . import device
from .plan import BLOCK_ROWS  # 6 MB at 3072 inputs: small enough to stay near the cores

GROUP_SIZE = 128


class PackedLinear(nn.Module):
    """`y = x @ W.T` with a packed W. x: [..., in_features] -> [..., out_features], in x's dtype."""

    def __init__(self, in_features: int, out_features: int, bits: int, group_size: int = GROUP_SIZE) -> None:
        super().__init__()
        if in_features % group_size:
            raise ValueError(f"in_features {in_features} is not a multiple of the group size {group_size}")
        self.bits = bits
        self.group_size = group_size
        self.weight = mx.zeros((out_features, in_features * bits // 32), dtype=mx.uint32)
        self.scales = mx.zeros((out_features, in_features // group_size), dtype=mx.bfloat16)
        self.biases = mx.zeros((out_features, in_features // group_size), dtype=mx.bfloat16)

    def __call__(self, x: mx.array) -> mx.array:
        if device.has_quantized_kernel(self.bits, self.group_size):
            return mx.quantized_matmul(
                x,
                self.weight,
                self.scales,
                self.biases,
                transpose=True,
                group_size=self.group_size,
                bits=self.bits,
            )
        return self.blockwise(x)

    def blockwise(self, x: mx.array) -> mx.array:
        """The same product, BLOCK_ROWS rows at a time: exact in float32, and eager, so that scratch is one block."""
        out_features = self.weight.shape[0]
        flat = x.reshape(-1, x.shape[-1]).astype(mx.float32)
        y = mx.zeros((flat.shape[0], out_features), dtype=mx.float32)
        for start in range(0, out_features, BLOCK_ROWS):
            y[:, start : start + BLOCK_ROWS] = flat @ self.dequantized(start, start + BLOCK_ROWS).T
            mx.eval(y)  # in place, because y has no other user: only then is one block alive at a time
        return y.astype(x.dtype).reshape(*x.shape[:-1], out_features)

    def dequantized(self, start: int = 0, stop: int | None = None) -> mx.array:
        """Rows start to stop as float32 [rows, in_features], equal to the format's definition bit for bit.

        The scales are widened first: MLX computes `code * scale + bias` in the scales' own dtype, and bfloat16 would
        round each value to 8 bits.
        """
        rows = slice(start, stop)
        return mx.dequantize(
            self.weight[rows],
            self.scales[rows].astype(mx.float32),
            self.biases[rows].astype(mx.float32),
            group_size=self.group_size,
            bits=self.bits,
        )


def stacked(layers: Sequence[PackedLinear]) -> PackedLinear:
    """One linear that computes all of `layers` (same input) at once, outputs concatenated."""
    first = layers[0]
    rows = sum(layer.weight.shape[0] for layer in layers)
    whole = PackedLinear(first.scales.shape[1] * first.group_size, rows, first.bits, first.group_size)
    for name in ("weight", "scales", "biases"):
        whole[name] = mx.concatenate([layer[name] for layer in layers])
    return whole


def dense(x: mx.array, weight: mx.array) -> mx.array:
    """`x @ weight.T` for an unpacked bfloat16 weight [out, in], in x's dtype.

    A float32 x would make MLX widen the whole weight; it is widened a block of rows at a time instead.
    """
    if x.dtype == weight.dtype:
        return x @ weight.T
    blocks = []
    for start in range(0, weight.shape[0], BLOCK_ROWS):
        blocks.append(x @ weight[start : start + BLOCK_ROWS].astype(x.dtype).T)
        mx.eval(blocks[-1])
    return mx.concatenate(blocks, axis=-1)
