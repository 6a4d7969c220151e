"""The memory figures of the page: the engine's own, the two processes', the machine's. Reads, never decides."""

from __future__ import annotations

import asyncio
import logging
import time

import psutil

from ..engine.pool import EnginePool
from ..events import EventHub
from ..schemas.system import Memory
from ..settings import Settings

log = logging.getLogger("bonsai.memory")

_BUSY = ("starting", "busy", "unresponsive")


class MemoryMonitor:
    """Publishes the figures for ever: often while something is drawn, seldom otherwise."""

    def __init__(self, settings: Settings, events: EventHub, engines: EnginePool) -> None:
        self._settings = settings
        self._events = events
        self._engines = engines
        self._process = psutil.Process()
        self._swap_before = psutil.swap_memory().used
        self._changed = asyncio.Event()

    def run_begins(self) -> None:
        self._swap_before = psutil.swap_memory().used

    def wake(self) -> None:
        self._changed.set()

    def snapshot(self) -> Memory:
        system, swap = psutil.virtual_memory(), psutil.swap_memory().used
        engine = self._engines.memory
        return Memory(
            mlx_active_bytes=engine.mlx_active_bytes,
            mlx_peak_bytes=engine.mlx_peak_bytes,
            mlx_cache_bytes=engine.mlx_cache_bytes,
            process_bytes=engine.process_bytes,
            server_bytes=self._process.memory_info().rss,
            system_total_bytes=system.total,
            system_available_bytes=system.available,
            swap_used_bytes=swap,
            swap_growth_bytes=max(0, swap - self._swap_before),
            worker=self._engines.state,
            model=self._engines.model,
            phase=self._engines.phase,
            t=time.time(),
        )

    async def publish_forever(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._events.publish("memory", self.snapshot().model_dump(), replay=False)
            except (OSError, psutil.Error):  # for a moment; pages take silence for a lost connection
                log.warning("the memory in use cannot be read", exc_info=True)
            busy = self._engines.state in _BUSY
            period = self._settings.memory_busy_s if busy else self._settings.memory_idle_s
            try:
                async with asyncio.timeout(period):
                    await self._changed.wait()
            except TimeoutError:
                continue
