"""What a picture's file says about how it was made: the same reader for the page, the gallery and everybody else."""

import asyncio

from fastapi import APIRouter, Request

from bonsai_mlx.images.metadata import found_in_texts
from bonsai_mlx.images.scan import MAX_FILE_BYTES, Scanner

from ..errors import ApiError
from ..gallery.inspection import whole_characters
from ..schemas.images import PictureMetadata, PictureSettings
from .common import errors

router = APIRouter(tags=["images"])

AT_ONCE = 4  # files; each has up to 8 MB of texts while it is read, and who waits has no more than its connection
_FILE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _FILE}}}


@router.post(
    "/metadata",
    summary="What a picture says about how it was made, whichever program made it",
    responses=errors(408, 413),
    openapi_extra=_BODY,
)
async def metadata(request: Request) -> PictureMetadata:
    """The body is a PNG, JPEG or WebP file of at most 64 MiB as it is. Pixels are neither decoded nor kept."""
    async with _places(request):
        scanner, problem = Scanner(), ""
        async for piece in request.stream():  # to its end even if it is no picture: who still sends reads no answer
            if not problem:
                try:
                    scanner.feed(piece)
                except ValueError as error:
                    problem = str(error)
        return await asyncio.to_thread(_settings, scanner, problem)


def _places(request: Request) -> asyncio.Semaphore:
    state = request.app.state
    if not hasattr(state, "metadata_places"):
        state.metadata_places = asyncio.Semaphore(AT_ONCE)
    places: asyncio.Semaphore = state.metadata_places
    return places


def _settings(scanner: Scanner, problem: str) -> PictureMetadata:
    try:
        if problem:
            raise ValueError(problem)
        texts = scanner.finish()
    except ValueError as error:
        raise _refusal(f"This picture cannot be read: {error}.") from None
    found = found_in_texts(texts.texts)
    if found is None and texts.left_out:
        raise _refusal(f"Its settings cannot be read: {texts.left_out[0]}.")
    return PictureMetadata(settings=PictureSettings(**whole_characters(found.as_dict())) if found else None)


def _refusal(message: str) -> ApiError:
    return ApiError(
        422, "bad_picture", message, remedy=f"Send a whole PNG, JPEG or WebP file, up to {MAX_FILE_BYTES >> 20} MiB."
    )
