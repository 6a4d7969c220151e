"""Jobs, the queue, and what groups of jobs are."""

from typing import Any, Literal

from pydantic import (
    Field,
    computed_field,
    model_validator,
)

from ..parameters import Fields, RequestValue
from ..validation import Answer
from .names import GroupKind, Id, JobPhase, JobStatus, Way


class JobError(Answer):
    code: str
    message: str
    remedy: str | None = None


class Relative(Answer):
    """Another image, and what it has to do with this one."""

    id: Id
    role: str


class GridCell(Answer):
    """The place of a picture in a grid, and the labels of all columns and rows."""

    column: int
    row: int
    columns: list[str]
    rows: list[str]


class GridPlan(Answer):
    """What a grid would be."""

    columns: list[str]
    rows: list[str]
    count: int = Field(description="pictures")
    limit: int = Field(description="pictures that are taken at a time")
    fits: bool
    message: str | None = Field(description="why it is too large, for people")
    seconds: float | None = Field(description="that it would take; null where that is not known yet")


class Job(Answer):
    id: Id
    status: JobStatus
    kind: Literal["generate"] = "generate"
    group: Id | None = None
    group_kind: GroupKind | None = None
    model: str
    request: RequestValue
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    position: int | None = Field(None, description="0: running; 1 and more: waiting; null: finished")
    phase: JobPhase | None = None
    step: int = 0
    steps_total: int = 0
    progress: float = 0.0
    eta_s: float | None = None
    elapsed_s: float = 0.0
    image_id: Id | None = Field(None, description="the first of `image_ids`")
    image_ids: list[Id] = Field([], description="every picture that the job has made, in order")
    parents: list[Relative] = Field([], description="the pictures of the gallery that go in")
    cell: GridCell | None = None
    truncated: bool = Field(False, description="the prompt is longer than the model reads, and its end was left out")
    notes: list[str] = Field([], description="what pictures that go in lose, or how they are made to fit, for people")
    interruptions: int = Field(0, description="how often the server broke off while it was drawn")
    error: JobError | None = None
    preview_seq: int = 0

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        """A row of version 1 of the index has the request's parameters among the job's own."""
        if not isinstance(values, dict) or "request" in values:
            return values
        parameters = {name: values.get(name) for name in _FLAT}
        return values | {"request": {"operation": "draw", "version": 1, **parameters}}

    # The parameters of a picture also stand beside the request, where clients have found them from the beginning.

    @computed_field  # type: ignore[prop-decorator]
    @property
    def prompt(self) -> str:
        return self.request.prompt

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seed(self) -> int:
        return self.request.seed

    @computed_field  # type: ignore[prop-decorator]
    @property
    def steps(self) -> int:
        return self.request.steps

    @computed_field  # type: ignore[prop-decorator]
    @property
    def width(self) -> int:
        return self.request.width

    @computed_field  # type: ignore[prop-decorator]
    @property
    def height(self) -> int:
        return self.request.height


_FLAT = ("prompt", "seed", "steps", "width", "height")


class Queue(Answer):
    running: int
    waiting: int
    limit: int
    paused: bool = False  # what runs is finished, and nothing else begins


class JobList(Answer):
    jobs: list[Job]
    queue: Queue


class JobsCreated(Answer):
    jobs: list[Job]
    group: Id | None


class PipelineRun(Answer):
    """A pipeline that is carried out, a job after the other, all of them in one group."""

    group: Id = Field(description="of its jobs; DELETE /pipelines/runs/{group} cancels them")
    name: str | None = Field(description="of the pipeline, if it has one")
    status: Literal["running", "done", "failed", "cancelled", "interrupted"]
    step: int = Field(description="the one that waits or runs, from 1 on; the last one that did")
    steps: int
    ways: list[Way] = Field(description="what each step does")
    jobs: list[Id] = Field(description="in the order of the steps; those to come have none yet")
    image_ids: list[Id] = Field(description="the steps' pictures")
    image_id: Id | None = Field(description="the last step's picture, once it is there")
    error: JobError | None = None


class QueueOrder(Fields):
    """Waiting jobs in the order in which they are to be drawn; those that are not named follow as they are."""

    jobs: list[Id] = Field(min_length=1, max_length=1000)


class JobsAgain(Fields):
    """Jobs of one request that ended without a picture."""

    jobs: list[Id] = Field(min_length=1, max_length=1000)


class JobsCancelled(Answer):
    jobs: list[Job]
