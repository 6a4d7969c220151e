"""The bodies and answers of what is done with many pictures."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from ..gallery.listing import MAX_IDS
from ..gallery.trash import Contents
from ..parameters import Fields
from ..schemas.images import Image
from ..schemas.names import Id
from ..validation import Answer, refused

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
    Field(description="a line of text that no other collection has, whatever its case"),
]
Ids = Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]


class Chosen(Fields):
    """Pictures, in the order in which they are to be worked on."""

    ids: Ids


class ImageIds(Answer):
    ids: list[Id]


class Lineage(Answer):
    images: list[Image] = Field(description="the first of all first; this one before those that were made from it")


class PictureCode(Answer):
    """A picture as bits, which `POST /decode` makes a picture of again."""

    code: str = Field(description="base64url")
    width: int
    height: int
    bytes: int = Field(description="of the code itself, 2,056 at 256x256")
    model: str | None = Field(description="whose autoencoder made the bits, and reads them")


class SimilarImage(Answer):
    image: Image
    distance: int = Field(description="how many bits differ")
    part: float = Field(description="of all bits, 0 to 1; of two pictures that have nothing in common about 0.5")


class SimilarImages(Answer):
    """Those whose codes can be compared with this picture's: of the same model and size, the most alike first."""

    images: list[SimilarImage]


class Restored(Answer):
    """`missing` were not deleted, or are gone for good."""

    ids: list[Id]
    missing: list[Id]


class DeletedImage(Image):
    """A picture that can be brought back."""

    deleted_at: str
    gone_at: str = Field(description="when it is deleted for good")


class Bin(Answer):
    """What was deleted and can be brought back, the latest first."""

    images: list[DeletedImage]
    next_cursor: str | None
    total: int
    bytes: int = Field(description="on the disk, of all of them")

    @classmethod
    def of(cls, found: Contents) -> Self:
        images = []
        for one, (deleted_at, gone_at) in found.images:
            shown = one.model_dump(exclude={"file_name"}) | {"thumbnail_url": f"/images/deleted/{one.id}/thumbnail"}
            images.append(DeletedImage(**shown, deleted_at=deleted_at, gone_at=gone_at))
        return cls(images=images, next_cursor=found.next_cursor, total=found.total, bytes=found.bytes)


class Ended(Answer):
    """`missing` were not deleted, or are gone for good already."""

    ids: list[Id]
    missing: list[Id]


class FavouritePatch(Chosen):
    favourite: bool = Field(strict=True)


def _named(field: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "string"}}}


class Move(Chosen):
    """Into a collection, out of one, or both; the files stay where they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"anyOf": [_named("into"), _named("out_of")]})

    into: Id | None = None
    out_of: Id | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.into is None and self.out_of is None:
            raise refused("Name a collection: `into`, `out_of`, or both.", field="into")
        return self


class Changed(Answer):
    """`missing` are those that there are not."""

    ids: list[Id]
    missing: list[Id]


class CollectionName(Fields):
    name: Name


class Collection(Answer):
    id: Id
    name: str
    created_at: str
    total: int = Field(description="how many pictures are in it")
    cover: str | None = Field(None, description="the thumbnail of its newest picture")


class CollectionList(Answer):
    collections: list[Collection]


class ArchiveRequest(Chosen):
    """The pictures' own files; without their prompts, or without any metadata, if that is asked for."""

    metadata: Literal["full", "mark", "none"] = "full"


class Archive(Answer):
    """A ZIP file that is made while it is fetched."""

    id: Id
    url: str
    name: str
    pictures: int
    expires_at: str
