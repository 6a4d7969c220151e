"""All cores of a CPU at work on one block.

MLX computes on a CPU with one core; only the products, in the BLAS, use more, and between them the others wait. So on
a CPU a block's work is cut into shares that need nothing of each other: some attention heads and some channels of the
MLP, from the projection of the input to what they add to the output, as tensor parallelism cuts it for several GPUs
(Megatron-LM, arXiv:1909.08053). Each core takes shares, with a stream of its own and a BLAS that keeps to one thread,
and adds up what it gets. The widest activations, never whole, take a fraction of the memory too. A GPU has one share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import mlx.core as mx

from ..flux2.config import TransformerConfig
from ..flux2.plan import shares_of
from ..runtime import blas, device

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Share:
    """Share `index` of `count` equal ones."""

    index: int
    count: int

    def of(self, size: int, start: int = 0) -> slice:
        """Its part of the `size` channels that begin at `start`."""
        width = size // self.count
        return slice(start + self.index * width, start + (self.index + 1) * width)

    def pieces(self, *sizes: int) -> list[slice]:
        """Its part of each of the parts, of these `sizes`, that lie one after the other."""
        return [self.of(size, stop - size) for size, stop in zip(sizes, accumulate(sizes), strict=True)]


WHOLE = Share(0, 1)
Term = Callable[[Share], Sequence[mx.array]]


def shares(config: TransformerConfig) -> int:
    """Into how many shares this device cuts a block."""
    return shares_of(config) if device.backend() == "cpu" else 1


def summed(term: Term, count: int, inputs: Sequence[mx.array]) -> list[mx.array]:
    """The sums, over `count` shares, of the arrays that `term` gives for each.

    `inputs` are what the terms share: they are computed first, because no two threads may compute the same array.
    """
    if count == 1:
        return list(term(WHOLE))
    mx.eval(inputs)
    workers = min(count, blas.threads())
    parts = [[Share(index, count) for index in range(worker, count, workers)] for worker in range(workers)]
    if workers == 1:
        return _added(term, parts[0])
    pool = _pool(workers)
    with blas.single_threaded():
        sums = list(pool.map(lambda part: _on_own_stream(term, part), parts))
    return [_total(column) for column in zip(*sums, strict=True)]


def _on_own_stream(term: Term, part: Sequence[Share]) -> list[mx.array]:
    if not hasattr(_thread, "stream"):
        _thread.stream = mx.new_stream(mx.cpu)
    with mx.stream(_thread.stream):
        return _added(term, part)


def _added(term: Term, part: Sequence[Share]) -> list[mx.array]:
    """One share at a time, so that only one's scratch is alive."""
    sums = list(term(part[0]))
    mx.eval(sums)
    for share in part[1:]:
        sums = [total + array for total, array in zip(sums, term(share), strict=True)]
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
