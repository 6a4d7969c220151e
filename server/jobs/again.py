"""Jobs that came to nothing, once more: asked for in their own place, the same request, group and cell of a grid; or
by themselves, where they were running when the server ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoints.models import Models
from ..errors import ApiError
from ..schemas.jobs import Job, JobError
from ..schemas.names import GroupKind
from .active import Work

_ENDED = "Ask only for those that ended without a picture."
_STOPPED = JobError(
    code="interrupted", message="The server was stopped before this picture was finished.", remedy="Draw it again."
)
_TWICE = JobError(
    code="interrupted",
    message="The server broke off twice while this picture was drawn, so it may be why.",
    remedy="Draw it again, smaller if memory may have run out.",
)
_MOST_INTERRUPTIONS = 1  # after which a job is drawn again


def why_not_again(job: Job, *, attached: bool) -> JobError | None:
    """Why a job does not return after the server has ended; None: it waits, as if it had never begun.

    Nobody waits any more for one that a caller has waited for.
    """
    if attached:
        return _STOPPED
    return _TWICE if job.interruptions > _MOST_INTERRUPTIONS else None


def put_back(job: Job) -> None:
    """Let it wait under its id, so that whoever asked for it finds it."""
    job.status, job.steps_total = "queued", job.request.steps
    job.started_at = job.phase = job.eta_s = job.image_id = None
    job.step, job.progress, job.elapsed_s, job.preview_seq = 0, 0.0, 0.0, 0
    job.truncated, job.image_ids = False, []


def group_of(jobs: Sequence[Job]) -> tuple[str | None, GroupKind | None]:
    """ApiError 422 where they are not of one request."""
    groups = {(job.group, job.group_kind) for job in jobs}
    if len(groups) > 1 or (len(jobs) > 1 and jobs[0].group is None):
        raise ApiError(
            422,
            "bad_field",
            "These jobs are not of one request.",
            field="jobs",
            remedy="Ask for one request at a time.",
        )
    return groups.pop()


def work_again(jobs: Sequence[Job], models: Models) -> list[Work]:
    """What they were to do. ApiError 409: one has a picture or has not ended, or its model is not here any more."""
    for job in jobs:
        if job.image_ids or job.status in ("queued", "running"):
            message = f"Job {job.id[:8]} is {job.status}; there is nothing to be drawn again."
            raise ApiError(409, "conflict", message, remedy=_ENDED)
        if job.group_kind == "pipeline":
            raise ApiError(409, "conflict", "A step of a pipeline is drawn by its pipeline.", remedy="Run that again.")
        models.require_ready(models.resolve(job.model))
    return [Work(job.model, job.request, tuple(job.parents), job.cell, tuple(job.notes)) for job in jobs]
