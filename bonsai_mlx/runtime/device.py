"""Where the tensors live: Metal (the product), CUDA or the CPU, and everything that differs between them.

The rest of the engine is the same code everywhere. What may differ is asked for here, by name: the activation dtype,
whether MLX has a quantised kernel for a bit width, which attention shapes are fused, and whether graphs are compiled.
"""

from __future__ import annotations

import platform
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from importlib.metadata import version
from typing import Any, Literal, TypeVar, cast

import mlx.core as mx
import numpy as np

from ..errors import DeviceError, OutOfMemory
from ..wording import command

Backend = Literal["metal", "cuda", "cpu"]
F = TypeVar("F", bound=Callable[..., Any])

CACHE_LIMIT_BYTES = 256 << 20  # room for freed buffers beside what is in use at the peak
SMALL_CACHE_LIMIT_BYTES = 32 << 20  # where memory matters more than time
_METAL_CAUSE = re.compile(r"execution failed: (.+) \([^()]*\)")  # as "Caused GPU Timeout Error (00000002:kIOGPU...)"
# macOS 26 stops work during which the screen might stutter; see github.com/ml-explore/mlx/issues/3267.
_INTERACTIVITY = "let the display sleep while it draws, or start it with AGX_RELAX_CDM_CTXSTORE_TIMEOUT=1 set; "
# What MLX's allocators say, and Metal and CUDA when work was too large for them.
_OUT_OF_MEMORY = re.compile(
    r"^\[(metal::)?malloc\w*\]|^\[METAL\].*(Insufficient Memory|OutOfMemory)|: out of memory$", re.S
)
_PROBED_ROWS = (2, 64)  # MLX has one kernel for few rows, and another for as many as the tokens of a picture
_FUSED_HEAD_DIMS = (64, 80, 128)  # mx.fast.scaled_dot_product_attention writes no score matrix for these on a GPU


@cache
def backend() -> Backend:
    if mx.default_device() == mx.Device(mx.cpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def activation_dtype() -> mx.Dtype:
    """bfloat16 on a GPU; float32 on a CPU, where bfloat16 is emulated and slow."""
    return mx.float32 if backend() == "cpu" else mx.bfloat16


@cache
def has_quantized_kernel(bits: int, group_size: int) -> bool:
    """Whether `mx.quantized_matmul` is worth calling for this packing: it exists and is fast.

    A CPU's is not fast (about 3 GFLOP/s). A GPU is asked once with a small product, because a backend may lack a kernel
    for a bit width: MLX had none for 1 bit before 0.32.4, and its CUDA build still has none. It may say so when the
    kernel is run, or leave what was in memory, so the values are looked at.
    """
    if backend() == "cpu":
        return False
    try:
        return all(_multiplies_packed(bits, group_size, rows) for rows in _PROBED_ROWS)
    except (RuntimeError, ValueError) as error:
        if _is_of_the_device(str(error)):  # nothing is learnt from it, and nothing may be remembered
            raise
        return False


def _is_of_the_device(message: str) -> bool:
    """Whether an error of MLX tells of the device and its memory rather than of a mistake in the program."""
    return message.startswith("[METAL]") or bool(_OUT_OF_MEMORY.search(message))


def _multiplies_packed(bits: int, group_size: int, rows: int) -> bool:
    """Whether `mx.quantized_matmul` finds what numpy finds for random codes around zero, so that a wrong one shows."""
    rng = np.random.default_rng(bits)
    words = rng.integers(0, 1 << 32, (32, 512 * bits // 32), dtype=np.uint32)
    codes = (words[:, :, None] >> np.arange(0, 32, bits, dtype=np.uint32)) & np.uint32((1 << bits) - 1)
    middle = ((1 << bits) - 1) / 2
    x = rng.choice([-1.0, 1.0], (rows, 512))
    expected = x @ (codes.reshape(32, 512) - middle).T
    scales = mx.ones((32, 512 // group_size), dtype=mx.bfloat16)
    packed = mx.array(words), scales, -middle * scales
    found = mx.quantized_matmul(mx.array(x, dtype=mx.bfloat16), *packed, group_size=group_size, bits=bits)
    error = np.abs(np.array(found.astype(mx.float32)) - expected).max()
    return bool(error < expected.std() / 4)  # rounding stays below it; zeros or anything else are several times above


def has_fused_attention(head_dim: int) -> bool:
    return backend() != "cpu" and head_dim in _FUSED_HEAD_DIMS


def has_vector_exp() -> bool:
    """Whether MLX computes exponentials with vector instructions: everywhere but in its CPU build for x86."""
    return backend() != "cpu" or platform.machine() not in ("x86_64", "AMD64")


def compiled(function: F) -> F:
    """`mx.compile` on a GPU; the function itself on a CPU.

    MLX compiles CPU graphs with the C++ compiler of the machine, at run time: seconds where there is one, an error
    where there is none.
    """
    fused = mx.compile(function)

    @wraps(function)
    def call(*arrays: mx.array) -> Any:
        return (function if backend() == "cpu" else fused)(*arrays)

    return cast(F, call)


def release_cache() -> None:
    mx.clear_cache()


@dataclass(frozen=True, slots=True, eq=False)
class _Goal:
    others_bytes: int  # held when it was opened by whatever is not its run
    own_bytes: int


class _Limits:
    """MLX's limits on freed buffers and on memory, one pair for the whole process, while goals are open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a run that nobody refers to any more ends wherever memory is asked for
        self._goals: list[_Goal] = []
        self._outside = self._aimed = (0, 0)

    def open(self, goal: _Goal) -> None:
        with self._lock:
            self._goals.append(goal)
            self._aim()

    def close(self, goal: _Goal) -> None:
        with self._lock:
            self._goals.remove(goal)
            self._aim()

    def _aim(self) -> None:
        """Set the limits to what the open goals add up to; without any, to what they were before."""
        others = max((goal.others_bytes for goal in self._goals), default=0)
        total = others + sum(goal.own_bytes for goal in self._goals)
        aimed = (total, total) if self._goals else self._outside
        before = mx.set_cache_limit(aimed[0]), mx.set_memory_limit(aimed[1])
        if before != self._aimed:  # not ours: MLX's own, or what the program has set meanwhile
            self._outside = before
            if not self._goals:
                mx.set_cache_limit(before[0])
                mx.set_memory_limit(before[1])
        self._aimed = aimed if self._goals else (0, 0)


_limits = _Limits()


@contextmanager
def memory_goal(peak_bytes: int, *, resident_bytes: int = 0, small_cache: bool = False) -> Iterator[None]:
    """Within it MLX aims at this peak and some room for freed buffers, which it keeps for reuse as long as they fit.

    What the process holds beside is added, since MLX counts it too; `resident_bytes` of what it holds now belong to
    the run and are part of the peak. Goals may overlap, and close in any order: they add up.

    A GPU holds what its queued kernels read until they have run, and MLX queues some ten batches of them: without a
    goal, work that needs little at any moment holds much. Above it MLX first drops freed buffers, then waits for the
    GPU instead of queueing more; it is no cap, work that needs more gets it (see `mx.set_memory_limit`). Freed buffers
    have no bound of their own, below which the widest ones of a block would be made anew in every block.
    """
    room = SMALL_CACHE_LIMIT_BYTES if small_cache else CACHE_LIMIT_BYTES
    goal = _Goal(max(0, mx.get_active_memory() - resident_bytes), peak_bytes + room)
    _limits.open(goal)
    try:
        yield
    finally:
        _limits.close(goal)


def raise_failure(error: RuntimeError | MemoryError, size: str) -> None:
    """Raise what an error of MLX means to the person who draws at `size`; return if it is not about the device.

    It raises rather than returns: an exception in a caller's variable keeps that frame, and a picture's memory, alive.
    """
    text = str(error)
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        raise OutOfMemory(
            f"the device ran out of memory at {size}; choose a smaller size or set a memory limit"
        ) from error
    if text.startswith("[METAL]"):
        cause = _METAL_CAUSE.search(text)
        raise DeviceError(
            f"the graphics device stopped the work at {size}{f' ({cause[1]})' if cause else ''}; close other programs "
            f"that use it, choose a smaller size, and try again; {_INTERACTIVITY if 'Interactivity' in text else ''}"
            f"if it stays so, see what this says: {command()} doctor"
        ) from error


def mlx_version() -> str:
    return version("mlx")


def details() -> dict[str, Any]:
    info = mx.device_info() if backend() != "cpu" else {}
    return {
        "backend": backend(),
        "chip": str(info.get("device_name") or platform.processor() or platform.machine()),
        "mlx": mlx_version(),
        "memory_bytes": int(info.get("memory_size", 0)) or None,
        "working_set_bytes": int(info.get("max_recommended_working_set_size", 0)) or None,
    }
