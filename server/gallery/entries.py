"""What an image is in the gallery's index: read from its file, written as a row, found by its words.

Knows PNG files' recipes and the columns of the table `images`; touches neither the index nor the folder, which are the
gallery's.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bonsai_mlx.images.metadata import Format

from ..schemas.images import Image
from ..store import timestamp
from .decoder import Decoder
from .folder import SUFFIXES, named_by_id

MAX_SEARCHED_CHARS = 64_000  # of a prompt; one character can become eighteen


def fold(text: str) -> str:
    """How prompts and search words are compared: without regard to case, width and how accents are written.

    A letter's case can be undone into what is composed differently, hence twice.
    """
    once = unicodedata.normalize("NFKC", text[:MAX_SEARCHED_CHARS]).casefold()
    return unicodedata.normalize("NFKC", once)[:MAX_SEARCHED_CHARS]


def image_from_file(decoder: Decoder, path: Path, image_id: str) -> Image:
    """What a file says of itself. Blocks. PictureError for what is no readable picture, OSError for what is no file."""
    status = path.lstat()
    fields = decoder.inspect(path)
    created_at = fields.pop("created_at") or timestamp(status.st_mtime)
    return make_image(image_id, created_at=created_at, size_bytes=status.st_size, name=shown_name(path.name), **fields)


def shown_name(name: str) -> str | None:
    """A file's own name as text, whatever its bytes are; None for one that is named by an id."""
    return None if named_by_id(name) else os.fsencode(name).decode("utf-8", "replace")


def make_image(image_id: str, *, size_bytes: int, format: Format = "png", **fields: Any) -> Image:
    url = f"/images/{image_id}"
    return Image(
        id=image_id,
        bytes=size_bytes,
        format=format,
        url=url + SUFFIXES[format],
        thumbnail_url=f"{url}/thumbnail",
        **fields,
    )


def row_of(image: Image, deleted_at: float | None = None) -> tuple[Any, ...]:
    data = image.model_dump_json(exclude={"favourite", "file_name"})
    return image.id, image.created_at, fold(image.prompt), image.favourite, image.group, deleted_at, data


def image_of_row(image_id: str, data: object, favourite: object) -> Image | None:
    """The Image of these columns; None where this program cannot read them: the next start makes them anew."""
    try:
        image = Image.model_validate_json(data) if isinstance(data, str) else None
    except ValidationError:
        image = None
    if image is None or image.id != image_id:
        return None
    image.favourite = bool(favourite)
    return image


def is_entry(image_id: str, created_at: object, deleted_at: object, favourite: object, data: object) -> bool:
    image = image_of_row(image_id, data, favourite)
    return (
        image is not None and image.created_at == created_at and (deleted_at is None or isinstance(deleted_at, float))
    )
