"""A1111's `extra-single-image` and `-batch-images`: pictures enlarged by Lanczos, or by a file in the user's folder."""

import base64
import html
import math
from typing import Annotated

from fastapi import Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.request import MAX_CANVAS_AREA

from ...gallery.convert import Resize
from ...routes.common import StudioDep, json_body
from ...studio import Studio
from ..base import submit
from ..body import Body, Side, Switch, Text, bad_field, number, parsed, read_json
from ..failing import json_answer
from ..pictures import decoded, resized, taken_in
from .following import drawn
from .larger import MAX_FACTOR, Larger, factor_for
from .options import chosen
from .shape import new_router
from .upscalers import file_of

router = new_router()

MAX_PICTURES = 16
_TO_SIZE = 1  # A1111's resize_mode


class Extras(Body):
    """A1111's fields; face restorers and a second upscaler change nothing."""

    resize_mode: Annotated[int, Field(ge=0, le=1, description="0: by a factor, 1: to a size")] = 0
    upscaling_resize: Annotated[
        float, Field(gt=0, le=8, description="how many times as wide and as high"), BeforeValidator(number)
    ] = 2.0
    upscaling_resize_w: Side = None
    upscaling_resize_h: Side = None
    upscaling_crop: Annotated[Switch, Field(description="fill the size and cut what is too much")] = True
    upscaler_1: Annotated[Text, Field(description="one of `upscalers`; others mean Lanczos")] = ""


class ExtraSingle(Extras):
    image: Annotated[Text, Field(description="base64, with or without a data: address")]


class Named(Body):
    data: Text
    name: Text = ""


class ExtraBatch(Extras):
    imageList: Annotated[list[Named], Field(max_length=MAX_PICTURES)]  # noqa: N815  their name


@router.post("/extra-single-image", summary="Enlarge a picture (A1111)", openapi_extra=json_body(ExtraSingle))
async def single(studio: StudioDep, request: Request) -> Response:
    body, notes = parsed(ExtraSingle, await read_json(request)), list[str]()
    image = await _enlarged(studio, request, body, body.image, "image", notes)
    return json_answer({"html_info": _shown(notes), "image": image})


@router.post("/extra-batch-images", summary="Enlarge pictures (A1111)", openapi_extra=json_body(ExtraBatch))
async def several(studio: StudioDep, request: Request) -> Response:
    body, notes = parsed(ExtraBatch, await read_json(request)), list[str]()
    images = [await _enlarged(studio, request, body, one.data, "imageList", notes) for one in body.imageList]
    return json_answer({"html_info": _shown(notes), "images": images})


def _shown(notes: list[str]) -> str:
    return "".join(f"<p>{html.escape(note)}</p>" for note in dict.fromkeys(notes))


async def _enlarged(studio: Studio, request: Request, body: Extras, text: str, field: str, notes: list[str]) -> str:
    operation, data = _operation(body), await decoded(text, field)
    if upscaler := file_of(studio, body.upscaler_1, notes):
        data, operation = await _by_file(studio, request, data, operation, upscaler, field, notes)
    return base64.b64encode(await resized(studio, data, operation, field)).decode()


def _operation(body: Extras) -> Resize:
    if body.resize_mode != _TO_SIZE:
        return Resize(factor=body.upscaling_resize, transparent=True)
    if not body.upscaling_resize_w or not body.upscaling_resize_h:
        raise bad_field("upscaling_resize_w", "A size needs both its sides.", "Give upscaling_resize_h too.")
    size = body.upscaling_resize_w, body.upscaling_resize_h
    if math.prod(size) > MAX_CANVAS_AREA:
        raise bad_field("upscaling_resize_w", "That is more than 40 million pixels.")
    return Resize(width=size[0], height=size[1], fit="cover" if body.upscaling_crop else "stretch", transparent=True)


async def _by_file(
    studio: Studio, request: Request, data: bytes, wanted: Resize, upscaler: str, field: str, notes: list[str]
) -> tuple[bytes, Resize]:
    """The picture as the upscaler enlarges it, four times at most, and what is then to be done with it."""
    source = (await taken_in(studio, data, field))[0]
    notes += source.notes
    after = wanted.width, wanted.height
    if wanted.factor is not None:
        after = max(1, round(source.width * wanted.factor)), max(1, round(source.height * wanted.factor))
    within = min(after[0], MAX_FACTOR * source.width), min(after[1], MAX_FACTOR * source.height)
    by = factor_for(source.size, within, "upscaling_resize")
    larger = Larger(studio.models.require_ready(chosen(studio)), source.size, after, by, upscaler)
    made = await drawn(studio, request, submit(studio, [await larger.work(studio, source.id, None)]))
    fit = wanted.fit if wanted.factor is None else "stretch"
    return made.pictures[0].png, Resize(width=after[0], height=after[1], fit=fit)
