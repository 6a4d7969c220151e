"""Jobs that came to nothing, asked for once more in their own place: the same request, group and cell of a grid."""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoints.models import Models
from ..errors import ApiError
from ..schemas.jobs import Job
from ..schemas.names import GroupKind
from .active import Work

_ENDED = "Ask only for those that ended without a picture."


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
    return [Work(job.model, job.request, tuple(job.parents), job.cell) for job in jobs]
