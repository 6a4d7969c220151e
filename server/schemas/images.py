"""Pictures: those of the gallery, what is read from a file, and what comes of a request."""

from typing import Any, Literal

from pydantic import (
    Field,
    computed_field,
)

from bonsai_mlx.images.naming import stem_of

from ..parameters import Fields, Flag
from ..validation import Answer
from .jobs import GridCell, Job, Relative
from .names import GroupKind, Id

Use = Literal["init", "references", "mask", "source"]


class InputPicture(Answer):
    """A picture that goes in."""

    id: str
    width: int
    height: int
    mask: bool = Field(description="whether it says what is repainted")
    alpha: str | None = Field(description="a mask of its transparent parts, if it has any")
    notes: list[str] = Field(description="what it has lost, and what it cannot be used for, for people")
    usable_for: list[Use] = Field(description="the fields of a request that it can be named as")


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
