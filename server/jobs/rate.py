"""How fast jobs may come: a token bucket, in whatever is counted with it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import ApiError

_QUEUES, _JOBS_PER_S = 8, 4.0  # of undrawn jobs: the queue filled and given up eight times
_BYTES, _BYTES_PER_S = 16 << 20, 512 << 10


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
