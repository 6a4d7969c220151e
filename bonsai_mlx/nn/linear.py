"""Linear layers whose weights stay packed: 1, 2 or 4 bits a value, with a scale and a bias for each group of inputs.

A packed linear [out, in] is three tensors, named as in the checkpoint (MLX's "affine" quantisation):
`weight` uint32 [out, in * bits / 32], least significant bits first; `scales` and `biases` bfloat16 [out, in / group].
A value is `code * scale + bias`. Ternary {-s, 0, +s}: codes 0, 1, 2 with bias -s. Binary {-s, +s}: codes 0, 1 with
scale 2s and bias -s.

On a GPU `mx.quantized_matmul` reads the packed weights directly. Elsewhere a block of rows at a time is expanded
to float32 and multiplied, so that the weights stay packed and the scratch memory stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx
import mlx.nn as nn

from ..flux2.plan import BLOCK_BYTES
from ..runtime import device
from .expand import Scratch
from .shards import Share

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
            packed = self.weight, self.scales, self.biases  # in float16 they would make float32 of a bfloat16 x
            return mx.quantized_matmul(x, *packed, group_size=self.group_size, bits=self.bits).astype(x.dtype)
        return self.blockwise(x)

    def blockwise(self, x: mx.array) -> mx.array:
        """The same product, BLOCK_BYTES of weights at a time: exact in float32, and eager, so scratch is one block."""
        out_features, in_features = self.weight.shape[0], x.shape[-1]
        flat = x.reshape(-1, in_features).astype(mx.float32)
        pieces = []
        expanded = self._by_table() if device.backend() == "cpu" else self.dequantized
        for start, stop in _blocks(out_features, in_features):
            pieces.append(flat @ expanded(start, stop).T)
            mx.eval(pieces[-1])  # before the next block takes its place
        y = pieces[0] if len(pieces) == 1 else mx.concatenate(pieces, axis=-1)
        mx.eval(y)
        return y.astype(x.dtype).reshape(*x.shape[:-1], out_features)

    def _by_table(self) -> Callable[[int, int], mx.array]:
        """`dequantized` for a CPU: faster, and each call overwrites what the one before gave."""
        inputs = self.group_size * self.scales.shape[1]
        scratch = Scratch(min(_block_rows(inputs), len(self.weight)) * inputs)

        def expanded(start: int, stop: int) -> mx.array:
            rows = slice(start, stop)
            return scratch.expanded(self.weight[rows], self.scales[rows], self.biases[rows], self.bits)

        return expanded

    def rows(self, share: Share, *sizes: int) -> PackedLinear:
        """The linear of a share of the outputs, which are made of parts of these `sizes`: its piece of each part."""
        if share.count == 1:
            return self
        return self._cut(lambda name, _: mx.concatenate([self[name][piece] for piece in share.pieces(*sizes)]))

    def columns(self, share: Share, *sizes: int) -> PackedLinear:
        """The same for the inputs, pieces joined: what it gives, added up over all shares, is the whole's output.

        Pieces begin and end where groups do.
        """
        if share.count == 1:
            return self
        pieces = share.pieces(*sizes)

        def cut(name: str, values: int) -> mx.array:
            return mx.concatenate([self[name][:, p.start // values : p.stop // values] for p in pieces], axis=1)

        return self._cut(cut)

    def _cut(self, cut: Callable[[str, int], mx.array]) -> PackedLinear:
        """A linear of tensors that `cut` takes, by name and by values to an entry, from this one's."""
        part = PackedLinear(self.group_size, 1, self.bits, self.group_size)
        part.weight = cut("weight", 32 // self.bits)
        part.scales, part.biases = cut("scales", self.group_size), cut("biases", self.group_size)
        return part

    def dequantized(self, start: int = 0, stop: int | None = None) -> mx.array:
        """Rows start to stop as float32 [rows, in_features], equal to the format's definition bit for bit.

        The scales are widened first: bfloat16 would round each value to 8 bits.
        """
        rows = slice(start, stop)
        scales, biases = (part[rows].astype(mx.float32)[..., None] for part in (self.scales, self.biases))
        codes = _codes(self.weight[rows], self.bits).reshape(*scales.shape[:2], self.group_size)
        values = codes.astype(mx.float32) * scales + biases
        return values.reshape(values.shape[0], -1)


def _codes(words: mx.array, bits: int) -> mx.array:
    """The codes in uint32 words [rows, words], in order: uint32 [rows, words, 32 / bits].

    Not by `mx.dequantize`: where MLX lacks its kernel (1 bit on CUDA in 0.32.4) that gives whatever is in memory,
    without an error.
    """
    shifts = mx.arange(0, 32, bits, dtype=mx.uint32)
    return (words[..., None] >> shifts) & mx.array((1 << bits) - 1, dtype=mx.uint32)


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
    for start, stop in _blocks(*weight.shape):
        blocks.append(x @ weight[start:stop].astype(x.dtype).T)
        mx.eval(blocks[-1])
    return mx.concatenate(blocks, axis=-1)


def _block_rows(columns: int) -> int:
    return max(1, BLOCK_BYTES // (4 * columns))


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """First and last row of blocks that take at most BLOCK_BYTES in float32."""
    step = _block_rows(columns)
    return ((start, min(start + step, rows)) for start in range(0, rows, step))
