"""Pipelines carried out: a job for each step, which is queued once the one before it has its picture.

All jobs of a run are one group. After a restart of the server a run goes on with the step that it was at. Every change
goes to the pages as an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.pipelines.chains import PREVIOUS, Step, Write, after_writing, with_pictures
from bonsai_mlx.request import Draw, Enlarge

from ..checkpoints.models import Models
from ..errors import ApiError, from_bonsai, not_found
from ..events import EventHub
from ..gallery.gallery import Gallery
from ..gallery.inputs import Inputs
from ..jobs.active import Work
from ..jobs.queue import Jobs
from ..schemas.jobs import Job, JobError, PipelineRun
from .records import KEPT_RUNS, Run, RunRecords

log = logging.getLogger("bonsai.jobs")

_DIGEST_CHARS = 64  # of an input; a picture of the gallery has an id half as long
_MOST_STARTS = 3  # of the server while one step is carried out: perhaps it is this step that ends it
_STOPPED = JobError(
    code="interrupted", message="The server was stopped again and again while this step was carried out."
)


class Makers(Protocol):
    """What makes a request into work."""

    models: Models

    async def work_of(self, draw: Draw, model: str | None, force: bool) -> Work: ...
    async def work_of_enlarging(self, enlarge: Enlarge, model: str | None, force: bool) -> Work: ...
    async def text_of(self, prompt: str, seed: int | None, model: str | None) -> str: ...
    def check_upscaler(self, name: str | None) -> None: ...


class PipelineRuns:
    """Use from the event loop."""

    def __init__(
        self, jobs: Jobs, inputs: Inputs, gallery: Gallery, events: EventHub, makers: Makers, records: RunRecords
    ) -> None:
        self._jobs = jobs
        self._inputs = inputs
        self._gallery = gallery
        self._events = events
        self._makers = makers
        self._records = records
        self._runs: dict[str, Run] = {}  # in the order in which they began
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._writing: dict[str, asyncio.Task[str]] = {}

    async def start(
        self, steps: Sequence[Step], *, name: str | None = None, model: str | None = None, force: bool = False
    ) -> PipelineRun:
        """Queue the first step, once everything that can be known of all of them before is well. ApiError names the
        step that is at fault."""
        known = await self._masks(steps)
        self._check(steps, model, known)
        shown = PipelineRun(
            group=secrets.token_hex(16),
            name=name,
            status="running",
            step=1,
            steps=len(steps),
            ways=[cast("Any", one.way) for one in steps],
            jobs=[],
            image_ids=[],
            image_id=None,
        )
        run = Run(shown, list(steps), model, force, known)
        first = None
        if not isinstance(steps[0].request, Write):
            work = [await self._work(run, 0)]
            [first] = self._jobs.submit(work, "pipeline", attached=True, group=shown.group)
            shown.jobs.append(first.id)
        self._runs[shown.group] = run
        self._forget()
        self._tell(run)
        self._begin(run, first)
        return shown.model_copy(deep=True)

    async def restore(self) -> None:
        """After a start, with the jobs restored: what was under way goes on, at the step that it was at."""
        for run in self._records.all():
            shown = run.shown
            self._runs[shown.group] = run
            if shown.status != "running":
                continue
            if run.cancelled:
                self._end(run, "cancelled")
                continue
            run.starts += 1
            if run.starts > _MOST_STARTS:
                self._end(run, "interrupted", _STOPPED)
                continue
            self._records.note(run)
            with contextlib.suppress(ApiError):  # a mask that is gone is missed by its step, which says so
                run.known |= await self._masks(run.steps)
            self._begin(run, self._under_way(run))

    def _under_way(self, run: Run) -> Job | None:
        """The job of the step that a run is at; one that the end of the server has interrupted is begun anew."""
        before = sum(not isinstance(step.request, Write) for step in run.steps[: run.shown.step - 1])
        for job_id in run.shown.jobs[before:]:
            with contextlib.suppress(ApiError):  # it is not noted any more
                job = self._jobs.get(job_id)
                if job.status != "interrupted":
                    return job
        del run.shown.jobs[before:]
        return None

    def _begin(self, run: Run, job: Job | None) -> None:
        task = asyncio.create_task(self._follow(run, job))
        self._tasks[run.shown.group] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.shown.group, None))

    def get(self, group: str) -> PipelineRun:
        if group not in self._runs:
            raise not_found("run of a pipeline")
        return self._runs[group].shown.model_copy(deep=True)

    def active(self) -> list[PipelineRun]:
        return [run.shown.model_copy(deep=True) for run in self._runs.values() if run.shown.status == "running"]

    def cancel(self, group: str) -> PipelineRun:
        """No further step begins, and the one that runs ends. ApiError: 404 unknown, 409 already ended."""
        shown = self.get(group)
        if shown.status != "running":
            message = f"This pipeline has ended already: it is {shown.status}."
            raise ApiError(409, "conflict", message, remedy="There is nothing to cancel.")
        run = self._runs[group]
        run.cancelled = True
        self._records.note(run)
        if writing := self._writing.get(group):
            writing.cancel()
            return shown
        with contextlib.suppress(ApiError, IndexError):  # 409: the step has just ended; none has begun
            self._jobs.cancel(shown.jobs[-1])
        return shown

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    # before anything is drawn

    async def _masks(self, steps: Sequence[Step]) -> dict[str, str]:
        """The masks that steps bring, taken in: the names that they have there, and the inputs' own."""
        known: dict[str, str] = {}
        for place, step in enumerate(steps):
            for digest, data in (step.pictures or {}).items():
                found = (await self._inputs.add(data, f"steps[{place}].pictures", mask=True))[0]
                known[digest] = found.id
        return known

    def _check(self, steps: Sequence[Step], model: str | None, known: Mapping[str, str]) -> None:
        there = {PREVIOUS, *known}
        for place, step in enumerate(steps):
            with _at(place):
                self._makers.models.require_ready(self._makers.models.resolve(model or step.model))
                self._makers.check_upscaler(getattr(step.request, "upscaler", None))
            for name in step.named:
                if name not in there and not self._is_picture(name):
                    remedy = "Name an earlier step by its `id`, or a picture of the gallery or of POST /inputs."
                    message = f"There is no earlier step and no picture {name[:16]!r}."
                    raise ApiError(422, "bad_field", message, field=f"steps[{place}]", remedy=remedy)
            there |= {step.id} if step.id else set()

    def _is_picture(self, name: str) -> bool:
        return self._inputs.find(name) is not None if len(name) == _DIGEST_CHARS else self._gallery.has(name)

    async def _work(self, run: Run, place: int) -> Work:
        step = run.steps[place]
        model = run.model or step.model
        assert not isinstance(step.request, Write)  # noqa: S101
        request = with_pictures(step.request, {name: run.known.get(name, name) for name in step.named})
        with _at(place):
            if isinstance(request, Enlarge):
                return await self._makers.work_of_enlarging(request, model, run.force)
            return await self._makers.work_of(request, model, run.force)

    # one step after the other

    async def _follow(self, run: Run, first: Job | None) -> None:
        try:
            await self._carry_out(run, first)
        except ApiError as error:
            status = "cancelled" if run.cancelled else "failed"
            self._end(run, status, JobError(**error.detail.model_dump(include={"code", "message", "remedy"})))
        except Exception:
            log.exception("pipeline %s ended with an unexpected error", run.shown.group)
            message = "Something went wrong inside the server; its log has the details."
            self._end(run, "failed", JobError(code="failed", message=message))

    async def _carry_out(self, run: Run, first: Job | None) -> None:
        shown, job = run.shown, first
        begun_at = shown.step
        for place in range(begun_at - 1, len(run.steps)):
            if run.cancelled:
                self._end(run, "cancelled")
                return
            if place >= begun_at:
                shown.step, run.starts = place + 1, 0
            if isinstance(run.steps[place].request, Write):
                self._tell(run)
                await self._write(run, place)
                continue
            job = job or await self._begun(run, place)
            ended = await self._jobs.wait(job.id)
            job = None
            if ended.image_id:
                shown.image_ids.append(ended.image_id)
                run.known |= dict.fromkeys(filter(None, (PREVIOUS, run.steps[place].id)), ended.image_id)
            if ended.status != "done":
                self._end(run, cast("Any", ended.status), ended.error)
                return
        shown.image_id = shown.image_ids[-1]
        self._end(run, "done")

    async def _begun(self, run: Run, place: int) -> Job:
        work = await self._work(run, place)
        job = self._jobs.go_on(work, run.shown.group, "pipeline")
        run.shown.jobs.append(job.id)
        self._tell(run)
        if run.cancelled:  # while it was made ready
            self._jobs.cancel(job.id)
        return job

    async def _write(self, run: Run, place: int) -> None:
        step = run.steps[place]
        assert isinstance(step.request, Write)  # noqa: S101
        with _at(place):
            making = self._makers.text_of(step.request.prompt, step.request.seed, run.model or step.model)
            writing = self._writing[run.shown.group] = asyncio.create_task(making)
            try:
                text = await writing
            except asyncio.CancelledError:
                if not run.cancelled:  # the server ends
                    raise
                raise ApiError(409, "cancelled", "Writing was cancelled.") from None
            finally:
                del self._writing[run.shown.group]
        run.steps[place + 1 :] = after_writing(run.steps[place + 1 :], step.request.prompt, text)

    def _end(self, run: Run, status: Any, error: JobError | None = None) -> None:
        run.shown.status, run.shown.error = status, error
        self._tell(run)

    def _tell(self, run: Run) -> None:
        self._records.note(run)
        self._events.publish("pipeline", run.shown.model_dump())

    def _forget(self) -> None:
        ended = [group for group, run in self._runs.items() if run.shown.status != "running"]
        for group in ended[: max(0, len(ended) - KEPT_RUNS)]:
            del self._runs[group]


@contextlib.contextmanager
def _at(place: int) -> Iterator[None]:
    try:
        yield
    except (ApiError, BonsaiError) as error:
        told = from_bonsai(error) if isinstance(error, BonsaiError) else error
        inner = f".{told.detail.field}" if told.detail.field else ""
        told.detail.field = f"steps[{place}]{inner}"
        raise told from None
