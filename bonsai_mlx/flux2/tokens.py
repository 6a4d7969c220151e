"""Latents as maps and as the transformer's tokens; pictures appended to them; maps in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import mlx.core as mx

from ..editing.tiles import Tiling
from .transformer import Grid

_REFERENCE_T = 10  # the first reference's place in time, and the distance to the next; the picture itself has 0


@dataclass(frozen=True, slots=True)
class References:
    """Pictures that are looked at: clean latents [1, tokens, channels] and where each one's tokens stand."""

    tokens: mx.array
    grids: Sequence[Grid]


def as_tokens(latents: mx.array) -> mx.array:
    """Packed latents [1, channels, rows, columns] -> [1, rows * columns, channels]."""
    return latents.reshape(1, latents.shape[1], -1).transpose(0, 2, 1)


def as_map(tokens: mx.array, grid: tuple[int, int]) -> mx.array:
    """Tokens [1, rows * columns, channels] -> packed latents [1, channels, rows, columns], these being the grid."""
    return tokens.transpose(0, 2, 1).reshape(1, tokens.shape[2], *grid)


def as_references(latents: Sequence[mx.array]) -> References | None:
    """The references of packed latents [1, channels, rows, columns], in their order."""
    if not latents:
        return None
    tokens = mx.concatenate([as_tokens(one) for one in latents], axis=1)
    mx.eval(tokens)
    grids = [(_REFERENCE_T * (place + 1), one.shape[2], one.shape[3]) for place, one in enumerate(latents)]
    return References(tokens, grids)


def added(whole: mx.array, rows: slice, columns: slice, part: mx.array) -> mx.array:
    """A map [1, channels, rows, columns] with a part of it added there, computed at once."""
    whole[:, :, rows, columns] += part
    mx.eval(whole)
    return whole


def blended(
    tiles: Tiling, tokens: mx.array, drawn: Callable[[mx.array], mx.array], step: int, steps: int
) -> Generator[tuple[int, int], None, mx.array]:
    """What `drawn` makes of every token of a map, from that of its tiles, which are blended.

    Yields (tiles done, tiles needed) of the whole run.
    """
    whole = mx.zeros(tokens.shape)
    for place, (rows, columns, weights) in enumerate(tiles.places()):
        part = as_map(drawn(as_tokens(tokens[:, :, rows, columns])), (weights.shape[0], weights.shape[1]))
        whole = added(whole, rows, columns, mx.array(weights) * part)
        del part
        if place + 1 < tiles.count:
            yield step * tiles.count + place + 1, steps * tiles.count
    return as_tokens(whole)
