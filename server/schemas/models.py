"""Models and what belongs to them: downloads, sizes that fit, adapters, upscalers."""

from typing import Literal

from pydantic import (
    Field,
)

from bonsai_mlx.hub.published import PartKind

from ..validation import Answer
from .names import ModelContent, ModelState


class LoraShown(Answer):
    name: str
    bytes: int
    models: list[str] = Field(description="those that it fits")
    problem: str | None = Field(None, description="why it fits none")
    trigger_words: str | None = Field(None, description="what a prompt should hold, as the file says")


class LoraList(Answer):
    loras: list[LoraShown]


class Upscalers(Answer):
    names: list[str] = Field(description="files in the folder of upscalers, for `upscaler` of POST /enlarge")


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
    kind: PartKind | Literal["model"] = Field("model", description="what it is: a model draws, others are parts")
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
    parts: list[Model] = Field([], description="what may take the place of a model's own parts, see `kind`")
    default: str
    disk_free_bytes: int


class Fit(Answer):
    width: int
    height: int
    peak_bytes: int
    verdict: Literal["fits", "tight", "swaps"]
    seconds: float | None = Field(description="learned, with the recommended steps; null: not known yet")
    seconds_per_step: float | None = Field(None, description="by how much more steps take longer")


class Sizes(Answer):
    sizes: list[Fit]
