"""What a job is to do; a job that waits or runs, how whoever follows it is woken, and the ids of its pictures."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import NamedTuple

from bonsai_mlx.request import Enlarge, ResolvedOperation, batch

from ..schemas.jobs import GridCell, Job, Relative
from ..schemas.names import GroupKind
from ..store import timestamp
from .durations import Forecast


class Work(NamedTuple):
    """One request to carry out, with one model."""

    model: str
    request: ResolvedOperation
    parents: tuple[Relative, ...] = ()  # pictures of the gallery that go in
    cell: GridCell | None = None
    notes: tuple[str, ...] = ()


def batch_of(work: Work, count: int) -> list[Work]:
    return [work._replace(request=request) for request in batch(work.request, count)]


def new_job(work: Work, group: str | None, group_kind: GroupKind | None) -> Job:
    return Job(
        id=secrets.token_hex(16),
        status="queued",
        group=group,
        group_kind=group_kind,
        created_at=timestamp(),
        steps_total=work.request.steps,
        **work._asdict(),
    )


def picture_id(job_id: str, position: int) -> str:
    """The id of a job's picture, known before it is drawn: after a crash, what was saved is found by its name."""
    return hashlib.sha256(f"{job_id}/{position}".encode()).hexdigest()[:32] if position else job_id


@dataclass(eq=False)
class Active:
    """A job that waits or runs."""

    job: Job
    attached: bool
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    forecast: Forecast | None = None
    started: float = 0.0  # time.monotonic()
    cancelling: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # a fresh one after every change

    @property
    def timed_as(self) -> str:
        """What is learned of its durations belongs to: the model, and another way of using it than drawing."""
        request = self.job.request
        return f"{self.job.model} {request.method}" if isinstance(request, Enlarge) else self.job.model

    @property
    def is_quick(self) -> bool:
        """Takes a second and no model: a picture that is enlarged exactly."""
        request = self.job.request
        return isinstance(request, Enlarge) and request.method == "exact"

    @property
    def most_bytes(self) -> int:
        """What it can take where it is noted: its prompt in the widest script, and the rest."""
        return 4 * len(self.job.prompt) + 1_024

    def tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
