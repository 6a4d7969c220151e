"""The adapters of a run as deltas of linears, read from their files when a linear asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import mlx.core as mx

from ..nn.deltas import Delta, Kronecker, LowRank, Strength
from .fitting import FittedAdapter, Part


@dataclass(frozen=True, slots=True)
class ActiveAdapter:
    """One of them, and how much of it is added."""

    adapter: FittedAdapter
    strength: Strength


@dataclass(slots=True)
class ActiveAdapters:
    """All that are added at once. A strength of 0 is no adapter: nothing is computed for it."""

    dtype: mx.Dtype  # of the activations, which deltas are held in
    adapters: Sequence[ActiveAdapter] = field(default_factory=list)

    @classmethod
    def of(cls, adapters: Iterable[tuple[FittedAdapter, float]], dtype: mx.Dtype) -> ActiveAdapters:
        return cls(dtype, [ActiveAdapter(adapter, Strength(value)) for adapter, value in adapters if value])

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(active.adapter.digest for active in self.adapters)

    def key(self, modules: Iterable[str]) -> tuple[tuple[str, float], ...]:
        names = set(modules)
        touching = (active for active in self.adapters if names & active.adapter.parts.keys())
        return tuple((active.adapter.digest, active.strength.value) for active in touching)

    def take_strengths(self, other: ActiveAdapters) -> None:
        """Have the deltas that are in use multiply by the strengths of `other`, which has the same adapters."""
        for mine, theirs in zip(self.adapters, other.adapters, strict=True):
            mine.strength.value = theirs.strength.value

    def deltas(self, module: str) -> list[Delta]:
        """What is added to one linear. AdapterError if a file is not what it was."""
        return [
            self._delta(active, active.adapter.parts[module])
            for active in self.adapters
            if module in active.adapter.parts
        ]

    def added(self, module: str, y: mx.array, x: mx.array) -> mx.array:
        for delta in self.deltas(module):
            y = y + delta(x)
        return y

    def _delta(self, active: ActiveAdapter, part: Part) -> Delta:
        arrays = {key: mx.array(active.adapter.file.read(key)).astype(self.dtype) for key in part.keys}
        rows = list(part.rows)
        if part.down:
            up = arrays[part.up]
            up = mx.concatenate([up[piece] for piece in rows]) if rows else up
            delta: Delta = LowRank(arrays[part.down], up, active.strength, part.scale)
        else:
            first, *others = (arrays[key] for key in part.first)
            whole = first @ others[0] if others else first
            second = [arrays[key] for key in part.second]
            delta = Kronecker(whole, second, active.strength, part.scale, rows or None)
        mx.eval(delta.parameters())  # type: ignore[attr-defined]
        return delta
