"""The engines as one: which of them carries out a job, what they hold together, and how they are ended.

Everybody else asks the pool, so that another engine, on this machine or on one beside it, is one more worker here.
"""

from __future__ import annotations

import asyncio

from ..schemas.names import WorkerState
from .protocol import Memory, Phase
from .worker import Worker

_BY_WORK: tuple[WorkerState, ...] = ("stopped", "idle", "starting", "busy", "unresponsive")


class EnginePool:
    """Use from the event loop. There is at least one worker, and each has one job at a time."""

    def __init__(self, worker: Worker, *others: Worker) -> None:
        self._workers = (worker, *others)
        self._placed: dict[Worker, str] = {}  # the latest job of each

    def place(self, job: str, model: str) -> Worker:
        """The worker that is to carry out a job: of those with the least to do, the one that has its model loaded."""
        worker = min(self._workers, key=lambda one: (_BY_WORK.index(one.state) > 1, one.model != model))
        self._placed[worker] = job
        return worker

    def cancel(self, job: str) -> None:
        for worker, placed in self._placed.items():
            if placed == job:
                worker.cancel(job)

    # what goes on

    @property
    def _busiest(self) -> Worker:
        return max(self._workers, key=lambda one: _BY_WORK.index(one.state))

    @property
    def state(self) -> WorkerState:
        return self._busiest.state

    @property
    def model(self) -> str | None:
        return self._busiest.model

    @property
    def phase(self) -> Phase | None:
        return self._busiest.phase

    @property
    def memory(self) -> Memory:
        figures = [one.memory for one in self._workers]
        return Memory(
            mlx_active_bytes=sum(one.mlx_active_bytes for one in figures),
            mlx_peak_bytes=sum(one.mlx_peak_bytes for one in figures),
            mlx_cache_bytes=sum(one.mlx_cache_bytes for one in figures),
            process_bytes=sum(one.process_bytes for one in figures),
        )

    @property
    def device(self) -> str | None:
        """What they draw on: "metal", "cuda" or "cpu", once one has told."""
        return next((one.device for one in self._workers if one.device), None)

    @property
    def pids(self) -> list[int]:
        return [one.pid for one in self._workers if one.pid is not None]

    # ending

    async def stop(self) -> None:
        await asyncio.gather(*(one.stop() for one in self._workers))

    async def stop_idle(self, longer_than_s: float) -> None:
        await asyncio.gather(*(one.stop() for one in self._workers if one.idle_s > longer_than_s))

    async def let_go(self, model: str) -> None:
        await asyncio.gather(*(one.stop() for one in self._workers if one.model == model))
