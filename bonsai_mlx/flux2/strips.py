"""Feature maps in row strips: what convolves, normalises, doubles and halves a map holds no more of it than it must.

A map is strips [1, rows, width, channels] that lie under each other. A convolution borrows one row from each
neighbour, and GroupNorm uses the statistics of the whole image, so strips give what one piece gives: no seams and no
shift of colour, which tiles with statistics of their own do. What strips save is memory: a layer's input is dropped
as its output grows. Where that is still too much, a map is not kept at all but computed anew each time it is gone
through, as activations are in training (Chen et al., arXiv:1604.06174), with the same result bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn

from ..nn.activations import silu
from ..nn.layers import Convolution, read
from ..runtime import device

Strips = Iterator[mx.array]
_SUMMED_ROWS = 8_192  # positions of a large map that are summed at a time
_LARGE_ROWS = 65_536  # more than a strip has on a CPU


class FeatureMap(Protocol):
    """A map that can be gone through more than once."""

    def strips(self) -> Strips: ...

    def taken(self) -> Strips:
        """Its strips, from the top, for the last time: what is passed is dropped."""
        ...


class Kept:
    """A map in memory. Builds itself from strips as they come."""

    def __init__(self, strips: Iterable[mx.array]) -> None:
        self._strips = list(strips)

    def strips(self) -> Strips:
        return iter(self._strips)

    def taken(self) -> Strips:
        while self._strips:
            yield self._strips.pop(0)


class Recomputed:
    """What `compute` makes of another map, anew each time."""

    def __init__(self, source: FeatureMap, compute: Callable[[Strips], Strips]) -> None:
        self._source = source
        self._compute = compute

    def strips(self) -> Strips:
        return self._compute(self._source.strips())

    def taken(self) -> Strips:
        return self._compute(self._source.taken())


@dataclass(frozen=True, slots=True)
class Cutting:
    """How maps are held on their way through the layers."""

    strip_values: int  # the most in a strip, at every resolution
    recompute: bool = False  # whether maps between two layers are computed anew instead of kept

    def made(self, source: FeatureMap, compute: Callable[[Strips], Strips]) -> FeatureMap:
        """What `compute` makes of `source`, which is used up: for one layer alone, so it need not be kept."""
        anew = Recomputed(source, compute)
        return anew if self.recompute else Kept(anew.taken())


class Normalise:
    """silu(GroupNorm(x)) for any strip of a map, with the statistics of all of it, for which it is gone through."""

    def __init__(self, strips: Strips, norm: nn.GroupNorm) -> None:
        read(norm)
        heights, moments = [], []
        each = norm.dims // norm.num_groups
        for strip in strips:
            rows = strip.reshape(-1, norm.dims).astype(mx.float32)
            # channels first, then groups: a GPU has few threads for what it reduces to few values at once
            mean = _column_means(rows).reshape(-1, each).mean(axis=1)
            squares = _column_means(mx.square(rows - mx.repeat(mean, each)))
            moments.append((mean, squares.reshape(-1, each).mean(axis=1)))
            heights.append(strip.shape[1])
            mx.eval(moments[-1])
            del strip, rows, squares
        weight = (mx.array(heights, dtype=mx.float32) / sum(heights))[:, None]
        means, variances = (mx.stack(list(values)) for values in zip(*moments, strict=True))
        mean = (weight * means).sum(axis=0)
        variance = (weight * (variances + mx.square(means - mean))).sum(axis=0)
        inverse = mx.repeat(mx.rsqrt(variance + norm.eps), each)
        self.scale = norm.weight.astype(mx.float32) * inverse
        self.shift = norm.bias.astype(mx.float32) - mx.repeat(mean, each) * self.scale
        mx.eval(self.scale, self.shift)

    def affine(self, strip: mx.array) -> mx.array:
        """The normalised strip without silu."""
        return _affine(strip, self.scale, self.shift)

    def __call__(self, strip: mx.array) -> mx.array:
        return _affine_silu(strip, self.scale, self.shift)


def _column_means(rows: mx.array) -> mx.array:
    """The mean of each column [rows, columns], summed over a bounded number of rows at a time.

    Sums over a million rows, one after the other in float32, lose the fourth digit.
    """
    count, columns = rows.shape
    if count <= _LARGE_ROWS:
        return rows.mean(axis=0)
    whole = count - count % _SUMMED_ROWS
    blocks = rows[:whole].reshape(-1, _SUMMED_ROWS, columns).mean(axis=1).mean(axis=0)
    if whole == count:
        return blocks
    return (blocks * whole + rows[whole:].sum(axis=0)) / count


@device.compiled
def _affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return (x.astype(mx.float32) * scale + shift).astype(x.dtype)


@device.compiled
def _affine_silu(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return silu(x.astype(mx.float32) * scale + shift).astype(x.dtype)


def convolved(strips: Strips, conv: Convolution, before: Callable[[mx.array], mx.array] | None = None) -> Strips:
    """A 3x3 convolution, zeros around, of before(strip): strips of the same rows, computed as they are asked for."""
    read(conv)
    strip, above = next(strips, None), None
    while strip is not None:
        below = next(strips, None)
        y = _convolved(above, strip, below, conv, before)
        above = mx.contiguous(strip[:, -1:])  # a copy: a view would keep the whole strip alive
        mx.eval(y, above)
        strip = below
        del below
        yield y
        del y


def _convolved(
    above: mx.array | None,
    strip: mx.array,
    below: mx.array | None,
    conv: Convolution,
    before: Callable[[mx.array], mx.array] | None,
) -> mx.array:
    borrowed = [above, strip, None if below is None else below[:, :1]]
    window = mx.concatenate([rows for rows in borrowed if rows is not None], axis=1)
    window = window if before is None else before(window)
    edges = [(0, 0), (int(above is None), int(below is None)), (0, 0), (0, 0)]
    if above is None or below is None:
        window = mx.pad(window, edges)
    return mx.conv2d(window, conv.weight, padding=(0, 1)) + conv.bias


def doubled(strips: Strips, strip_values: int) -> Strips:
    """Nearest neighbour, twice the rows and columns, in strips of at most `strip_values`, and at least two rows."""
    for piece in cut(strips, strip_values // 4):
        yield mx.repeat(mx.repeat(piece, 2, axis=1), 2, axis=2)


def halved(strips: Strips, conv: Convolution, strip_values: int) -> Strips:
    """A 3x3 convolution of every second row and column, in strips of about `strip_values` where there are as many.

    As the reference does, zeros are added on the right and below only, so row r is made of rows 2r, 2r + 1 and 2r + 2:
    the last rows of a strip wait for the next one.
    """
    read(conv)
    waiting: list[mx.array] = []
    strip = next(strips, None)
    while strip is not None:
        waiting.append(strip)
        strip = next(strips, None)
        if strip is not None and sum(piece.size for piece in waiting) < 4 * strip_values:
            continue
        window = mx.concatenate(waiting, axis=1)
        waiting.clear()
        window = mx.pad(window, [(0, 0), (0, int(strip is None)), (0, 1), (0, 0)])
        used = 2 * ((window.shape[1] - 1) // 2)
        if strip is not None:
            waiting.append(mx.contiguous(window[:, used:, :-1]))
        if used:
            y = mx.conv2d(window, conv.weight, stride=2) + conv.bias
            mx.eval(y, waiting)
            del window
            yield y
            del y


def cut(strips: Iterable[mx.array], strip_values: int) -> Strips:
    """The same map in strips of at most `strip_values` values, and at least one row."""
    for strip in strips:
        rows = max(1, strip_values // (strip.shape[2] * strip.shape[3]))
        for start in range(0, strip.shape[1], rows):
            piece = strip if strip.shape[1] <= rows else mx.contiguous(strip[:, start : start + rows])
            mx.eval(piece)
            yield piece
            del piece
