"""What a process needs before it loads MLX. Entry points ask for it; importing a module changes nothing."""

from __future__ import annotations

from . import blas, winograd


def prepare() -> None:
    """Settle this process for MLX: on Linux CPUs a fast BLAS is loaded (see `blas`), Winograd's algorithm is avoided.

    Call it before anything imports `mlx.core`; later, a BLAS does nothing, and a RuntimeWarning says so. Taking
    `Pipeline` from the package does it too. Harmless to call again.
    """
    winograd.avoid()
    blas.preload_fast_blas()
