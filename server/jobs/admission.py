"""What the queue takes: how many jobs, how large, how fast, and with how much of the disk left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import ApiError
from ..gallery.gallery import Gallery
from ..settings import Settings
from ..store import Store
from .active import Active

_QUEUES, _JOBS_PER_S = 8, 4.0  # of undrawn jobs: the queue filled and given up eight times
_BYTES, _BYTES_PER_S = 16 << 20, 512 << 10
_QUEUE_BYTES = 16 << 20  # of waiting jobs: a hundred with the longest prompts
_LOG_BYTES = 32 << 20  # of the index's log, where its checkpoints do not keep up


class Admission:
    """Refuses what the queue cannot take."""

    def __init__(self, settings: Settings, store: Store, gallery: Gallery) -> None:
        self._settings = settings
        self._store = store
        self._gallery = gallery
        self._undrawn = Undrawn(settings.queue_size)

    def check_count(self, count: int, running: Active | None, waiting: int, unnoted: int) -> None:
        """ApiError for too many jobs, a full queue, a full disk. `unnoted` ends of jobs wait to be written."""
        size = self._settings.queue_size
        if count > size + 1:  # waiting would not help
            message = f"{count} pictures at once never fit: the queue holds {size} beside a running one."
            remedy = "Ask for fewer, or start the server with a larger --queue-size."
            raise ApiError(422, "bad_field", message, field="count", remedy=remedy)
        if (running is not None) + waiting + count > size + 1:
            message = f"The queue is full: {waiting} pictures are waiting already."
            raise ApiError(429, "queue_full", message, retry_after_s=_next_free_s(running))
        if unnoted > size:
            message = "The ends of too many pictures could not be noted, most likely because the disk is full."
            raise ApiError(507, "disk_full", message, remedy="Free some space.")
        if self._gallery.free_bytes() < self._settings.min_free_bytes:
            message = "There is hardly any space left in the folder of the images."
            kept = f"Images deleted in the last {self._settings.trash_days:g} days are still in its folder .trash."
            remedy = f"Free some space, or start the server with --output on another disk. {kept}"
            raise ApiError(507, "disk_full", message, remedy=remedy)

    def take(self, created: Sequence[Active], running: Active | None, waiting: Sequence[Active]) -> None:
        """Count jobs that are to be queued. ApiError 429 for what is too large, or comes too fast."""
        size = sum(one.most_bytes for one in created)
        if waiting and sum(one.most_bytes for one in waiting) + size > _QUEUE_BYTES:
            message = "The prompts that are waiting already fill the queue."
            raise ApiError(429, "queue_full", message, retry_after_s=_next_free_s(running))
        if self._store.log_bytes > _LOG_BYTES:
            message = "The gallery's index is still being written."
            raise ApiError(429, "queue_full", message, remedy="Wait a little.", retry_after_s=1.0)
        self._undrawn.take(len(created), size)

    def drawn(self, job: Active) -> None:
        self._undrawn.drawn(job.most_bytes)


class Allowance:
    """`burst` at once, and `per_s` more every second until it is full again."""

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._left = burst
        self._at = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until so much can be taken, 0.0 for now. More than a burst is taken from a full bucket."""
        now = self._clock()
        self._left, self._at = min(self._burst, self._left + (now - self._at) * self._per_s), now
        return max(0.0, min(amount, self._burst) - self._left) / self._per_s

    def take(self, amount: float) -> None:
        """After `wait_s` said 0.0."""
        self._left -= amount

    def give_back(self, amount: float) -> None:
        self._left = min(self._burst, self._left + amount)


class Undrawn:
    """Bounds the jobs that are asked for and never drawn: each costs the index a write and every page an event.

    What was drawn does not count; the engine's own pace bounds that.
    """

    def __init__(self, queue_size: int) -> None:
        self._jobs = Allowance(_QUEUES * (queue_size + 1), _JOBS_PER_S)
        self._bytes = Allowance(_BYTES, _BYTES_PER_S)

    def take(self, jobs: int, size_bytes: int) -> None:
        """So many more, of so many bytes together. ApiError 429: too fast."""
        wait_s = max(self._jobs.wait_s(jobs), self._bytes.wait_s(size_bytes))
        if wait_s:
            message = "Too many pictures were asked for and given up again in a short time."
            raise ApiError(429, "queue_full", message, remedy="Wait a little.", retry_after_s=wait_s)
        self._jobs.take(jobs)
        self._bytes.take(size_bytes)

    def drawn(self, size_bytes: int) -> None:
        self._jobs.give_back(1)
        self._bytes.give_back(size_bytes)


def _next_free_s(running: Active | None) -> float:
    eta = running.job.eta_s if running else None
    return 5.0 if eta is None else max(1.0, eta)
