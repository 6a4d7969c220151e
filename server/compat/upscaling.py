"""Enlarging pictures that other programs send, exactly: A1111's `extra-single-image` and `-batch-images`, Lemonade's
`upscale`. Nothing is drawn; the pixels in between are Lanczos's."""

from __future__ import annotations

import base64
import math
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from starlette.responses import JSONResponse, Response

from bonsai_mlx.errors import PictureError
from bonsai_mlx.request import MAX_CANVAS_AREA

from ..gallery.convert import Resize
from ..routes.common import StudioDep, failures, json_body
from ..studio import Studio
from . import openai, sdapi
from .body import Body, Side, Switch, Text, bad_field, number, parsed, read_body, read_json
from .failing import errors_as, json_answer
from .pictures import decoded

extras = APIRouter(
    prefix="/sdapi/v1",
    tags=["sdapi"],
    route_class=errors_as(sdapi.render_error),
    responses=failures(sdapi.SdapiFailure),
)
lemonade = APIRouter(
    tags=["openai"], route_class=errors_as(openai.render_error), responses=failures(openai.OpenAIFailure)
)

LEMONADE_FACTOR = 4.0  # what its models do
MAX_PICTURES = 16
_TO_SIZE = 1  # A1111's resize_mode
_FACTOR = Field(gt=0, le=8, description="how many times as wide and as high")


class Extras(Body):
    """A1111's fields; upscalers and face restorers change nothing."""

    resize_mode: Annotated[int, Field(ge=0, le=1, description="0: by a factor, 1: to a size")] = 0
    upscaling_resize: Annotated[float, _FACTOR, BeforeValidator(number)] = 2.0
    upscaling_resize_w: Side = None
    upscaling_resize_h: Side = None
    upscaling_crop: Annotated[Switch, Field(description="fill the size and cut what is too much")] = True


class ExtraSingle(Extras):
    image: Annotated[Text, Field(description="base64, with or without a data: address")]


class Named(Body):
    data: Text
    name: Text = ""


class ExtraBatch(Extras):
    imageList: Annotated[list[Named], Field(max_length=MAX_PICTURES)]  # noqa: N815  their name


@extras.post("/extra-single-image", summary="Enlarge a picture (A1111)", openapi_extra=json_body(ExtraSingle))
async def single(studio: StudioDep, request: Request) -> Response:
    body = parsed(ExtraSingle, await read_json(request))
    return json_answer({"html_info": "", "image": await _enlarged(studio, body, body.image, "image")})


@extras.post("/extra-batch-images", summary="Enlarge pictures (A1111)", openapi_extra=json_body(ExtraBatch))
async def several(studio: StudioDep, request: Request) -> Response:
    body = parsed(ExtraBatch, await read_json(request))
    images = [await _enlarged(studio, body, one.data, "imageList") for one in body.imageList]
    return json_answer({"html_info": "", "images": images})


async def _enlarged(studio: Studio, body: Extras, text: str, field: str) -> str:
    if body.resize_mode == _TO_SIZE:
        if not body.upscaling_resize_w or not body.upscaling_resize_h:
            raise bad_field("upscaling_resize_w", "A size needs both its sides.", "Give upscaling_resize_h too.")
        operation = Resize(
            width=body.upscaling_resize_w,
            height=body.upscaling_resize_h,
            fit="cover" if body.upscaling_crop else "stretch",
        )
    else:
        operation = Resize(factor=body.upscaling_resize)
    return await enlarged(studio, await decoded(text, field), operation, field)


class Upscale(Body):
    """Lemonade's fields; the model changes nothing."""

    image: Annotated[Text, Field(description="base64, with or without a data: address")]
    factor: Annotated[float, _FACTOR, BeforeValidator(number)] = LEMONADE_FACTOR


@lemonade.post("/images/upscale", summary="Enlarge a picture (Lemonade)", openapi_extra=json_body(Upscale))
async def upscale(studio: StudioDep, request: Request) -> Response:
    body = await read_body(request, Upscale)
    data = await enlarged(studio, await decoded(body.image, "image"), Resize(factor=body.factor), "image")
    answer: dict[str, Any] = {"created": int(time.time()), "data": [{"b64_json": data}]}
    return JSONResponse(answer)


async def enlarged(studio: Studio, data: bytes, operation: Resize, field: str) -> str:
    if operation.factor is None and math.prod((operation.width, operation.height)) > MAX_CANVAS_AREA:
        raise bad_field("upscaling_resize_w", "That is more than 40 million pixels.")
    try:
        return base64.b64encode(await studio.decoder.decode(data, operation)).decode()
    except PictureError as error:
        raise bad_field(field, f"The picture cannot be enlarged: {error}.") from None
