"""A fast BLAS for MLX on Linux CPUs.

MLX's Linux wheel links a reference BLAS (about 4 GFLOP/s in float32). A library with plain `cblas_*` names that is
loaded globally BEFORE `mlx.core` takes its place (measured 480 GFLOP/s on two cores); loaded after, it does nothing.
So `startup.prepare` does it first of all. One that was built for another processor is passed over: the wheel on PyPI
is for those with AVX-512. macOS uses Accelerate and needs none of this.
"""

from __future__ import annotations

import _ctypes
import ctypes
import ctypes.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import environment
from .extras import install_command


@dataclass(frozen=True, slots=True)
class BlasStatus:
    """Which library is in force, or why none is. `remedy` is empty when nothing needs doing."""

    library: str | None
    remedy: str


# What the kernels of an OpenBLAS need that was built for one kind of processor; each kind not named runs on any.
# Names: OpenBLAS's TargetList.txt; instructions: as /proc/cpuinfo spells them.
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_INSTRUCTIONS = {
    "SANDYBRIDGE": {"avx"},
    "HASWELL": {"avx2", "fma"},
    "ZEN": {"avx2", "fma"},
    "SKYLAKEX": _AVX512,
    "COOPERLAKE": {*_AVX512, "avx512_bf16"},
    "SAPPHIRERAPIDS": {*_AVX512, "avx512_bf16", "avx512_fp16"},
    "ARMV8SVE": {"sve"},
    "A64FX": {"sve"},
    "NEOVERSEV1": {"sve"},
    "NEOVERSEN2": {"sve2"},
}

_status: BlasStatus | None = None
_loaded: ctypes.CDLL | None = None


def preload_fast_blas() -> BlasStatus:
    """Load a fast BLAS once, if this platform needs one; harmless to call again.

    `BONSAI_BLAS` names a library to use instead of the ones that are searched for, or `none` to load nothing.
    """
    global _status
    if _status is None:
        _status = _preload()
    return _status


def threads() -> int:
    """How many threads the library computes with; 1 where it cannot be told to use fewer."""
    if _loaded is None or not hasattr(_loaded, "openblas_set_num_threads"):
        return 1
    return int(_loaded.openblas_get_num_threads())


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let each call compute on the thread that makes it, for callers that use several threads themselves."""
    before = threads()
    limit_threads(1)
    try:
        yield
    finally:
        limit_threads(before)


def limit_threads(count: int) -> None:
    if _loaded is not None and count != threads():
        _loaded.openblas_set_num_threads(count)


def _preload() -> BlasStatus:
    global _loaded
    if not sys.platform.startswith("linux"):
        return BlasStatus(library=None, remedy="")
    choice = environment.text("BONSAI_BLAS") or ""
    if choice.lower() == "none":
        return BlasStatus(library=None, remedy="BONSAI_BLAS=none asks for MLX's own slow BLAS; unset it")
    if "mlx.core" in sys.modules:
        remedy = "mlx was imported first; take Pipeline from bonsai_mlx, or call bonsai_mlx.prepare(), before that"
        if _candidates():  # without one there is nothing to lose, on a GPU for instance
            warnings.warn(f"MLX computes slowly on this CPU: {remedy}", RuntimeWarning, stacklevel=4)
        return BlasStatus(library=None, remedy=remedy)
    failures = []
    for library in [choice] if choice else _candidates():
        try:
            _loaded = _load(library)
        except OSError as error:
            failures.append(str(error))
        else:
            return BlasStatus(library=library, remedy="")
    remedy = f"{install_command('cpu')} and, as root, apt-get install libgfortran5 libopenblas0; or pip install mkl"
    return BlasStatus(library=None, remedy="; ".join([remedy, *failures]))


def _load(library: str) -> ctypes.CDLL:
    """OSError: it cannot be loaded, or would end this process with an illegal instruction."""
    loaded = ctypes.CDLL(library)  # for itself: others see it only once it is known to run here
    missing = _instructions_needed(loaded) - _instructions_here()
    if missing:
        _ctypes.dlclose(loaded._handle)  # or it would be found again under the name that it shares with the system's
        raise OSError(f"{library} needs a processor with {', '.join(sorted(missing))}")
    return ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


def _instructions_needed(loaded: ctypes.CDLL) -> set[str]:
    """Nothing for MKL and an OpenBLAS with DYNAMIC_ARCH, which choose their kernels where they run."""
    if not hasattr(loaded, "openblas_get_config"):
        return set()
    about, core = loaded.openblas_get_config, loaded.openblas_get_corename
    about.restype = core.restype = ctypes.c_char_p
    return set() if b"DYNAMIC_ARCH" in about() else _INSTRUCTIONS.get(core().decode().upper(), set())


def _instructions_here() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.partition(":")[2].split()}


def _candidates() -> list[str]:
    """Libraries to try, best first: this environment's wheels of OpenBLAS and MKL, then the system's."""
    found = []
    for folder in map(Path, sys.path):
        found += [str(p) for p in folder.glob("cmeel.prefix/lib/libopenblas.so")]
        found += [str(p) for p in sorted(folder.glob("../../libmkl_rt.so.*"))]
    for name in ("openblas", "mkl_rt"):
        library = ctypes.util.find_library(name)
        if library:
            found.append(library)
    return found
