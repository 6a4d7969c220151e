"""Pictures that other programs send: files of a form, base64 with or without a `data:` address, taken in and named.

Each is decoded in the decoder's child and kept as an input; from there on the interfaces speak of it as everybody does.
"""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from bonsai_mlx.errors import PictureError

from ..errors import ApiError
from ..gallery.convert import Resize
from ..gallery.inputs import Input
from ..studio import Studio
from .body import Json, bad_field

_FORM = "Send it as multipart/form-data, with the boundary that its header names."
MAX_FILES = 6  # of one request: a picture, its mask, four to be looked at


async def taken_in(studio: Studio, data: bytes, field: str, *, mask: bool = False, invert: bool = False) -> list[Input]:
    """The picture, and of one with transparent parts a mask of these, and it with them. ApiError names the field."""
    return await studio.inputs.add(data, field, mask=mask, invert=invert, whole=not mask)


async def decoded(text: str, field: str) -> bytes:
    """The file that a text holds in base64. ApiError 422 for what is none; addresses of other kinds are not fetched."""
    head, comma, encoded = text.partition(",")
    if not comma:
        encoded = text
    elif not head.lower().startswith("data:"):
        raise _no_picture(field)
    if not comma and "://" in text[:64]:
        raise bad_field(field, "Pictures are not fetched from addresses.", "Send the file itself, or its base64.")
    try:
        data = await asyncio.to_thread(base64.b64decode, encoded, validate=False)
    except (binascii.Error, ValueError):
        raise _no_picture(field) from None
    if not data:
        raise _no_picture(field)
    return data


def _no_picture(field: str) -> ApiError:
    return bad_field(field, "This is no picture in base64.", "Send a PNG, JPEG, WebP or AVIF file in base64.")


async def resized(studio: Studio, data: bytes, operation: Resize, field: str) -> bytes:
    """The picture at another size, as PNG. ApiError 422 names the field."""
    try:
        return await studio.decoder.decode(data, operation)
    except PictureError as error:
        raise bad_field(field, f"The picture cannot be enlarged: {error}.") from None


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def read_form(request: Request) -> tuple[Json, dict[str, list[bytes]]]:
    """The fields of a form, and its files by their names; `image[]` is `image`. ApiError 400 for a broken form."""
    try:
        async with request.form(max_files=MAX_FILES, max_fields=64, max_part_size=1 << 20) as form:
            return await _sorted(form)
    except ApiError:
        raise
    except Exception as error:  # the parser's own errors, and starlette's HTTP ones of them
        raise ApiError(400, "bad_request", f"The form cannot be read: {_words(error)}.", remedy=_FORM) from error


def _words(error: Exception) -> str:
    return str(getattr(error, "detail", "") or type(error).__name__).rstrip(".")


async def _sorted(form: FormData) -> tuple[Json, dict[str, list[bytes]]]:
    fields: Json = {}
    files: dict[str, list[bytes]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.setdefault(name.removesuffix("[]"), []).append(await value.read())
        else:
            fields[name] = value
    return fields, files


async def pictures_in(value: Any, field: str) -> list[bytes]:
    """The files in a JSON field: a text, an object with `image_url`, or a list of either."""
    listed: Sequence[Any] = value if isinstance(value, list) else [value]
    if len(listed) > MAX_FILES:
        raise bad_field(field, f"{field} has {len(listed)} pictures; at most {MAX_FILES} are taken.")
    found = []
    for one in listed:
        text = one.get("image_url") if isinstance(one, dict) else one
        if isinstance(text, dict):
            text = text.get("url")
        if not isinstance(text, str):
            raise _no_picture(field)
        found.append(await decoded(text, field))
    return found
