"""The parts of the server put together, started and stopped in the right order. What every route gets to work with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections import deque
from dataclasses import replace
from typing import Any

from bonsai_mlx.adapters.prompt import with_prompt_adapters
from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.styles import styled
from bonsai_mlx.request import Draw, Enlarge, ResolvedRequest, refuse_idle
from bonsai_mlx.version import __version__

from .checkpoints.models import Models
from .checkpoints.prompts import Prompts
from .coding.coding import Coding
from .edge.request_log import LoggedRequest
from .engine.pool import EnginePool
from .engine.worker import Worker
from .errors import ApiError
from .events import EventHub
from .gallery.decoder import Decoder
from .gallery.files import lock_folder
from .gallery.gallery import Gallery
from .gallery.inputs import Inputs
from .gallery.sheets import Sheets
from .jobs import adapters
from .jobs.active import Work
from .jobs.chains import Chains
from .jobs.durations import Durations
from .jobs.fits import Fits
from .jobs.grids import Grids
from .jobs.memory_monitor import MemoryMonitor
from .jobs.pictures import enlarging, prepare, prepare_enlarging, refused
from .jobs.queue import Jobs
from .jobs.runner import Runner
from .library.archive import Archives
from .library.codes import Codes
from .library.collections import Collections
from .options.choices import Choices
from .options.shapes import Preferences, PreferencesPatch
from .parameters import EnlargeRequest, PictureFields
from .pipelines.records import RunRecords
from .pipelines.runs import PipelineRuns
from .schemas.images import Image
from .schemas.models import Model
from .schemas.names import WorkerState
from .schemas.system import Memory, PromptLength
from .settings import Settings, upscaler_files
from .store import Store
from .writing.writing import Writing

_NO_UPSCALER = "there is no such file; put it into the folder that the server was given with --upscalers-dir"
log = logging.getLogger("bonsai.studio")


class Studio:
    """Made with the application; opens files and starts tasks with `start`, ends them with `stop`."""

    events: EventHub
    store: Store
    decoder: Decoder
    gallery: Gallery
    choices: Choices
    collections: Collections
    archives: Archives
    models: Models
    prompts: Prompts
    engines: EnginePool
    memory: MemoryMonitor
    jobs: Jobs
    fits: Fits
    grids: Grids
    sheets: Sheets
    chains: Chains
    pipelines: PipelineRuns
    writing: Writing
    coding: Coding
    codes: Codes

    def __init__(self, settings: Settings, recent_requests: deque[LoggedRequest]) -> None:
        self.settings = settings
        self.recent_requests = recent_requests
        self.started_at = time.monotonic()
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopped = True

    async def start(self) -> None:
        """Open the output folder, bring back what was waiting, and begin to work. FolderInUseError."""
        settings = self.settings
        settings.output.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(settings.output)
        self.events = EventHub(settings.event_history, settings.max_listeners, settings.event_history_bytes)
        self.store = Store(settings.output)
        self.decoder = Decoder()
        self.gallery = Gallery(
            settings.output,
            self.store,
            self.events,
            self.decoder,
            settings.trash_days,
            private=settings.keep_private,
        )
        self.choices = Choices(settings, self.store)
        self.collections = Collections(self.store, self.events)
        self.archives = Archives(self.gallery)
        self.models = Models(settings, self.store, self.events)
        self.prompts = Prompts()
        self.engines = EnginePool(Worker(settings, self._on_worker_state))
        self.memory = MemoryMonitor(settings, self.events, self.engines)
        durations = Durations(self.store)
        self.fits = Fits(self.choices, self.models, self.engines, durations)
        self.grids = Grids(settings, self.models, durations, self.work_of)
        self.sheets = Sheets(self.gallery, self.decoder)
        self.chains = Chains(self.gallery, self.decoder)
        self.jobs = Jobs(settings, self.store, self.events, self.gallery, self.engines, durations)
        self.inputs = Inputs(
            settings.output,
            self.store,
            self.decoder,
            self._pictures_in_use,
            private=settings.keep_private,
            mode=self.gallery.file_mode,
        )
        self.pipelines = PipelineRuns(self.jobs, self.inputs, self.gallery, self.events, self, RunRecords(self.store))
        turn = asyncio.Lock()
        self.writing = Writing(settings, self.models, self.engines, self.choices, turn)
        self.coding = Coding(settings, self.models, self.engines, self.inputs, turn)
        self.codes = Codes(self.gallery, self.store)
        runner = Runner(
            settings,
            self.store,
            self.gallery,
            self.models,
            self.engines,
            self.memory,
            durations,
            self.jobs,
            self.inputs,
            self.choices,
            self.chains,
            turn,
        )
        await asyncio.to_thread(self.gallery.prepare)
        await asyncio.to_thread(self.inputs.prepare)
        self.jobs.restore()
        self._stopped = False
        await self.models.restore()
        await self.pipelines.restore()
        works = (
            self.gallery.reconcile(),
            runner.run_forever(),
            self.store.checkpoint_forever(),
            self.memory.publish_forever(),
            self._end_idle_worker(),
            self._tidy_forever(),
        )
        self._tasks = [asyncio.create_task(work) for work in works]
        for task in self._tasks:
            task.add_done_callback(_tell_of_failure)

    async def stop(self) -> None:
        """End everything within a second or two; harmless to call again."""
        if self._stopped:
            return
        self._stopped = True
        self.jobs.close()
        self.pipelines.close()
        self.events.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            self.engines.stop(), self.models.close(), self.gallery.close(), *self._tasks, return_exceptions=True
        )
        await self.prompts.close()
        await asyncio.to_thread(self.decoder.close)
        self.store.close()
        os.close(self._lock)

    def _on_worker_state(self, state: WorkerState, message: str | None) -> None:
        self.events.publish("worker", {"state": state, "message": message})
        self.memory.wake()

    async def _end_idle_worker(self) -> None:
        while True:
            keep_s = self.choices.keep_alive * 60
            await asyncio.sleep(min(5.0, keep_s / 2 or 5.0))
            if keep_s and not self.jobs.active:
                await self.engines.stop_idle(longer_than_s=keep_s)

    async def _tidy_forever(self) -> None:
        while True:
            try:
                await self.gallery.purge()
                await self.inputs.purge()
                self.jobs.forget_old()
            except (OSError, sqlite3.Error) as error:  # the folder is gone, or the disk full: another time, perhaps
                log.warning("what is past its time could not be deleted: %s", error)
            await asyncio.sleep(self.settings.tidy_s)

    def _pictures_in_use(self) -> set[str]:
        return {digest for active in self.jobs.active for digest in active.job.request.pictures}

    async def _make_room(self) -> None:
        """On a disk that is nearly full, what is past its time goes before anybody is refused."""
        if self.gallery.free_bytes() < self.settings.min_free_bytes:
            await self.gallery.purge()

    async def unload(self) -> Memory:
        if self.jobs.active:
            raise ApiError(409, "conflict", "A picture is being drawn.", remedy="Cancel it first, or let it finish.")
        await self.engines.stop()
        return self.memory.snapshot()

    async def delete_model(self, name: str) -> Model:
        """Delete a checkpoint that nothing uses. 409 while jobs need it."""
        model = self.models.get(name)
        if any(active.job.model == model.name for active in self.jobs.active):
            raise ApiError(409, "conflict", f"{model.title} is in use.", remedy="Cancel its jobs first.")
        await self.engines.let_go(model.name)
        return await self.models.delete(name)

    # requests

    async def work(self, fields: PictureFields, model: str | None) -> Work:
        """The request with nothing left open. ApiError: unknown or missing model, does not fit; RequestError."""
        draw = fields.draw()
        refuse_idle(draw)
        if draw.guidance == 0 and not self.models.require_ready(self.models.resolve(model)).guided:
            draw = replace(draw, guidance=None)  # the Bonsai demo's word for none
        return await self.work_of(draw, model, fields.force)

    async def work_of(self, draw: Draw, model: str | None, force: bool) -> Work:
        ready = self.models.require_ready(self.models.resolve(model))
        await self._make_room()
        draw = with_prompt_adapters(styled(with_prompt_adapters(draw)))
        prepared = await prepare(draw, self.inputs, self.gallery, ready.recommended_size)
        request = prepared.request.resolved(**ready.recommended)
        request, adapter_bytes = await adapters.checked(request, ready, self.settings)
        held = prepared.held_bytes + adapter_bytes
        await self.fits.check(ready, request, prepared.references, held, force=force)
        return Work(ready.name, request, tuple(prepared.parents), notes=tuple(prepared.notes))

    async def prompt_length(self, fields: PictureFields, model: str | None) -> PromptLength:
        """What the model would read of the prompt. ApiError: unknown or missing model; RequestError."""
        ready = self.models.require_ready(self.models.resolve(model))
        draw = with_prompt_adapters(styled(with_prompt_adapters(fields.draw())))
        return await self.prompts.length(ready.path, draw.prompt)

    async def work_to_enlarge(self, fields: EnlargeRequest) -> Work:
        """The same for a picture that is enlarged; it is redrawn by the model that has drawn it, if that is here."""
        enlarge = fields.enlarge()
        refuse_idle(enlarge)
        return await self.work_of_enlarging(enlarge, fields.model, fields.force)

    async def work_of_enlarging(self, enlarge: Enlarge, model: str | None, force: bool) -> Work:
        await self._make_room()
        notes: list[str] = []
        request, size, entry, parents = await prepare_enlarging(enlarge, self.inputs, self.gallery, notes)
        name = self.models.resolve(model) if model else self._model_of(entry)
        ready = self.models.require_ready(name)
        if not ready.guided:  # what the picture's own model was led by is not for this one
            request = replace(request, guidance=enlarge.guidance, negative_prompt=enlarge.negative_prompt)
        try:
            self.check_upscaler(request.upscaler)
            resolved = enlarging(request.validated(), size, ready)
            resolved, adapter_bytes = await adapters.checked(resolved, ready, self.settings)
            await self.fits.check_enlarging(ready, resolved, adapter_bytes, force=force)
        except RequestError as error:
            raise refused(error) from None
        return Work(ready.name, resolved, tuple(parents), notes=tuple(notes))

    def check_upscaler(self, name: str | None) -> None:
        if name is not None and name not in upscaler_files(self.settings):
            raise RequestError("upscaler", _NO_UPSCALER)

    async def text_of(self, prompt: str, seed: int | None, model: str | None) -> str:
        """What the writer makes of a few words. ApiError."""
        whole = ""
        async with contextlib.aclosing(self.writing.write(prompt, seed=seed, count=1, model=model)) as texts:
            async for text in texts:
                whole = text.text if text is not None and text.seed is not None else whole
        return whole

    def _model_of(self, entry: Image | None) -> str:
        drew = entry.model if entry else None
        if drew in self.models.names() and self.models.find_ready(drew) is not None:
            return drew
        return self.models.default()

    async def work_to_compare(self, fields: PictureFields, models: list[str] | None = None) -> list[Work]:
        """The same picture by both models, sizes and steps those of the first."""
        pair = [self.models.resolve(name) for name in models] if models else list(self.models.pair())
        one, ready = (self.models.require_ready(name) for name in pair)
        draw = fields.draw()
        refuse_idle(draw)
        if ready.guided and not one.guided:  # what it is told of guidance is for the other
            draw = replace(draw, guidance=None, negative_prompt="")
        first = await self.work_of(draw, pair[0], fields.force)
        assert isinstance(first.request, ResolvedRequest)  # noqa: S101  what is drawn
        if not ready.draws_bits:
            draw.check_numbers()
        own: dict[str, Any] = {} if ready.guided else {"guidance": 1.0, "negative_prompt": ""}
        own |= {"temperature": draw.temperature or 1.0} if ready.draws_bits else {"temperature": None}
        request = replace(first.request, **own)
        await self.fits.check(ready, request, (), force=fields.force)
        return [first, first._replace(model=ready.name, request=request)]

    # what the pages see at once

    def hello(self) -> dict[str, Any]:
        return {
            "server_version": __version__,
            "jobs": [job.model_dump() for job in self.jobs.snapshot()],
            "queue": self.jobs.queue().model_dump(),
            "pipelines": [run.model_dump() for run in self.pipelines.active()],
            "memory": self.memory.snapshot().model_dump(),
            "models": [model.model_dump() for model in self.models.all()],
        }

    def preferences(self) -> Preferences:
        return self.choices.preferences()

    def set_preferences(self, patch: PreferencesPatch) -> Preferences:
        """Change what the patch names, for this and later starts; null returns to the default."""
        if patch.default_model:
            patch.default_model = self.models.resolve(patch.default_model)
        self.choices.change(patch)
        return self.preferences()

    def uptime_s(self) -> float:
        return time.monotonic() - self.started_at


def _tell_of_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("a part of the server ended unexpectedly", exc_info=error)
