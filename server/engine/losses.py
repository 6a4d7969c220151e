"""Why an engine's process is gone: what its exit status and the machine's memory tell of it, and what to do then."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from bonsai_mlx.wording import format_bytes

Shortage = Literal["told", "likely", "none"]  # by the system itself; by how little was free; plenty was

AGAIN = "Draw it again."
SMALLER = "Choose a smaller size, set a memory limit, or close other programs."
DOCTOR = "Draw it again; if that ends in the same way, run `bonsai-mlx doctor`, which looks for the reason."
_FRESH = "The next picture starts a fresh one."
_LITTLE = 0.1  # of the machine's memory: with less than that free, the system begins to end processes
_KILLS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))  # of Linux: the machine's, the container's
_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class WorkerLostError(Exception):
    """The child process is gone in the middle of a run. The message and the remedy are for people."""

    def __init__(self, message: str, *, out_of_memory: bool = False, remedy: str | None = AGAIN) -> None:
        super().__init__(message)
        self.code: Literal["out_of_memory", "failed"] = "out_of_memory" if out_of_memory else "failed"
        self.remedy = remedy


class Free(NamedTuple):
    """Memory of the machine, in bytes."""

    available: int
    total: int

    @property
    def share(self) -> float:
        return self.available / self.total


class MemoryWitness:
    """Remembers of a run how little memory was free, and whether the system ended processes for want of it."""

    def __init__(self, kills: tuple[Path, ...] = _KILLS) -> None:
        self._kills = kills
        self.begin()

    def begin(self) -> None:
        self._killed_before = self._killed()
        self.least = Free(1, 1)
        self.look()

    def look(self) -> None:
        with contextlib.suppress(OSError, psutil.Error):
            memory = psutil.virtual_memory()
            self.least = min(
                self.least, Free(memory.available, memory.total), key=lambda one: one.available / one.total
            )

    @property
    def shortage(self) -> Shortage:
        if self._killed() > self._killed_before:
            return "told"
        return "likely" if self.least.share < _LITTLE else "none"

    def _killed(self) -> int:
        """How many processes the system has ended for want of memory since it began; 0 where it does not tell."""
        found = 0
        for path in self._kills:
            with contextlib.suppress(OSError, ValueError):
                found += sum(map(int, re.findall(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)))
        return found


def explain_exit(code: int, device: str | None, shortage: Shortage, least: Free) -> WorkerLostError:
    """`code` is the process's exit status, minus the signal that ended it; `least` is what was free at the worst."""
    figures = f"{format_bytes(least.available)} of {format_bytes(least.total)} of the memory were free"
    how, remedy, no_memory = f"ended unexpectedly with status {code}", DOCTOR, False
    if code == -signal.SIGKILL and shortage != "none":
        cause = "because memory ran out" if shortage == "told" else f"most likely because memory ran out: {figures}"
        how, remedy, no_memory = f"was ended by the system, {cause}", SMALLER, True
    elif code == -signal.SIGKILL:
        how, remedy = f"was ended from outside (SIGKILL), though {figures}", AGAIN
    elif -code in _ASKED:
        how, remedy = f"was ended by a person or another program ({_name(-code)})", AGAIN
    elif code == -signal.SIGABRT and (device != "cpu" or shortage != "none"):
        where = "memory" if device == "cpu" else "the memory of the graphics device"
        how, remedy, no_memory = f"crashed, as happens when {where} runs out", SMALLER, True
    elif code < 0:
        how = f"crashed ({_name(-code)})"
    return WorkerLostError(f"The drawing process {how}. {_FRESH}", out_of_memory=no_memory, remedy=remedy)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
