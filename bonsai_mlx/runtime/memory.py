"""Measure memory: what MLX holds, what the process holds, and how both went over a run.

Definitions: peak is the most MLX held at any moment; mean active is the time integral of what it held, sampled every
50 ms, over the run's time; the integral itself (GB*s) is what a run costs in memory and time together.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import mlx.core as mx
import psutil

from .footprint import process_footprint

SAMPLE_PERIOD_S = 0.05


def snapshot() -> dict[str, int]:
    return {
        "mlx_active_bytes": mx.get_active_memory(),
        "mlx_peak_bytes": mx.get_peak_memory(),
        "mlx_cache_bytes": mx.get_cache_memory(),
        "process_bytes": process_footprint(),
    }


def system() -> dict[str, int]:
    virtual, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "system_total_bytes": virtual.total,
        "system_available_bytes": virtual.available,
        "swap_used_bytes": swap.used,
    }


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading, `t_s` seconds into the run."""

    t_s: float
    phase: str
    active_bytes: int
    process_bytes: int


@dataclass
class RunMemory:
    """Samples memory on a thread of its own while a run goes on: a context manager, told of phases by `phase()`."""

    samples: list[Sample] = field(default_factory=list)
    phase_peaks: dict[str, int] = field(default_factory=dict)
    _phase: str = "load"
    _started: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> RunMemory:
        self._started = time.perf_counter()
        mx.reset_peak_memory()
        self._sample()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="memory-sampler", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._note_peak()
        self._sample()

    def phase(self, name: str) -> None:
        """From here on the run is in phase `name`; the phase before it keeps the peak it reached."""
        if name != self._phase:
            self._note_peak()
            mx.reset_peak_memory()
            self._phase = name

    def summary(self) -> dict[str, Any]:
        self._note_peak()
        integral = sum(
            (after.t_s - before.t_s) * (after.active_bytes + before.active_bytes) / 2
            for before, after in zip(self.samples, self.samples[1:], strict=False)
        )
        duration = self.samples[-1].t_s - self.samples[0].t_s if len(self.samples) > 1 else 0.0
        return {
            "peak_bytes": max(self.phase_peaks.values()),
            "mean_active_bytes": int(integral / duration) if duration else self.samples[-1].active_bytes,
            "integral_gb_s": integral / 1e9,
            "process_peak_bytes": max(sample.process_bytes for sample in self.samples),
            "phases": dict(self.phase_peaks),
        }

    def _note_peak(self) -> None:
        self.phase_peaks[self._phase] = max(self.phase_peaks.get(self._phase, 0), mx.get_peak_memory())

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(SAMPLE_PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        elapsed = time.perf_counter() - self._started
        self.samples.append(Sample(elapsed, self._phase, mx.get_active_memory(), process_footprint()))
