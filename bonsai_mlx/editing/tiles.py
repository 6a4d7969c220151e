"""Overlapping tiles of a map or a picture, and the weights with which what is made of them is put together.

Along each side the tiles' weights rise and fall over what they share with their neighbours, and add up to 1 everywhere.
The outer quarter of what is shared counts for nothing: a network that looks beyond a tile's edge finds zeros there, and
draws a fine line along it. Numbers and NumPy arrays alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Spans:
    """Where tiles of one length lie along a side. Both are in any unit, such as tokens or pixels."""

    length: int
    tile: int
    overlap: int  # at least, of two neighbours

    @cached_property
    def starts(self) -> list[int]:
        """The first position of each, evenly spread."""
        if self.tile >= self.length:
            return [0]
        count = math.ceil((self.length - self.overlap) / (self.tile - self.overlap))
        return [round(place * (self.length - self.tile) / (count - 1)) for place in range(count)]

    @cached_property
    def weights(self) -> list[Array]:
        """Of each, float32 [min(tile, length)]."""
        size = min(self.tile, self.length)
        raised = np.zeros((len(self.starts), self.length))
        for place, start in enumerate(self.starts):
            raised[place, start : start + size] = self._ramps(place, size)
        raised /= raised.sum(axis=0)
        return [row[start : start + size].astype(np.float32) for row, start in zip(raised, self.starts, strict=True)]

    def _ramps(self, place: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        ramps = np.ones(size)
        if place > 0:
            shared = self.starts[place - 1] + size - self.starts[place]
            ramps[:shared] *= _rising(shared)
        if place + 1 < len(self.starts):
            shared = self.starts[place] + size - self.starts[place + 1]
            ramps[size - shared :] *= 1 - _rising(shared)
        return ramps


def _rising(shared: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """From 0 to 1 over the middle half of what two tiles share."""
    return np.clip(2 * (np.arange(shared) + 0.5) / shared - 0.5, 0, 1)


@dataclass(frozen=True)
class Tiling:
    """Tiles of a map, row by row from the top left."""

    rows: Spans
    columns: Spans

    @property
    def count(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def places(self) -> Iterator[tuple[slice, slice, Array]]:
        """Rows, columns and weights [rows, columns] of each tile."""
        for top, down in zip(self.rows.starts, self.rows.weights, strict=True):
            for left, across in zip(self.columns.starts, self.columns.weights, strict=True):
                yield slice(top, top + len(down)), slice(left, left + len(across)), down[:, None] * across

    def strips(self, scale: int, tile: Callable[[slice, slice], np.ndarray]) -> Iterator[Array | None]:
        """A picture whose sides are `scale` times the map's, put together from its tiles: float32 [rows, width, 3].

        `tile` makes pixels [rows, columns, 3] of the map's rows and columns; after each comes None, so that the work
        can be watched. Of the picture no more is held than a row of tiles and what it shares with the next.
        """
        rows, columns = self._scaled(self.rows, scale), self._scaled(self.columns, scale)
        size, width = min(rows.tile, rows.length), columns.length
        waiting, done = np.zeros((0, width, 3), np.float32), 0
        for place, (top, down) in enumerate(zip(rows.starts, rows.weights, strict=True)):
            strip = np.zeros((size, width, 3), np.float32)
            for left, across in zip(columns.starts, columns.weights, strict=True):
                source = slice(top // scale, (top + size) // scale), slice(left // scale, (left + len(across)) // scale)
                strip[:, left : left + len(across)] += tile(*source) * (down[:, None, None] * across[None, :, None])
                yield None
            strip[: len(waiting)] += waiting
            done = rows.starts[place + 1] if place + 1 < len(rows.starts) else rows.length
            yield strip[: done - top]
            waiting = strip[done - top :]

    @staticmethod
    def _scaled(spans: Spans, scale: int) -> Spans:
        """The same tiles in smaller units: the places of `spans`, and ramps as fine as those units."""
        made = Spans(spans.length * scale, spans.tile * scale, spans.overlap * scale)
        made.__dict__["starts"] = [start * scale for start in spans.starts]
        return made


def tiling(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> Tiling:
    return Tiling(Spans(size[1], min(tile[1], size[1]), overlap), Spans(size[0], min(tile[0], size[0]), overlap))
