"""Makes one picture after the other: takes the next job, has an engine draw it, saves it and enters it everywhere.

Owns the order of things and the watchdog's patience. Keeps no state of its own: jobs, images and durations belong to
the modules of their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.images.metadata import SaveError
from bonsai_mlx.request import Draw, Enlarge, ResolvedOperation, as_json

from ..checkpoints.models import Models
from ..checkpoints.ready import ReadyModel
from ..engine.losses import WorkerLostError
from ..engine.pool import EnginePool
from ..engine.protocol import Cancelled, Checkpoint, Done, Failed, Picture, Progress, Run, RunEvent
from ..errors import DAMAGED_INDEX
from ..gallery.entries import make_image
from ..gallery.gallery import Gallery
from ..gallery.inputs import Inputs
from ..index.damage import is_damage
from ..schemas.images import Image
from ..schemas.jobs import Job
from ..settings import Settings, upscaler_files
from ..store import Store, timestamp
from .active import Active, picture_id
from .adapters import paths_of
from .chains import Chains
from .durations import PHASES, Durations
from .memory_monitor import MemoryMonitor
from .queue import Jobs

log = logging.getLogger("bonsai.runner")

_PATIENCE = 10  # times the learned duration of a step before the engine counts as hung
_PATIENCE_CANCELLED = 3  # the same once nobody wants the picture any more; a step that goes well ends before


class Choices(Protocol):
    """What may be changed between two pictures."""

    @property
    def preview(self) -> bool: ...

    @property
    def memory_limit(self) -> int | None: ...

    @property
    def parts(self) -> Mapping[str, str]: ...


class Runner:
    """Before each run `choices` are asked what is wanted by then; `turn` is held while the engine draws."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        gallery: Gallery,
        models: Models,
        engines: EnginePool,
        memory: MemoryMonitor,
        durations: Durations,
        jobs: Jobs,
        inputs: Inputs,
        choices: Choices,
        chains: Chains,
        turn: asyncio.Lock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._gallery = gallery
        self._models = models
        self._engines = engines
        self._memory = memory
        self._durations = durations
        self._jobs = jobs
        self._inputs = inputs
        self._choices = choices
        self._chains = chains
        self._turn = turn

    async def run_forever(self) -> None:
        """One after the other; no failure ends this loop."""
        while True:
            active = await self._jobs.next()
            try:
                async with self._turn:
                    await self._run(active)
            except Exception as error:
                log.exception("job %s ended with an unexpected error", active.job.id)
                self._give_up(active, error)
            self._jobs.release()
            await self._store.checkpoint()

    def _give_up(self, active: Active, error: Exception) -> None:
        if active.finished.is_set():
            return
        text, remedy = "Something went wrong inside the server; its log has the details.", None
        if is_damage(error):
            text, remedy = DAMAGED_INDEX.message, DAMAGED_INDEX.remedy
        try:
            self._jobs.fail(active, "failed", text, remedy)
        except Exception:
            log.exception("the end of job %s could not be told", active.job.id)

    async def _run(self, active: Active) -> None:
        job = active.job
        if active.cancelling:  # while the engine did something else
            self._jobs.end(active, "cancelled")
            return
        ready = self._find_ready(job.model)
        if ready is None:
            self._jobs.fail(active, "model_missing", f"The checkpoint {job.model} is not complete any more.")
            return
        worker = self._engines.place(job.id, job.model)
        loaded = worker.model == job.model
        self._memory.run_begins()
        size, pictures = (job.width, job.height), bool(job.request.pictures)
        self._jobs.begin(
            active, self._durations.forecast(active.timed_as, *size, job.steps, loaded=loaded, pictures=pictures)
        )
        run = worker.run(await self._command(job, ready), self._allowed_silence(active))
        try:
            async with contextlib.aclosing(run) as events:
                async for event in events:
                    await self._apply(active, event)
        except WorkerLostError as loss:
            self._lost(active, loss)
        except SaveError as error:
            self._jobs.fail(active, "disk_full" if error.is_for_want_of_space else "failed", str(error))
        except sqlite3.Error as error:
            self._not_entered(active, error)
        if not active.finished.is_set():  # a run that is over is one, whatever was said of it
            self._jobs.fail(active, "failed", "The drawing process ended the picture without a word about it.")

    def _find_ready(self, model: str) -> ReadyModel | None:
        """The checkpoint, unless it is incomplete or, for a job of another version, not known here."""
        try:
            return self._models.find_ready(model)
        except CheckpointError:
            return None

    async def _command(self, job: Job, ready: ReadyModel) -> Run:
        return Run(
            job=job.id,
            path=os.fsencode(ready.path),
            checkpoint=Checkpoint(job.model, ready.repo, ready.revision),
            request=as_json(job.request),
            preview=self._choices.preview,
            memory_limit_bytes=self._choices.memory_limit,
            # embedded models are too small for others' parts
            parts={name: os.fsencode(place) for name, place in self._choices.parts.items()} if ready.repo else {},
            pictures=self._inputs.paths(job.request.pictures),
            upscaler=self._upscaler(job.request),
            adapters=paths_of(job.request, self._settings),
            chain=await self._chains.before(job),
        )

    def _upscaler(self, request: ResolvedOperation) -> bytes | None:
        found = upscaler_files(self._settings).get(getattr(request, "upscaler", None) or "")
        return os.fsencode(found) if found else None

    def _allowed_silence(self, active: Active) -> Callable[[Progress | None], float]:
        """The watchdog's patience until the next event, from what was learned about this model and size."""
        job, request = active.job, active.job.request
        idle = {"encode image": not request.pictures, "enlarge": not isinstance(request, Enlarge)}
        phases = [phase for phase in PHASES if not idle.get(phase)]

        def seconds(last: Progress | None) -> float:
            index = phases.index(last.phase) if last and last.phase in phases else 0
            sizes = (active.timed_as, job.width, job.height)
            learned = [self._durations.seconds(*sizes, phase) for phase in phases[index : index + 2]]
            if (
                isinstance(request, Draw) and request.references
            ):  # which make each step longer, by what nobody has measured
                learned.append(None)
            return patience_s(self._settings, learned, cancelling=active.cancelling)

        return seconds

    async def _apply(self, active: Active, event: RunEvent) -> None:
        match event:
            case Progress():
                self._jobs.progressed(active, event)
            case Picture():
                await self._keep(active, event)
            case Done():
                self._jobs.succeed(active)
            case Cancelled():
                self._jobs.end(active, "cancelled")
            case Failed():
                self._jobs.fail(active, event.code, event.message, event.remedy)

    async def _keep(self, active: Active, picture: Picture) -> None:
        """Save a picture and enter it everywhere; the job is not done before. SaveError, sqlite3.Error."""
        job = active.job
        image_id = picture_id(job.id, len(job.image_ids))
        await self._gallery.save(image_id, picture.png, picture.thumbnail)
        # references make steps longer, by what depends on their sizes: those teach nothing
        unlike = ("denoise", "encode image") if isinstance(job.request, Draw) and job.request.references else ()
        timings = {phase: seconds for phase, seconds in picture.timings.items() if phase not in unlike}
        self._durations.learn(active.timed_as, job.width, job.height, job.steps, timings)
        parents = [(one.id, one.role) for one in job.parents] + [(one.id, one.role) for one in picture.parents]
        self._gallery.add(image_of(job, image_id, picture), parents)
        self._jobs.made(active, image_id)

    def _not_entered(self, active: Active, error: sqlite3.Error) -> None:
        if is_damage(error):
            self._jobs.fail(active, "failed", f"The picture is saved. {DAMAGED_INDEX.message}", DAMAGED_INDEX.remedy)
        else:
            text = "The picture is saved, but there is no space left for the gallery's index."
            self._jobs.fail(active, "disk_full", text)

    def _lost(self, active: Active, loss: WorkerLostError) -> None:
        if active.cancelling:
            self._jobs.end(active, "cancelled")
        else:
            self._jobs.fail(active, loss.code, str(loss), loss.remedy)


def patience_s(settings: Settings, learned: Sequence[float | None], *, cancelling: bool) -> float:
    """How long the engine may be silent in a step whose kind took `learned` seconds so far; None: not known yet."""
    known = [seconds for seconds in learned if seconds is not None]
    if len(known) < len(learned):
        return settings.cancel_unknown_s if cancelling else settings.progress_unknown_s
    if cancelling:
        return max(settings.cancel_floor_s, _PATIENCE_CANCELLED * max(known))
    return max(settings.progress_floor_s, _PATIENCE * max(known))


def image_of(job: Job, image_id: str, picture: Picture) -> Image:
    recipe = {name: value for name, value in picture.recipe.items() if name != "chain"}  # which stays in the file
    return make_image(
        image_id,
        size_bytes=len(picture.png),
        created_at=recipe.get("created_at") or timestamp(),
        variant=recipe.get("variant"),
        peak_memory_bytes=picture.peak_memory_bytes,
        timings=picture.timings,
        truncated=recipe.get("truncated", False),
        recipe=recipe,
        **{name: getattr(job, name) for name in ("prompt", "seed", "steps", "model", "group", "group_kind", "cell")},
        width=picture.width,
        height=picture.height,
    )
