"""A1111's routes about the machine, and about the settings in a picture."""

import asyncio
import base64
import binascii
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from bonsai_mlx.images import metadata
from bonsai_mlx.images.infotext import format_infotext

from ...routes.common import StudioDep, json_body
from ..body import Body, Text, bad_field, read_body
from ..failing import json_answer
from .shape import new_router

router = new_router()


class PngInfo(Body):
    image: Annotated[Text, Field(json_schema_extra={"contentEncoding": "base64"})]


@router.post("/png-info", summary="What a picture says about how it was made", openapi_extra=json_body(PngInfo))
async def png_info(request: Request) -> Response:
    """`image` is base64, with or without a `data:` address before it. Pixels are not decoded, nothing is kept."""
    encoded = (await read_body(request, PngInfo)).image.rpartition(",")[2]
    try:
        data = await asyncio.to_thread(base64.b64decode, encoded, validate=False)
        found = await asyncio.to_thread(metadata.read, data)
    except (binascii.Error, ValueError):
        message = "This is no whole PNG, JPEG or WebP file in base64."
        raise bad_field("image", message) from None
    if found is None:
        return json_answer({"info": "", "items": {}, "parameters": {}})
    parameters = {
        "Prompt": found.prompt,
        "Negative prompt": found.negative,
        "Steps": found.steps,
        "Seed": found.seed,
        "Size-1": found.width,
        "Size-2": found.height,
        "Model": found.model,
    }
    written = format_infotext(found.recipe) if found.recipe else found.text
    kept = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return json_answer({"info": written, "items": {"parameters": written}, "parameters": kept | dict(found.extra)})


@router.post("/unload-checkpoint", summary="End the idle engine")
async def unload(studio: StudioDep) -> Response:
    await studio.unload()
    return json_answer({})


@router.post("/reload-checkpoint", summary="Nothing: the engine is loaded when it is needed")
async def reload() -> Response:
    return json_answer({})


@router.get("/memory", summary="Memory in A1111's shape; the engine's own figures are the graphics memory")
async def memory(studio: StudioDep) -> Response:
    now = studio.memory.snapshot()
    total, free = now.system_total_bytes, now.system_available_bytes
    peak = {"current": now.mlx_active_bytes, "peak": now.mlx_peak_bytes}
    return json_answer(
        {
            "ram": {"free": free, "used": total - free, "total": total},
            "cuda": {
                "system": {"free": free, "used": now.process_bytes, "total": total},
                "active": peak,
                "allocated": peak,
                "reserved": {"current": now.mlx_active_bytes + now.mlx_cache_bytes, "peak": now.mlx_peak_bytes},
                "inactive": {"current": now.mlx_cache_bytes, "peak": now.mlx_cache_bytes},
                "events": {"retries": 0, "oom": 0},
            },
        }
    )
