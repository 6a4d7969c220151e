"""The real queue, gallery and index around a runner, and an engine that says what each test has it say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image

from bonsai_mlx.images.metadata import Recipe, encode_png
from bonsai_mlx.request import ResolvedDraw
from server.checkpoints.models import Models
from server.engine.pool import EnginePool
from server.engine.protocol import Cancelled, Done, Failed, Picture, Progress, Run, RunEvent
from server.engine.worker import Worker
from server.events import EventHub
from server.gallery.decoder import Decoder
from server.gallery.gallery import Gallery
from server.gallery.inputs import Inputs
from server.jobs.active import Work
from server.jobs.chains import Chains
from server.jobs.durations import Durations
from server.jobs.memory_monitor import MemoryMonitor
from server.jobs.queue import Jobs
from server.jobs.runner import Runner
from server.schemas.jobs import Job
from server.settings import Settings
from server.store import Store
from tests.server.conftest import QUICK

PNG = b"\x89PNG preview"
WORK = Work("seedling-ternary", ResolvedDraw("a fox", 7, 4, 64, 96))
PROGRESS = Progress("", "denoise", 2, 4)
PICTURE = Picture(
    "",
    png=encode_png(Image.new("RGB", (64, 96)), Recipe("a fox", 7, 4, 64, 96, variant="ternary", model="m")),
    thumbnail=b"RIFF....WEBP",
    width=64,
    height=96,
    recipe={"variant": "ternary", "truncated": True, "created_at": "2026-01-02T03:04:05.000000Z"},
    timings={"load": 1.0, "encode": 0.5, "denoise": 8.0, "decode": 2.0},
    peak_memory_bytes=5_000_000,
)
DRAWN = PICTURE, Done("")
FAILED = Failed("", "out_of_memory", "It does not fit.", "Choose a smaller size.")
CANCELLED = Cancelled("")

Said = RunEvent | Exception | Callable[[], Any]


class ScriptedWorker(Worker):
    """Says what is in `script`, run by run; an exception in it is raised, a function called."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, lambda _state, _message: None)
        self.scripts: list[list[Said]] = []
        self.commands: list[Run] = []
        self.silences: list[float] = []
        self.told_to_cancel: list[str] = []

    async def run(
        self, command: Run, allowed_silence_s: Callable[[Progress | None], float]
    ) -> AsyncGenerator[RunEvent, None]:
        self.commands.append(command)
        last: Progress | None = None
        for said in self.scripts.pop(0):
            self.silences.append(allowed_silence_s(last))
            if isinstance(said, Exception):
                raise said
            if callable(said):
                said()
                continue
            event = replace(said, job=command.job)
            last = event if isinstance(event, Progress) else last
            yield event

    def cancel(self, job: str) -> None:
        self.told_to_cancel.append(job)


@dataclass
class World:
    settings: Settings
    store: Store
    events: EventHub
    gallery: Gallery
    worker: ScriptedWorker
    durations: Durations
    jobs: Jobs
    runner: Runner
    preview: bool = True
    memory_limit: int | None = None

    async def drawn(self, *scripts: list[Said], work: Work = WORK) -> list[Job]:
        """The jobs as they are after these runs, one for each script."""
        self.worker.scripts += scripts
        created = [self.jobs.submit([work])[0] for _ in scripts]
        return [await self.jobs.wait(job.id) for job in created]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[[Callable[[World], Awaitable[None]]], None]]:
    """Run an async test with the parts put together and the runner at work."""
    decoder = Decoder()

    async def main(test: Callable[[World], Awaitable[None]]) -> None:
        settings = Settings(**(QUICK | {"output": tmp_path}))
        with contextlib.closing(Store(tmp_path)) as store:
            events = EventHub(100, 4)
            gallery = Gallery(tmp_path, store, events, decoder, 7)
            gallery.prepare()
            models, worker, durations = Models(settings, store, events), ScriptedWorker(settings), Durations(store)
            engines = EnginePool(worker)
            jobs = Jobs(settings, store, events, gallery, engines, durations)
            memory = MemoryMonitor(settings, events, engines)
            found = World(settings, store, events, gallery, worker, durations, jobs, None)  # type: ignore[arg-type]
            inputs = Inputs(tmp_path, store, decoder, set, private=False, mode=0o600)
            chains = Chains(gallery, decoder)
            found.runner = Runner(
                settings,
                store,
                gallery,
                models,
                engines,
                memory,
                durations,
                jobs,
                inputs,
                found,
                chains,
                asyncio.Lock(),
            )
            running = asyncio.create_task(found.runner.run_forever())
            try:
                async with asyncio.timeout(60):
                    await test(found)
                assert not running.done(), "no failure ends the loop"
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    yield lambda test: asyncio.run(main(test))
    decoder.close()


InWorld = Callable[[Callable[[World], Awaitable[None]]], None]
