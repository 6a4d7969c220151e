"""What a server process costs while something is done to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil

from tests.server.conftest import PLAIN, ServerProcess

from .case import percentile

_WEIGHED_EVERY_S = 0.02  # looking for children takes some milliseconds
_ASKED_EVERY_S = 0.05


@contextmanager
def watched(server: ServerProcess) -> Iterator[dict[str, float]]:
    """By how much the server's own memory grows at most, what its children hold, and how long others wait."""
    figures, waits = {"server_growth_mib": 0.0, "children_mib": 0.0}, [0.0]
    process, ended = psutil.Process(server.process.pid), threading.Event()
    before = process.memory_info().rss

    def weigh() -> None:
        while not ended.wait(_WEIGHED_EVERY_S):
            grown = (process.memory_info().rss - before) / 2**20
            figures["server_growth_mib"] = max(figures["server_growth_mib"], grown)
            figures["children_mib"] = max(figures["children_mib"], _of_children(process) / 2**20)

    def ask() -> None:
        with httpx.Client(base_url=str(server.client.base_url), timeout=60, verify=PLAIN) as client:
            while not ended.wait(_ASKED_EVERY_S):
                started = time.perf_counter()
                client.get("/health").raise_for_status()
                waits.append(1e3 * (time.perf_counter() - started))

    watchers = [threading.Thread(target=work) for work in (weigh, ask)]
    for watcher in watchers:
        watcher.start()
    try:
        yield figures
    finally:
        ended.set()
        for watcher in watchers:
            watcher.join()
        figures |= {"health_p99_ms": percentile(waits, 99), "health_max_ms": max(waits)}


def _of_children(process: psutil.Process) -> int:
    held = 0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            held += child.memory_info().rss
    return held
