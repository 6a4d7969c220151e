"""The queue: bounded, cancellable, and still there after a restart.

Owns every job from its request to its end; what waits or runs is also kept in memory, what has ended is in the store
alone. Jobs that a caller waits for (`attached`) end with the server; the others return after its next start, the one
that ran as well, but not for a third time where the server broke off twice: it may be why. Every change goes to the
pages as an event. Knows nothing of HTTP, and of drawing only what the runner tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

from ..engine.pool import EnginePool
from ..engine.protocol import Progress
from ..errors import ApiError, not_found, shutting_down
from ..events import EventHub
from ..gallery.gallery import Gallery
from ..schemas.jobs import Job, JobError, Queue
from ..schemas.names import GroupKind, JobStatus
from ..settings import Settings
from ..store import Store, timestamp
from .active import Active, Work, new_job, picture_id
from .admission import Admission
from .again import put_back, why_not_again
from .durations import Durations, Forecast
from .previews import Previews
from .records import JobRecords

log = logging.getLogger("bonsai.jobs")

_ENDED = "There is nothing to cancel; its picture, if there is one, is in the gallery."


class Jobs:
    """Use from the event loop."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        events: EventHub,
        gallery: Gallery,
        engines: EnginePool,
        durations: Durations,
    ) -> None:
        self._settings = settings
        self._store = store
        self._events = events
        self._gallery = gallery
        self._engines = engines
        self._durations = durations
        self._waiting: deque[Active] = deque()
        self._running: Active | None = None
        self._arrived = asyncio.Event()
        self.previews = Previews()
        self._records = JobRecords(store)
        self._admission = Admission(settings, store, gallery)
        self._unnoted: dict[str, Job] = {}  # what the store has not taken
        self._closing = False
        self._paused = False

    # asking

    def submit(
        self,
        work: Sequence[Work],
        group_kind: GroupKind | None = None,
        attached: bool = False,
        group: str | None = None,
    ) -> list[Job]:
        """Queue all of these pictures or none. ApiError: what `Admission` refuses, or shutting down."""
        if self._closing:
            raise shutting_down()
        self._admission.check_count(len(work), self._running, len(self._waiting), len(self._unnoted))
        if group is None and group_kind:
            group = secrets.token_hex(16)
        return self._queued(work, group, group_kind, attached)

    def go_on(self, work: Work, group: str, group_kind: GroupKind) -> Job:
        """Queue what follows a job that has ended, in its group and before all others. ApiError: shutting down."""
        if self._closing:
            raise shutting_down()
        [job] = self._queued([work], group, group_kind, attached=True)
        self.order([job.id])
        return self.get(job.id)

    def _queued(
        self, work: Sequence[Work], group: str | None, group_kind: GroupKind | None, attached: bool
    ) -> list[Job]:
        jobs = [new_job(one, group, group_kind) for one in work]
        created = [Active(job, attached) for job in jobs]
        self._admission.take(created, self._running, self._waiting)
        self._records.add(jobs, attached=attached)
        self._enqueue(created)
        self._number()  # which tells the pages of each, since it has a place now
        self._arrived.set()
        return [active.job.model_copy() for active in created]

    def _enqueue(self, created: Sequence[Active]) -> None:
        """What takes a second and no model goes ahead of what waits to be drawn, and behind its own kind."""
        quick = [active for active in created if active.is_quick]
        ahead = sum(1 for _ in itertools.takewhile(lambda active: active.is_quick, self._waiting))
        for place, active in enumerate(quick, ahead):
            self._waiting.insert(place, active)
        self._waiting.extend(active for active in created if not active.is_quick)

    @property
    def active(self) -> list[Active]:
        return [*([self._running] if self._running else []), *self._waiting]

    def _find(self, job_id: str) -> Active | None:
        return next((active for active in self.active if active.job.id == job_id), None)

    def get(self, job_id: str) -> Job:
        """The job as it is now, or ApiError 404."""
        active = self._find(job_id)
        if active is not None:
            return self._refreshed(active)
        if job_id in self._unnoted:
            return self._unnoted[job_id].model_copy()
        return self._records.find(job_id)

    def snapshot(self) -> list[Job]:
        return [self._refreshed(active) for active in self.active]

    def recent(self, status: JobStatus | None, limit: int) -> list[Job]:
        """The latest jobs, newest first, of one status or of all, as many as fit into one answer."""
        live = {job.id: job for job in (*self._unnoted.values(), *self.snapshot())}
        return self._records.recent(status, limit, live)

    def queue(self) -> Queue:
        running = int(self._running is not None)
        limit = self._settings.queue_size
        return Queue(running=running, waiting=len(self._waiting), limit=limit, paused=self._paused)

    async def wait(self, job_id: str) -> Job:
        """The job once it has ended. Cancelling this wait does not cancel the job."""
        active = self._find(job_id)
        if active is not None:
            await active.finished.wait()
        return self.get(job_id)

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The job now, after its changes, and when it has ended. A slow reader misses changes, never the end."""
        active = self._find(job_id)
        while active is not None and not active.finished.is_set():
            changed = active.changed
            yield self._refreshed(active)
            await changed.wait()
        yield self.get(job_id)

    # cancelling

    def cancel(self, job_id: str) -> Job:
        """Drop a waiting job, stop a running one after the step it is in. ApiError: 404 unknown, 409 already ended."""
        active = self._find(job_id)
        if active is None or active.finished.is_set():
            job = self.get(job_id)
            raise ApiError(409, "conflict", f"This job has ended already: it is {job.status}.", remedy=_ENDED)
        if active is self._running:
            active.cancelling = True
            self._engines.cancel(job_id)
            self._note_wish(active)
        else:
            self._waiting.remove(active)
            self.end(active, "cancelled")
            self._number()
        return self._refreshed(active)

    def _note_wish(self, active: Active) -> None:
        """A server that breaks off before the step is over does not draw it again."""
        with contextlib.suppress(sqlite3.Error):  # the store takes nothing at the moment
            self._records.note(active.job.model_copy(update={"status": "cancelled", "finished_at": timestamp()}))

    def cancel_group(self, group: str) -> list[Job]:
        """Cancel whatever of a group has not ended: nothing if all has. ApiError 404 for an unknown group."""
        if not self._records.know_group(group):
            raise not_found("group")
        return self._cancel_each([active for active in self.active if active.job.group == group])

    def cancel_all(self) -> list[Job]:
        return self._cancel_each([active for active in self.active if not active.cancelling])

    def _cancel_each(self, jobs: Sequence[Active]) -> list[Job]:
        """What runs may have ended by itself, which is no refusal; it comes last, since the next must not start."""
        return [self.cancel(active.job.id) for active in reversed(jobs) if not active.finished.is_set()]

    # order

    def pause(self, paused: bool) -> Queue:
        """While it is paused nothing begins; what runs is finished. Not kept over a restart."""
        self._paused = paused
        self._arrived.set()
        self._events.publish("queue", self.queue().model_dump(), replay=False)
        return self.queue()

    def order(self, job_ids: Sequence[str]) -> list[Job]:
        """Let these waiting jobs come first, in this order; ids of what does not wait any more mean nothing."""
        places = {job_id: place for place, job_id in enumerate(job_ids)}
        self._waiting = deque(sorted(self._waiting, key=lambda active: places.get(active.job.id, len(places))))
        self._number()
        for active in self._waiting:
            self._save(active)  # its place too, which it has again after a start
        return self.snapshot()

    # running, as the runner tells

    async def next(self) -> Active:
        """The job whose turn it is, as soon as there is one; it counts as running from now on."""
        while self._paused or not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        self._running = self._waiting.popleft()
        return self._running

    def begin(self, active: Active, forecast: Forecast) -> None:
        job = active.job
        active.forecast, active.started = forecast, time.monotonic()
        job.status, job.started_at, job.phase, job.eta_s = "running", timestamp(), "load", forecast.total_s
        self._save(active)
        self._number()
        self._publish(active)

    def progressed(self, active: Active, event: Progress) -> None:
        job, forecast = active.job, active.forecast
        assert forecast is not None  # noqa: S101
        job.phase, job.step, job.steps_total = event.phase, event.step, event.steps
        job.truncated = job.truncated or event.truncated
        where = (event.phase, event.step, event.steps)
        job.progress, job.eta_s = max(job.progress, round(forecast.progress(*where), 4)), forecast.eta_s(*where)
        if event.preview is not None:
            self.previews.keep(job.id, event.preview, event.bits)
            job.preview_seq += 1
            self._events.publish("preview", {"job_id": job.id, "seq": job.preview_seq}, replay=False)
        self._publish(active)

    def made(self, active: Active, image_id: str) -> None:
        active.job.image_ids.append(image_id)
        active.job.image_id = active.job.image_ids[0]

    def fail(self, active: Active, code: str, message: str, remedy: str | None = None) -> None:
        active.job.error = JobError(code=code, message=message, remedy=remedy)
        self.end(active, "failed")

    def succeed(self, active: Active) -> None:
        active.job.progress = 1.0
        self._admission.drawn(active)
        self.end(active, "done")

    def end(self, active: Active, status: JobStatus) -> None:
        job = active.job
        if active.started:
            job.elapsed_s = round(time.monotonic() - active.started, 3)
        job.status, job.finished_at = status, timestamp()
        job.position = job.phase = job.eta_s = None
        try:
            self._save(active)
            self._events.publish("job", job.model_dump())
        finally:  # whatever fails here, nobody waits for ever
            active.finished.set()
            active.tell()

    def release(self) -> None:
        self._running = None
        self._number()

    # what the pages and the store are told

    def _refreshed(self, active: Active) -> Job:
        if active.started and active.job.status == "running":
            active.job.elapsed_s = round(time.monotonic() - active.started, 3)
        return active.job.model_copy()

    def _publish(self, active: Active) -> None:
        self._events.publish("job", self._refreshed(active).model_dump())
        active.tell()

    def _save(self, active: Active) -> None:
        """Note the job's state. If the index takes nothing (a full disk), that waits for the next occasion or start."""
        self._unnoted[active.job.id] = active.job
        try:
            for job in tuple(self._unnoted.values()):
                self._records.note(job)
                del self._unnoted[job.id]
        except sqlite3.Error as error:
            log.warning("%d jobs could not be noted yet: %s", len(self._unnoted), error)

    def _number(self) -> None:
        """Give everybody a place and a time; tell the pages where one has changed."""
        eta = self._running.job.eta_s if self._running else 0.0
        if self._running:
            self._running.job.position = 0
        for place, active in enumerate(self._waiting, start=1):
            job = active.job
            own = self._durations.forecast(active.timed_as, job.width, job.height, job.steps, loaded=True).total_s
            eta = None if eta is None or own is None else eta + own
            moved, job.position, job.eta_s = job.position != place, place, eta
            if moved:
                self._publish(active)

    def forget_old(self) -> None:
        self._records.forget_old()

    # starting and stopping with the server

    def restore(self) -> None:
        """After a start: what waited waits again, and before it what was running, unless its image is there."""
        for job, attached in self._records.unfinished():
            active = Active(job, attached)
            if self._recover(active):
                continue
            if job.status == "running":
                job.interruptions += 1
                job.position = 0
            if self._returns(active):
                self._waiting.append(active)
        last = len(self._waiting)
        places = {active: last if (place := active.job.position) is None else place for active in self._waiting}
        self._waiting = deque(sorted(self._waiting, key=places.__getitem__))
        self._number()
        self._arrived.set()

    def _recover(self, active: Active) -> bool:
        """Pictures were saved, but the server did not live to note it."""
        active.job.image_ids = []
        ids = (picture_id(active.job.id, position) for position in itertools.count())
        for image_id in itertools.takewhile(lambda one: self._gallery.file(one).exists(), ids):
            image = self._gallery.recover(image_id)
            if image is None:
                break
            image.group, image.group_kind, image.cell = active.job.group, active.job.group_kind, active.job.cell
            self._gallery.add(image)
            self.made(active, image_id)
        if not active.job.image_ids:
            return False
        self.succeed(active)
        return True

    def _returns(self, active: Active) -> bool:
        """Whether the job is to be drawn after the next start, or after this one; else it has ended."""
        if active.cancelling:
            self.end(active, "cancelled")
            return False
        active.job.error = why_not_again(active.job, attached=active.attached)
        if active.job.error is not None:
            self.end(active, "interrupted")
            return False
        put_back(active.job)
        self._save(active)
        return True

    def close(self) -> None:
        """Accept nothing more and release every caller that waits; unattached jobs stay for the next start."""
        self._closing = True
        for active in self.active:
            if self._returns(active) and active is self._running:
                self._publish(active)
                active.finished.set()  # what the engine still says of it comes too late
        self._waiting.clear()
