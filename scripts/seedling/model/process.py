"""How the process of a training behaves: what has to be settled before torch is imported.

A step on a CPU allocates and frees some hundred arrays of a few MB. glibc takes each from the system and gives it back,
page by page; a quarter of all time went there. Kept within the process, in huge pages, they cost nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>
_NEVER_TRIM = 2**31 - 1  # mallopt takes an int: give memory back when this much lies free at the top of the heap


def settle() -> None:
    """Keep freed memory, in huge pages, and let idle threads sleep. Call it before the first import of torch."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other where cores are shared
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then asks for huge pages
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # glibc's own
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
