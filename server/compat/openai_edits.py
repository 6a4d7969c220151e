"""OpenAI's interface for pictures that go in: edits, with and without a mask, and variations.

With a mask, or a first picture that is transparent somewhere, those places are repainted and all else stays. Without
either the prompt is an instruction, and the pictures are looked at.
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.metadata import read

from ..routes.common import StudioDep, failures
from ..studio import Studio
from .base import choose_model, model_note
from .body import Json, bad_field, parsed, read_json
from .failing import errors_as
from .openai import ImagesRequest, OpenAIFailure, answer, render_error
from .pictures import is_form, pictures_in, read_form, taken_in

router = APIRouter(tags=["openai"], route_class=errors_as(render_error), responses=failures(OpenAIFailure))

VARIATION_STRENGTH = 0.7
_UNDESCRIBED = "a picture"  # what a variation of a picture without a recipe is asked for
_FILE = {"type": "string", "format": "binary"}
_FILES = {"oneOf": [_FILE, {"type": "array", "items": _FILE, "maxItems": 4}]}
_SAID: dict[str, Any] = {name: {"type": "string"} for name in ("prompt", "model", "n", "size", "response_format")}
_TEXTS = {"type": "array", "items": {"type": "object", "properties": {"image_url": {"type": "string"}}}}


def _body(required: list[str], *, mask: bool) -> dict[str, Any]:
    masks = {"mask": _FILE} if mask else {}
    form = {"type": "object", "required": required, "properties": {"image": _FILES, **masks, **_SAID}}
    values = {"type": "object", "properties": {"images": _TEXTS, **_SAID}}
    content = {"multipart/form-data": {"schema": form}, "application/json": {"schema": values}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/images/edits",
    summary="Change pictures (OpenAI)",
    openapi_extra=_body(["image", "prompt"], mask=True),
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def edits(studio: StudioDep, request: Request) -> Response:
    """`image` or `image[]`, `mask` (transparent, or white where nothing is, is repainted) and what `generations` takes,
    as a form or as JSON with `data:` addresses."""
    fields, images, masks = await _sent(request)
    body = parsed(ImagesRequest, fields)
    used = await _edit(studio, images, masks)
    return await _answered(studio, request, body, used, "image_edit")


@router.post(
    "/images/variations",
    summary="Draw a picture anew (OpenAI)",
    openapi_extra=_body(["image"], mask=False),
)
async def variations(studio: StudioDep, request: Request) -> Response:
    """`image`, n and size. What the picture shows is read from its recipe if it has one, or said in `prompt`."""
    fields, images, _ = await _sent(request)
    body = parsed(ImagesRequest, {"prompt": _described(images[0])} | fields)
    init = (await taken_in(studio, images[0], "image"))[0]
    used = {"init": init.id, "strength": VARIATION_STRENGTH}
    return await _answered(studio, request, body, used, "image_generation")


async def _answered(studio: Studio, request: Request, body: ImagesRequest, used: Json, event: str) -> Response:
    ready = choose_model(studio, body.model)
    return await answer(studio, request, body, ready, model_note(ready, body.model or "", studio), used, event)


async def _sent(request: Request) -> tuple[Json, list[bytes], list[bytes]]:
    if is_form(request):
        fields, files = await read_form(request)
        images, masks = files.get("image", []) + files.get("images", []), files.get("mask", [])
    else:
        fields = await read_json(request)
        given = [fields.pop(name) for name in ("images", "image") if name in fields]
        images = [one for value in given for one in await pictures_in(value, "image")]
        masks = await pictures_in(fields.pop("mask"), "mask") if "mask" in fields else []
    if not images:
        raise bad_field("image", "There is no picture to be changed.", "Send it as `image`.")
    return fields, images, masks


async def _edit(studio: Studio, images: list[bytes], masks: list[bytes]) -> Json:
    taken = [await taken_in(studio, data, "image") for data in images]
    first, *others = [one[0].id for one in taken]
    if masks:
        mask = (await taken_in(studio, masks[0], "mask", mask=True))[0]
    elif len(taken[0]) > 1:
        mask = taken[0][1]
    else:
        return {"references": [first, *others]}
    return {"init": first, "mask": mask.id, "references": others}


def _described(image: bytes) -> str:
    try:
        found = read(image)
    except (ValueError, RequestError):
        return _UNDESCRIBED
    return found.prompt if found and found.prompt.strip() else _UNDESCRIBED
