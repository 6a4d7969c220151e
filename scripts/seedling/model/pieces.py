"""A batch in pieces, on a CPU side by side: each core computes whole pieces, whose activations stay in its cache.

All cores on one operation after the other wait for each other, and for memory. A GPU takes the batch as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from .networks import allow_recompiling, autocast, is_first

Result = TypeVar("Result")
_CRUMB = 2  # samples: fewer are not worth a thread of their own


def in_pieces(compute: Callable[..., Result], piece: int | None, *tensors: Tensor) -> list[Result]:
    """compute(...), under `autocast`, of the same samples of all tensors, `piece` at a time; None: of all at once."""
    size = _size(len(tensors[0]), piece)
    parts = list(zip(*(tensor.split(size) for tensor in tensors), strict=True))
    graded = torch.is_grad_enabled()

    def computed(part: Sequence[Tensor]) -> Result:
        with torch.set_grad_enabled(graded), autocast():  # both belong to a thread
            return compute(*part)

    workers = min(torch.get_num_threads(), len(parts))
    if workers == 1:
        return list(map(computed, parts))
    if is_first((graded, tuple(tensor.shape for tensor in parts[0]))):  # two threads that compile may crash torch
        return [_pool(workers).submit(computed, part).result() for part in parts]
    return list(_pool(workers).map(computed, parts))


def evaluated(velocity: Callable[..., Tensor], piece: int | None) -> Callable[..., Tensor]:
    """The same function of a batch, in pieces, without gradients."""

    def compute(*inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat(in_pieces(velocity, piece, *inputs))

    return compute


def backward(means: Callable[..., Tensor], piece: int | None, *tensors: Tensor) -> Tensor:
    """means(...) [n] of the batch, each a mean over samples; the first is the loss, whose gradients are added."""

    def descended(*part: Tensor) -> Tensor:
        weighted = means(*part) * (len(part[0]) / len(tensors[0]))
        with torch.autocast(weighted.device.type, enabled=False):
            weighted[0].backward()
        return weighted.detach()

    return torch.stack(in_pieces(descended, piece, *tensors)).sum(0)


def imitated(velocity: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """For `backward`: the mean squared distance from its first argument of what `velocity` makes of the others."""
    return lambda target, *inputs: (velocity(*inputs) - target).square().mean()[None]


def _size(count: int, piece: int | None) -> int:
    """Samples of a piece: fewer than `piece` where a core would be left without one, but no crumbs."""
    return min(piece, max(_CRUMB, -(-count // torch.get_num_threads()))) if piece else count


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="piece", initializer=_settle)


def _settle() -> None:
    """One core to a thread. Torch keeps both settings by thread."""
    torch.get_num_threads()  # the first look of a thread takes over what another one has set last, and it looks late
    torch.set_num_threads(1)
    allow_recompiling()
