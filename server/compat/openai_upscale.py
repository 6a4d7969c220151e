"""Enlarging pictures that Lemonade's clients send, exactly. Nothing is drawn; the pixels in between are Lanczos's."""

import base64
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from starlette.responses import JSONResponse, Response

from ..gallery.convert import Resize
from ..routes.common import StudioDep, failures, json_body
from . import openai
from .body import Body, Text, number, parsed, read_json
from .failing import errors_as
from .pictures import decoded, is_form, read_form, resized

lemonade = APIRouter(
    tags=["openai"], route_class=errors_as(openai.render_error), responses=failures(openai.OpenAIFailure)
)

LEMONADE_FACTOR = 4.0  # what its models do
MAX_FACTOR = 8


class Upscale(Body):
    """Lemonade's fields; the model changes nothing."""

    image: Annotated[Text, Field(description="base64, with or without a data: address")]
    factor: Annotated[
        float, Field(gt=0, le=MAX_FACTOR, description="how many times as wide and as high"), BeforeValidator(number)
    ] = LEMONADE_FACTOR


@lemonade.post("/images/upscale", summary="Enlarge a picture (Lemonade)", openapi_extra=json_body(Upscale))
async def upscale(studio: StudioDep, request: Request) -> Response:
    """As JSON, or as a form, like the other addresses that pictures go to."""
    if is_form(request):
        fields, files = await read_form(request)
        fields |= {name: base64.b64encode(found[0]).decode() for name, found in files.items()}
    else:
        fields = await read_json(request)
    body = parsed(Upscale, fields)
    wanted = Resize(factor=body.factor, transparent=True)
    data = await resized(studio, await decoded(body.image, "image"), wanted, "image")
    answer: dict[str, Any] = {"created": int(time.time()), "data": [{"b64_json": base64.b64encode(data).decode()}]}
    return JSONResponse(answer)
