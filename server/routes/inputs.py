"""Pictures that go in: added once, named by their id afterwards."""

import asyncio
import math
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from bonsai_mlx.editing.frame import check_picture
from bonsai_mlx.errors import RequestError
from bonsai_mlx.request import MAX_CANVAS_AREA

from ..errors import ApiError
from ..gallery.inputs import Input
from ..schemas.images import InputPicture, Use
from .common import StudioDep, errors, file_of

router = APIRouter(tags=["inputs"])

MAX_UPLOAD_BYTES = 64 << 20
_AT_ONCE = 2  # uploads that are held in memory; who waits has no more than its connection
_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE["schema"]}}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": _FILE, "application/octet-stream": _FILE, "multipart/form-data": _FORM},
    }
}
InputId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")]


@router.post(
    "/inputs",
    status_code=201,
    summary="Add a picture that goes into others",
    responses=errors(408, 413, 507),
    openapi_extra=_BODY,
)
async def add(
    studio: StudioDep,
    request: Request,
    mask: Annotated[bool, Query(description="take it as a mask")] = False,
) -> InputPicture:
    """PNG, JPEG, WebP, AVIF, up to 64 MiB and 40 million pixels: the body as it is, or the field `file` of a form.

    It is turned upright, its transparent parts are laid on white, and what else its file says is left out; only an
    exact enlargement keeps them transparent. A mask repaints what is white, or what is transparent if anything is. The
    same picture has the same id. `alpha` is the id of a mask of the transparent parts, if there are any.
    """
    async with _places(request):
        data = await _uploaded(request)
        found = await studio.inputs.add(data, mask=mask, whole=not mask)
    return _described(found[0], found[1] if len(found) > 1 else None)


@router.get(
    "/inputs/{input_id}",
    summary="A picture that goes in, as PNG",
    response_class=Response,
    responses=file_of("image/png") | errors(404),
)
async def file(studio: StudioDep, input_id: InputId) -> Response:
    found = studio.inputs.get(input_id)
    data = await asyncio.to_thread(studio.inputs.path(found.id).read_bytes)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=31536000, immutable"})


@router.delete(
    "/inputs/{input_id}",
    status_code=204,
    summary="Let go of a picture that nothing needs",
    responses=errors(404, 409),
)
async def delete(studio: StudioDep, input_id: InputId) -> None:
    await studio.inputs.delete(input_id)


async def _uploaded(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        data = await request.body()
        if not data:
            raise ApiError(422, "bad_picture", "The file is empty.", field="file", remedy="Send the picture's file.")
        return data
    async with request.form(max_files=1, max_fields=8, max_part_size=1 << 16) as form:
        upload: Any = form.get("file")
        if not isinstance(upload, UploadFile):
            raise ApiError(
                422, "bad_field", "The form has no file.", field="file", remedy="Send it as the field `file`."
            )
        return await upload.read()


def _places(request: Request) -> asyncio.Semaphore:
    state = request.app.state
    if not hasattr(state, "input_places"):
        state.input_places = asyncio.Semaphore(_AT_ONCE)
    places: asyncio.Semaphore = state.input_places
    return places


def _described(one: Input, alpha: Input | None) -> InputPicture:
    uses, lacks = _uses(one)
    return InputPicture(
        id=one.id,
        width=one.width,
        height=one.height,
        mask=one.mask,
        alpha=alpha.id if alpha else None,
        notes=[_sentence(note) for note in (*one.notes, *lacks)],
        usable_for=uses,
    )


def _uses(one: Input) -> tuple[list[Use], list[str]]:
    """The fields of a request that the picture can be named as, and why it can be no other."""
    if one.mask:
        return ["mask"], []
    uses, lacks = list[Use](), list[str]()
    try:
        check_picture("init", one.size)
        uses += ["init", "references"]
    except RequestError as error:
        lacks.append(f"{error.message}; so it can be enlarged, and nothing else")
    if math.prod(one.size) * 4 <= MAX_CANVAS_AREA:
        uses.append("source")
    return uses, lacks


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."
