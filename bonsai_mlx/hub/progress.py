"""What a download or a check tells about itself while it runs: one event type, and the sums behind it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Activity = Literal["downloading", "checking", "packing", "done"]
_EVERY_S = 0.1  # between two events
_SPEED_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Where a download or a check stands. The bytes are those of the whole checkpoint, not of one file."""

    file: str  # what is being worked on; empty on the last event
    bytes_done: int
    bytes_total: int
    speed_bytes_s: float
    eta_s: float | None  # None: not known yet
    done: bool  # True on the last event only
    activity: Activity = "downloading"
    path: Path | None = None  # the checkpoint folder, on the last event


Progress = Generator[DownloadProgress, None, None]


def finished(path: Path | None, total: int) -> DownloadProgress:
    return DownloadProgress("", total, total, 0.0, 0.0, True, "done", path)


class Meter:
    """Sums up progress over files, and derives speed and time left from the last few seconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._before = 0  # bytes of the files that are finished
        self._done = 0
        self._file = ""
        self._activity: Activity = "downloading"
        self._samples: deque[tuple[float, int]] = deque()
        self._shown_s = 0.0

    def advance(self, file: str, length: int, activity: Activity) -> bool:
        """Note that `length` bytes of `file` are done. True if it is time for the next event."""
        now = time.monotonic()
        if activity != self._activity:
            self._samples.clear()  # hashing is far quicker than a network and would spoil the estimate
        changed = (file, activity) != (self._file, self._activity)
        self._file, self._activity, self._done = file, activity, self._before + length
        self._samples.append((now, self._done))
        while now - self._samples[0][0] > _SPEED_WINDOW_S:
            self._samples.popleft()
        return changed or now - self._shown_s >= _EVERY_S

    def finish(self, size: int) -> None:
        self._before += size
        if self._done < self._before:  # it was there already: no bytes that a speed could be made of
            self._samples.clear()

    def event(self) -> DownloadProgress:
        self._shown_s = time.monotonic()
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        speed = max(0, last - first) / (last_s - first_s) if last_s - first_s > _EVERY_S else 0.0
        eta = max(0, self.total - self._done) / speed if speed else None
        return DownloadProgress(self._file, self._done, self.total, speed, eta, False, self._activity)
