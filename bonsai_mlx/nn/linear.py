"""Linear layers, however their weights are stored: packed (1, 2, 3, 4, 6 or 8 bits a value) or dense.

A packed linear [out, in] is three tensors, named as in the checkpoint (MLX's "affine" quantisation):
`weight` uint32 [out, in * bits / 32], least significant bits first; `scales` and `biases` bfloat16 [out, in / group].
A value is `code * scale + bias`. Ternary {-s, 0, +s}: codes 0, 1, 2 with bias -s. Binary {-s, +s}: codes 0, 1 with
scale 2s and bias -s.

On a GPU `mx.quantized_matmul` reads the packed weights directly. Elsewhere a block of rows at a time is expanded
to float32 and multiplied, so that the weights stay packed and the scratch memory stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Protocol, Self

import mlx.core as mx
import mlx.nn as nn

from ..runtime import device
from .expand import Scratch
from .limits import BLOCK_BYTES

GROUP_SIZE = 128


class Linear(Protocol):
    """`y = x @ W.T` for some W [out, in]. x: [..., in_features] -> [..., out_features], in x's dtype."""

    @property
    def in_features(self) -> int: ...

    @property
    def out_features(self) -> int: ...

    def __call__(self, x: mx.array, /) -> mx.array: ...

    def rows(self, pieces: Sequence[slice], /) -> Linear:
        """The linear of some outputs, one piece after the other. Every slice has a start and a stop."""
        ...

    def columns(self, pieces: Sequence[slice], /) -> Linear:
        """The linear of some inputs. Over pieces that cover all inputs once, the outputs add up to the whole's."""
        ...


MakeLinear = Callable[[int, int], Linear]  # of in_features and out_features


class StoredLinear(nn.Module):
    """What kinds of linear share whose tensors have a row for each output and columns of so many inputs each."""

    def inputs_in_column(self) -> Mapping[str, int | Fraction]:
        """Names of the tensors, and how many inputs a column of each is for: 32/3 where a word has 3 bits of each."""
        raise NotImplementedError

    def alike(self, tensors: Mapping[str, mx.array]) -> Self:
        raise NotImplementedError

    def rows(self, pieces: Sequence[slice]) -> Self:
        """See Linear. One piece is a view, several are a copy."""
        return self.alike({name: mx.concatenate([self[name][p] for p in pieces]) for name in self.inputs_in_column()})

    def columns(self, pieces: Sequence[slice]) -> Self:
        """See Linear. A copy; pieces begin and end where columns do."""
        cut = {}
        for name, inputs in self.inputs_in_column().items():
            if any(piece.start % inputs or piece.stop % inputs for piece in pieces):
                raise ValueError(f"{pieces} do not begin and end at multiples of {inputs} inputs")
            parts = [self[name][:, piece.start // inputs : piece.stop // inputs] for piece in pieces]
            cut[name] = mx.contiguous(mx.concatenate(parts, axis=1))
        return self.alike(cut)

    def stacked(self, others: Sequence[StoredLinear]) -> Self:
        """One linear of the outputs of this one and of `others`, which are of the same kind and have the same input."""
        names = self.inputs_in_column()
        if any(type(other) is not type(self) or other.inputs_in_column() != names for other in others):
            raise ValueError("linears of different kinds or packings do not make one")
        return self.alike({name: mx.concatenate([self[name], *(other[name] for other in others)]) for name in names})


class DenseLinear(StoredLinear):
    """Weight [out, in], not packed."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = mx.zeros((out_features, in_features), dtype=mx.bfloat16)

    @property
    def in_features(self) -> int:
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    def __call__(self, x: mx.array) -> mx.array:
        return dense(x, self.weight)

    def inputs_in_column(self) -> Mapping[str, int | Fraction]:
        return {"weight": 1}

    def alike(self, tensors: Mapping[str, mx.array]) -> DenseLinear:
        linear = DenseLinear(1, 1)
        linear.weight = tensors["weight"]
        return linear


class PackedLinear(StoredLinear):
    """Packed weights, as the module's text says."""

    def __init__(self, in_features: int, out_features: int, bits: int, group_size: int = GROUP_SIZE) -> None:
        super().__init__()
        if in_features % group_size:
            raise ValueError(f"in_features {in_features} is not a multiple of the group size {group_size}")
        self.bits = bits
        self.group_size = group_size
        self.weight = mx.zeros((out_features, in_features * bits // 32), dtype=mx.uint32)
        self.scales = mx.zeros((out_features, in_features // group_size), dtype=mx.bfloat16)
        self.biases = mx.zeros((out_features, in_features // group_size), dtype=mx.bfloat16)

    @property
    def in_features(self) -> int:
        return int(self.scales.shape[1]) * self.group_size

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    def __call__(self, x: mx.array) -> mx.array:
        if device.has_quantized_kernel(self.bits, self.group_size):
            packed = self.weight, self.scales, self.biases  # in float16 they would make float32 of a bfloat16 x
            return mx.quantized_matmul(x, *packed, group_size=self.group_size, bits=self.bits).astype(x.dtype)
        return self.blockwise(x)

    def inputs_in_column(self) -> Mapping[str, int | Fraction]:
        return {"weight": Fraction(32, self.bits), "scales": self.group_size, "biases": self.group_size}

    def alike(self, tensors: Mapping[str, mx.array]) -> PackedLinear:
        linear = PackedLinear(self.group_size, 1, self.bits, self.group_size)
        linear.weight, linear.scales, linear.biases = tensors["weight"], tensors["scales"], tensors["biases"]
        return linear

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
    """The codes in uint32 words [rows, words], in order: uint32 [rows, ..., codes of a word, or of 3 bytes].

    Not by `mx.dequantize`: where MLX lacks its kernel (1 bit on CUDA in 0.32.4) that gives whatever is in memory,
    without an error.
    """
    if 32 % bits:
        data = words.view(mx.uint8).reshape(len(words), -1, 3).astype(mx.uint32)
        words = data[..., 0] | (data[..., 1] << 8) | (data[..., 2] << 16)
    shifts = mx.arange(0, 24 if 32 % bits else 32, bits, dtype=mx.uint32)
    return (words[..., None] >> shifts) & mx.array((1 << bits) - 1, dtype=mx.uint32)


def dense(x: mx.array, weight: mx.array) -> mx.array:
    """`x @ weight.T` for an unpacked weight [out, in], in x's dtype.

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
    step = _block_rows(columns)
    return ((start, min(start + step, rows)) for start in range(0, rows, step))
