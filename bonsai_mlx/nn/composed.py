"""Linears made of linears: several of one input as one product, and one with what adapters add to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import mlx.core as mx
import mlx.nn as nn

from .deltas import Delta
from .linear import Linear, StoredLinear


class Adapted(nn.Module):
    """A linear, and what adapters add to it; see Linear.

    Never baked in: a step of packed weights is larger than what an adapter adds to them.
    """

    def __init__(self, linear: Linear, terms: Sequence[Delta]) -> None:
        super().__init__()
        shape = linear.out_features, linear.in_features
        for term in terms:
            if (term.out_features, term.in_features) != shape:
                found = f"[{term.out_features}, {term.in_features}]"
                raise ValueError(f"an adapter for {found} does not fit a linear of [{shape[0]}, {shape[1]}]")
        self.linear, self.terms = linear, list(terms)

    @property
    def in_features(self) -> int:
        return self.linear.in_features

    @property
    def out_features(self) -> int:
        return self.linear.out_features

    def __call__(self, x: mx.array) -> mx.array:
        return self.added(self.linear(x), x)

    def added(self, y: mx.array, x: mx.array) -> mx.array:
        for term in self.terms:
            y = y + term(x)
        return y

    def rows(self, pieces: Sequence[slice]) -> Adapted:
        return Adapted(self.linear.rows(pieces), [term.rows(pieces) for term in self.terms])

    def columns(self, pieces: Sequence[slice]) -> Adapted:
        return Adapted(self.linear.columns(pieces), [term.columns(pieces) for term in self.terms])


class FusedLinear:
    """Linears of the same input as one product, their outputs side by side; see Linear.

    The parts stay what they are, under their own names in the module that has them: their tensors become views of the
    stacked ones, so the weights are in memory once. Adapters of a part are applied to its own outputs.
    """

    def __init__(self, parts: Sequence[Linear]) -> None:
        self.parts = parts  # may be replaced by the same ones with other adapters
        stored = [_stored(part) for part in parts]
        self._stacked: StoredLinear | None = None
        if any(
            type(one) is not type(stored[0]) or one.inputs_in_column() != stored[0].inputs_in_column() for one in stored
        ):
            return  # of different kinds: each is a product of its own
        self._stacked = stored[0].stacked(stored[1:])
        first = 0
        for part in stored:
            last = first + part["weight"].shape[0]
            for name in part.inputs_in_column():
                part[name] = self._stacked[name][first:last]
            first = last

    @property
    def in_features(self) -> int:
        return self.parts[0].in_features

    @property
    def out_features(self) -> int:
        return sum(part.out_features for part in self.parts)

    def __call__(self, x: mx.array) -> mx.array:
        if self._stacked is None:
            return mx.concatenate([part(x) for part in self.parts], axis=-1)
        y = self._stacked(x)
        if not any(isinstance(part, Adapted) for part in self.parts):
            return y
        outputs = mx.split(y, self._ends()[:-1], axis=-1)
        adapted = [
            part.added(output, x) if isinstance(part, Adapted) else output
            for part, output in zip(self.parts, outputs, strict=True)
        ]
        return mx.concatenate(adapted, axis=-1)

    def rows(self, pieces: Sequence[slice]) -> FusedLinear:
        """See Linear. Each piece lies in one part, and the pieces are in the parts' order."""
        rows = []
        for part, end in zip(self.parts, self._ends(), strict=True):
            first = end - part.out_features
            own = [slice(p.start - first, p.stop - first) for p in pieces if first <= p.start and p.stop <= end]
            rows += [part.rows(own)] if own else []
        if sum(part.out_features for part in rows) != sum(piece.stop - piece.start for piece in pieces):
            raise ValueError(f"{pieces} do not lie within parts that end at {self._ends()}")
        return FusedLinear(rows)

    def columns(self, pieces: Sequence[slice]) -> FusedLinear:
        return FusedLinear([part.columns(pieces) for part in self.parts])

    def _ends(self) -> list[int]:
        return list(accumulate(part.out_features for part in self.parts))


def _stored(linear: Linear) -> StoredLinear:
    base = linear.linear if isinstance(linear, Adapted) else linear
    if not isinstance(base, StoredLinear):
        raise TypeError(f"{type(base).__name__} has no weights of its own to stack")
    return base
