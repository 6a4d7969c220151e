"""All cores of a CPU at work on one block.

MLX computes on a CPU with one core; only the products, in the BLAS, use more, and between them the others wait. So on
a CPU a block is cut, once, when it is loaded, into ordinary blocks that need nothing of each other: some attention
heads and some channels of the MLP, from the projection of the input to what they add to the output, as tensor
parallelism cuts it for several GPUs (Megatron-LM, arXiv:1909.08053). Each core takes some of them, with a stream of its
own and a BLAS that keeps to one thread, and adds up what it gets. The widest activations, never whole, take a fraction
of the memory too. On a GPU a block stays whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ..runtime import blas

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Share:
    """Share `index` of `count` equal ones."""

    index: int
    count: int

    def of(self, size: int, start: int = 0) -> slice:
        width = size // self.count
        return slice(start + self.index * width, start + (self.index + 1) * width)

    def pieces(self, *sizes: int) -> list[slice]:
        return [self.of(size, stop - size) for size, stop in zip(sizes, accumulate(sizes), strict=True)]


class Sharded(nn.Module):
    """Ordinary modules of fewer channels, whose outputs add up to those of the module that they are cut from."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = list(parts)

    def __call__(self, *inputs: Any) -> Any:
        """What the whole module gives for these inputs (arrays, and tuples of arrays): an array, or a tuple of them."""
        single = []

        def term(index: int) -> Sequence[mx.array]:
            out = self.parts[index](*inputs)
            single.append(isinstance(out, mx.array))
            return [out] if isinstance(out, mx.array) else out

        sums = summed(term, len(self.parts), inputs)
        return sums[0] if single[0] else tuple(sums)

    def read(self) -> None:
        """Have all weights in memory, a tensor of all parts at a time, so that what they are cut from is freed."""
        for tensors in zip(*(tree_flatten(part.parameters()) for part in self.parts), strict=True):
            mx.eval([tensor for _, tensor in tensors])


def cut(whole: Any, count: int, part: Callable[[Any, Share], nn.Module]) -> Any:
    """`whole` in `count` parts, as `part` makes each; itself if there is but one.

    Nothing is read or copied yet: see `Sharded.read`, and drop the whole before.
    """
    return whole if count == 1 else Sharded([part(whole, Share(index, count)) for index in range(count)])


def summed(term: Callable[[int], Sequence[mx.array]], count: int, inputs: Any) -> list[mx.array]:
    """The sums, over `count` terms, of the arrays that `term` gives for each.

    `inputs` are what the terms have in common, computed first because no two threads may compute the same array.
    """
    mx.eval(inputs)
    workers = min(count, blas.threads())
    parts = [range(worker, count, workers) for worker in range(workers)]
    if workers == 1:
        return _added(term, parts[0])
    pool = _pool(workers)
    with blas.single_threaded():
        sums = list(pool.map(lambda part: _on_own_stream(term, part), parts))
    return [_total(column) for column in zip(*sums, strict=True)]


def _on_own_stream(term: Callable[[int], Sequence[mx.array]], part: Sequence[int]) -> list[mx.array]:
    if not hasattr(_thread, "stream"):
        _thread.stream = mx.new_stream(mx.cpu)
    with mx.stream(_thread.stream):
        return _added(term, part)


def _added(term: Callable[[int], Sequence[mx.array]], part: Sequence[int]) -> list[mx.array]:
    """One term at a time, so that only one's scratch is alive."""
    sums = list(term(part[0]))
    mx.eval(sums)
    for index in part[1:]:
        sums = [total + array for total, array in zip(sums, term(index), strict=True)]
        mx.eval(sums)
    return sums


def _total(arrays: Sequence[mx.array]) -> mx.array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="core")
