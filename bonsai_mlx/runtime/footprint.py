"""How much memory a process takes from the system, as the system's own monitor shows it. Needs no MLX."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

import psutil

_RUSAGE_INFO_V2 = 2
_PHYS_FOOTPRINT_INDEX, _DISK_BYTES_READ_INDEX = 7, 16


def process_footprint(pid: int | None = None) -> int:
    """Bytes. On macOS `phys_footprint`, the figure of Activity Monitor, which counts GPU memory; elsewhere resident."""
    if sys.platform == "darwin":
        return _rusage(os.getpid() if pid is None else pid)[_PHYS_FOOTPRINT_INDEX]
    return int(_process(pid).memory_info().rss)


@cache
def _process(pid: int | None) -> Any:
    return psutil.Process(pid)


def _rusage(pid: int) -> list[int]:
    """The 64-bit words of struct rusage_info_v2 after its 16-byte uuid (sys/resource.h): user_time, system_time,
    pkg_idle_wkups, interrupt_wkups, pageins, wired_size, resident_size, phys_footprint, ..., diskio_bytesread, ..."""
    buffer = (ctypes.c_uint64 * 32)()
    libproc = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    if libproc.proc_pid_rusage(pid, _RUSAGE_INFO_V2, ctypes.byref(buffer)) != 0:
        raise OSError(ctypes.get_errno(), f"proc_pid_rusage({pid}) failed")
    return list(buffer)[2:]


def process_bytes_read() -> int:
    """Bytes this process has read from files so far; on macOS only those that came from the disk, not its cache."""
    if sys.platform == "darwin":
        return _rusage(os.getpid())[_DISK_BYTES_READ_INDEX]
    return int(_process(None).io_counters().read_chars)
