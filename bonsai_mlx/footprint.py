"""How much memory a process takes from the system, as the system's own monitor shows it. Needs no MLX."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

import psutil

_RUSAGE_INFO_V2 = 2
_PHYS_FOOTPRINT_INDEX = 7  # 64-bit words into the times-and-sizes part of rusage_info_v2, after the 16-byte uuid


def process_footprint(pid: int | None = None) -> int:
    """Bytes. On macOS `phys_footprint`, the figure of Activity Monitor, which counts GPU memory; elsewhere resident."""
    if sys.platform == "darwin":
        return _phys_footprint(os.getpid() if pid is None else pid)
    return int(_process(pid).memory_info().rss)


@cache
def _process(pid: int | None) -> Any:
    return psutil.Process(pid)


def _phys_footprint(pid: int) -> int:
    # struct rusage_info_v2: uint8_t uuid[16], then 64-bit user_time, system_time, pkg_idle_wkups, interrupt_wkups,
    # pageins, wired_size, resident_size, phys_footprint, ... (sys/resource.h)
    buffer = (ctypes.c_uint64 * 32)()
    libproc = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    if libproc.proc_pid_rusage(pid, _RUSAGE_INFO_V2, ctypes.byref(buffer)) != 0:
        return int(_process(pid).memory_info().rss)
    return int(buffer[2 + _PHYS_FOOTPRINT_INDEX])
