"""Texts from the engine's process, between two pictures: whoever asks waits for the one that is being drawn.

Nothing is kept of what was asked and what was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from bonsai_mlx.request import consecutive_seeds, random_seed

from ..checkpoints.models import Models
from ..engine.losses import WorkerLostError
from ..engine.pool import EnginePool
from ..engine.protocol import Cancelled, Checkpoint, Failed, Progress, Write, Written
from ..errors import ApiError, Code
from ..settings import Settings

MOST_WAITING = 4  # who ask at once; each holds a connection
_STATUS: dict[str, tuple[int, Code]] = {
    "bad_field": (422, "bad_field"),
    "model_missing": (409, "model_missing"),
    "not_installed": (501, "not_installed"),
    "out_of_memory": (507, "out_of_memory"),
}


class Limits(Protocol):
    """What may be changed while the server runs."""

    @property
    def memory_limit(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a proposal, or, at its end, the whole of it with its seed and what it lacks."""

    proposal: int
    text: str
    seed: int | None = None
    missing: tuple[str, ...] = ()
    note: str | None = None


class Writing:
    """Use from the event loop. `turn` is held by whoever uses the engine."""

    def __init__(
        self, settings: Settings, models: Models, engines: EnginePool, limits: Limits, turn: asyncio.Lock
    ) -> None:
        self._settings = settings
        self._models = models
        self._engines = engines
        self._limits = limits
        self._turn = turn
        self._waiting = 0

    async def write(
        self, prompt: str, *, seed: int | None, count: int, model: str | None
    ) -> AsyncGenerator[Text | None, None]:
        """The texts, a part at a time, None while it is made ready; leaving early cancels. ApiError."""
        ready = self._models.require_ready(self._models.resolve(model))
        if self._waiting >= MOST_WAITING:
            raise ApiError(429, "queue_full", "Others are waiting for the writer already.", retry_after_s=5)
        first = random_seed() if seed is None else seed
        seeds = list(consecutive_seeds(first, count))
        command = Write(
            secrets.token_hex(16),
            os.fsencode(ready.path),
            Checkpoint(ready.name),
            prompt,
            first,
            count,
            self._limits.memory_limit,
        )
        self._waiting += 1
        try:
            async with self._turn, contextlib.aclosing(self._texts(command, seeds)) as texts:
                async for text in texts:
                    yield text
        finally:
            self._waiting -= 1

    async def _texts(self, command: Write, seeds: list[int]) -> AsyncGenerator[Text | None, None]:
        worker = self._engines.place(command.job, command.checkpoint.model)
        patience = self._settings.progress_unknown_s
        try:
            async with contextlib.aclosing(worker.run(command, lambda _last: patience)) as events:
                async for event in events:
                    match event:
                        case Progress():
                            yield None
                        case Written(whole=True):
                            seed = seeds[event.proposal]
                            yield Text(event.proposal, event.text, seed, event.missing, event.note)
                        case Written():
                            yield Text(event.proposal, event.text)
                        case Failed():
                            status, code = _STATUS.get(event.code, (500, "failed"))
                            raise ApiError(status, code, event.message, remedy=event.remedy)
                        case Cancelled():
                            raise ApiError(409, "cancelled", "Writing was cancelled.")
        except WorkerLostError as loss:
            status, code = _STATUS.get(loss.code, (500, "failed"))
            raise ApiError(status, code, str(loss), remedy=loss.remedy) from None
