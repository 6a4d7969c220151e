"""What adapters add to a linear: low-rank products (LoRA) and Kronecker products (LoKr), whole or cut.

A delta is never made into a matrix [out, in], which would be as large as the linear that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn

from .linear import dense


@dataclass
class Strength:
    """How much of an adapter is added. All of its deltas, cut or not, share one, which may be changed at any time."""

    value: float = 1.0


class Delta(Protocol):
    """`scale * strength * x @ D.T` for some D [out, in]: added to what a linear makes of x."""

    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    def __call__(self, x: mx.array, /) -> mx.array: ...

    def rows(self, pieces: Sequence[slice], /) -> Delta:
        """The delta of some outputs; see Linear."""
        ...

    def columns(self, pieces: Sequence[slice], /) -> Delta:
        """The delta of some inputs; see Linear."""
        ...


class LowRank(nn.Module):
    """D = up @ down, down [rank, in], up [out, rank] (arXiv:2106.09685); see Delta."""

    def __init__(self, down: mx.array, up: mx.array, strength: Strength, scale: float = 1.0) -> None:
        """`scale` is alpha / rank."""
        super().__init__()
        if down.shape[0] != up.shape[1]:
            raise ValueError(f"down has {down.shape[0]} rows and up {up.shape[1]} columns; both are the rank")
        self.down, self.up, self.strength, self.scale = down, up, strength, scale

    @property
    def in_features(self) -> int:
        return int(self.down.shape[1])

    @property
    def out_features(self) -> int:
        return int(self.up.shape[0])

    def __call__(self, x: mx.array) -> mx.array:
        return dense(self.scale * self.strength.value * dense(x, self.down), self.up)

    def rows(self, pieces: Sequence[slice]) -> LowRank:
        return LowRank(self.down, mx.concatenate([self.up[piece] for piece in pieces]), self.strength, self.scale)

    def columns(self, pieces: Sequence[slice]) -> LowRank:
        down = mx.contiguous(mx.concatenate([self.down[:, piece] for piece in pieces], axis=1))
        return LowRank(down, self.up, self.strength, self.scale)


class Kronecker(nn.Module):
    """D = kron(first, second), first [a, b], second [c, d] or the product of two matrices; see Delta.

    Cut or not, all of both factors is kept, and what is computed is the rows and columns of `first` that are needed.
    """

    def __init__(
        self,
        first: mx.array,
        second: Sequence[mx.array],
        strength: Strength,
        scale: float = 1.0,
        rows: Sequence[slice] | None = None,
        columns: Sequence[slice] | None = None,
    ) -> None:
        """`rows` and `columns` are pieces of D's; all of them by default."""
        super().__init__()
        self.first, self.second = first, list(second)
        self.strength, self.scale = strength, scale
        self.outputs, self.inputs = self.second[0].shape[0], self.second[-1].shape[1]  # of `second`
        self.row_pieces = list(rows or [slice(0, first.shape[0] * self.outputs)])
        self.column_pieces = list(columns or [slice(0, first.shape[1] * self.inputs)])

    @property
    def in_features(self) -> int:
        return sum(piece.stop - piece.start for piece in self.column_pieces)

    @property
    def out_features(self) -> int:
        return sum(piece.stop - piece.start for piece in self.row_pieces)

    def __call__(self, x: mx.array) -> mx.array:
        y = mx.concatenate([self._row_piece(x, piece) for piece in self.row_pieces], axis=-1)
        return self.scale * self.strength.value * y

    def rows(self, pieces: Sequence[slice]) -> Kronecker:
        rows = list(_within(self.row_pieces, pieces))
        return Kronecker(self.first, self.second, self.strength, self.scale, rows, self.column_pieces)

    def columns(self, pieces: Sequence[slice]) -> Kronecker:
        columns = list(_within(self.column_pieces, pieces))
        return Kronecker(self.first, self.second, self.strength, self.scale, self.row_pieces, columns)

    def _row_piece(self, x: mx.array, piece: slice) -> mx.array:
        """kron(first, second) x, grouped: second @ X @ first.T for x as X, of the rows of `first` that are touched."""
        touched = slice(piece.start // self.outputs, -(-piece.stop // self.outputs))
        ends = list(accumulate((one.stop - one.start for one in self.column_pieces), initial=0))
        mixed = self._mixed(x[..., : ends[1]], self.column_pieces[0], touched)
        for start, end, column in zip(ends[1:], ends[2:], self.column_pieces[1:], strict=False):
            mixed = mixed + self._mixed(x[..., start:end], column, touched)
        for matrix in reversed(self.second):
            mixed = mixed @ matrix.astype(x.dtype).T
        skipped = touched.start * self.outputs
        return mixed.reshape(*x.shape[:-1], -1)[..., piece.start - skipped : piece.stop - skipped]

    def _mixed(self, x: mx.array, column: slice, rows: slice) -> mx.array:
        """What `rows` of `first` make of inputs of which x has those of `column`: [..., rows, inputs of second]."""
        first, last = column.start // self.inputs, -(-column.stop // self.inputs)
        missing = (column.start - first * self.inputs, last * self.inputs - column.stop)
        if any(missing):
            x = mx.pad(x, [(0, 0)] * (x.ndim - 1) + [missing])
        grouped = x.reshape(*x.shape[:-1], last - first, self.inputs).swapaxes(-1, -2)
        return (grouped @ self.first[rows, first:last].astype(x.dtype).T).swapaxes(-1, -2)


def _within(pieces: Sequence[slice], wanted: Sequence[slice]) -> Iterator[slice]:
    """`wanted`, which count from the beginning of `pieces` put one after the other, as what they are pieces of."""
    ends = list(accumulate((piece.stop - piece.start for piece in pieces), initial=0))
    for one in wanted:
        for begin, end, piece in zip(ends, ends[1:], pieces, strict=False):
            start, stop = max(one.start, begin), min(one.stop, end)
            if start < stop:
                yield slice(piece.start + start - begin, piece.start + stop - begin)
