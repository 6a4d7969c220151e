"""A guard against what never ends, or hardly ever: no measure of speed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDLESS_S = 60.0  # of processor time: hundreds of times what anything guarded takes


@contextmanager
def must_end() -> Iterator[None]:
    """Fails a test whose block works for longer than anybody would wait."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"still at work after {ENDLESS_S:g} seconds")

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, ENDLESS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
