"""The shapes of the native interface's answers, and of what changes them. No behaviour beyond validation."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
    computed_field,
    model_validator,
)

from bonsai_mlx.images.naming import stem_of

from .parameters import Fields, Flag, RequestValue
from .validation import Answer

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


JobStatus = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
JobPhase = Literal["enlarge", "load", "encode", "encode image", "denoise", "decode"]
GroupKind = Literal["batch", "compare", "grid", "pipeline"]
WorkerState = Literal["stopped", "starting", "idle", "busy", "unresponsive"]
ModelContent = Literal["pinned", "listed", "unchecked", "unknown"]  # how far its files are known: bonsai_mlx/hub/api.py
ModelState = Literal["ready", "absent", "partial", "downloading", "paused", "verifying", "damaged", "failed"]


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


class StyleShown(Answer):
    name: str
    text: str = Field(description="`{prompt}` is where the prompt goes; without it, the text follows behind a comma")
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    ours: bool = Field(description="exactly as the program brings it")


class PromptLength(Answer):
    tokens: int | None = Field(None, description="null where the model's tokenizer is not to be had")
    limit: int | None = Field(None, description="how many of these are read; what comes after is left out")
    read_chars: int | None = Field(None, description="how many characters of the prompt these are, its styles included")


class StyleList(Answer):
    styles: list[StyleShown]


class LoraShown(Answer):
    name: str
    bytes: int
    models: list[str] = Field(description="those that it fits")
    problem: str | None = Field(None, description="why it fits none")
    trigger_words: str | None = Field(None, description="what a prompt should hold, as the file says")


class LoraList(Answer):
    loras: list[LoraShown]


class InputPicture(Answer):
    """A picture that goes in."""

    id: str
    width: int
    height: int
    mask: bool = Field(description="whether it says what is repainted")
    alpha: str | None = Field(description="a mask of its transparent parts, if it has any")


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


Way = Literal["write", "draw", "redraw", "repaint", "extend", "change", "enlarge"]


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


class Image(Answer):
    id: Id
    prompt: str
    seed: int | None
    steps: int | None
    width: int
    height: int
    model: str | None
    variant: str | None
    created_at: str
    favourite: bool = False
    bytes: int
    format: Literal["png", "jpeg", "webp"] = "png"
    name: str | None = Field(None, description="The file's own name, if it is not named by its id")
    timings: dict[str, float] = Field({})
    peak_memory_bytes: int | None = None
    truncated: bool = Field(False, description="the prompt is longer than the model reads, and its end was left out")
    group: Id | None = None
    group_kind: GroupKind | None = None
    cell: GridCell | None = None
    url: str
    thumbnail_url: str
    recipe: dict[str, Any] = Field({})

    @computed_field(description="what a copy of the file is called")  # type: ignore[prop-decorator]
    @property
    def file_name(self) -> str:
        return f"{stem_of(self.prompt, self.seed, self.name)}{_SUFFIXES[self.format]}"


_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


class Upscalers(Answer):
    names: list[str] = Field(description="files in the folder of upscalers, for `upscaler` of POST /enlarge")


class ImageDetails(Image):
    """An image with its lineage; what was deleted is not in it."""

    parents: list[Relative] = Field([], description="what it was made from")
    children: list[Relative] = Field([], description="what was made from it")
    collections: list[Id] = Field([], description="the collections that it is in")


class PictureSettings(Answer):
    """How a picture was made, as its file says; null and "" stand for: it does not say."""

    source: str = Field(description="bonsai, a1111, swarmui, fooocus, invokeai, mflux, drawthings, comfyui or exif")
    program: str = Field(description="the program's name, for people")
    prompt: str
    negative: str
    seed: int | None
    seed_text: str | None = Field(description="the seed's digits: 64 bits are more than some readers' numbers hold")
    steps: int | None
    width: int | None
    height: int | None
    model: str | None
    extra: dict[str, str] = Field(description="settings that have no place here, for showing")
    recipe: dict[str, Any] | None = Field(description="only of pictures that this program made")
    code: str | None = Field(None, description="which alone stands for the picture: `POST /decode` makes it")


class PictureMetadata(Answer):
    """null for a picture that says nothing."""

    settings: PictureSettings | None


class ImagePage(Answer):
    images: list[Image]
    next_cursor: str | None
    total: int


class ImagePatch(Fields):
    favourite: Flag


class Deleted(Answer):
    id: Id
    undo_until: str


class DeletedMany(Answer):
    """`missing` are those that there are not, or not any more."""

    ids: list[Id]
    missing: list[Id]
    undo_until: str


class Generated(Answer):
    """The JSON form of POST /generate."""

    job: Job
    image: Image
    b64_json: str


class ComparedImage(Answer):
    image: Image
    b64_json: str


class DemoComparison(Answer):
    """One result in the shape of the Bonsai demo."""

    backend: str
    png_b64: str
    wall_seconds: float
    swap_seconds: float


class Compared(Answer):
    left: ComparedImage
    right: ComparedImage
    results: list[DemoComparison]


class Backend(Answer):
    kind: str
    supported_families: list[str]
    default_family: str
    healthy: bool
    reason: str | None = None


class Backends(Backend):
    """The Bonsai demo's own object, with the list of backends that its scripts choose from beside it."""

    default_kind: str
    backends: list[Backend]


class Download(Answer):
    bytes_done: int
    bytes_total: int
    speed_bps: float | None = None
    eta_s: float | None = None
    file: str | None = None
    error: str | None = None


class Model(Answer):
    name: str
    title: str
    variant: str
    family: str = Field("flux2", description="`bits`: it takes a temperature, and draws without words too")
    embedded: bool
    repo: str | None
    revision: str | None
    state: ModelState
    path: str | None
    bytes_total: int
    bytes_present: int
    recommended_steps: int
    recommended_guidance: float = Field(
        1.0, description="1: the model is distilled and takes no guidance and no negative prompt"
    )
    recommended_size: tuple[int, int]
    note: str
    resident_bytes: int | None
    packed_from: str | None = Field(
        None, description="the repository whose files were packed here, or are being packed"
    )
    original: str | None = Field(None, description="what `from` may say of a download; null: it is not made so")
    original_bytes: int | None = Field(None, description="what comes then, to be packed here")
    passing_bytes: int | None = Field(None, description="of these, what lies on the disk at a time, at most")
    content: ModelContent = "unchecked"
    download: Download | None = None
    problems: list[str] = Field([])


class ModelList(Answer):
    models: list[Model]
    default: str
    disk_free_bytes: int


class Fit(Answer):
    width: int
    height: int
    peak_bytes: int
    verdict: Literal["fits", "tight", "swaps"]
    seconds: float | None


class Sizes(Answer):
    sizes: list[Fit]


class Memory(Answer):
    mlx_active_bytes: int = 0
    mlx_peak_bytes: int = 0
    mlx_cache_bytes: int = 0
    process_bytes: int = 0
    server_bytes: int
    system_total_bytes: int
    system_available_bytes: int
    swap_used_bytes: int
    swap_growth_bytes: int
    worker: WorkerState
    model: str | None
    phase: JobPhase | None
    t: float


class Health(Answer):
    status: Literal["ok"] = "ok"
    version: str
    worker: WorkerState
    uptime_s: float
