"""Ollama's image interface under /api: list, show, generate. No chat, no text, no downloads."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from bonsai_mlx import __version__

from ..errors import ApiError, ErrorDetail
from ..loose import Body, child, flag, read_body, text
from ..schemas import Job, Model
from ..store import timestamp
from ..studio import Studio
from .common import StudioDep, failures, json_body
from .compat import (
    Picture,
    as_api_error,
    choose_model,
    drawn,
    errors_as,
    followed,
    json_answer,
    known_model,
    orders_of,
    picture,
    public_name,
    ready_models,
    sentence,
    steps_done,
    submit,
)

_NS = 1_000_000_000


class OllamaFailure(BaseModel):
    """An error as Ollama has it."""

    error: str


def render_error(status: int, detail: ErrorDetail) -> Response:
    return json_answer({"error": sentence(detail)}, status)


router = APIRouter(
    prefix="/api", tags=["ollama"], route_class=errors_as(render_error), responses=failures(OllamaFailure)
)


# models


def _name(model: str) -> str:
    return f"{public_name(model)}:latest"


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": "flux2",
        "families": ["flux2"],
        "parameter_size": "tiny" if model.embedded else "4B",
        "quantization_level": model.variant,
    }


def _listed(model: Model) -> dict[str, Any]:
    """A model as `tags` and `ps` show it."""
    revision = model.revision if model.revision and len(model.revision) == 40 else ""
    return {
        "name": _name(model.name),
        "model": _name(model.name),
        "modified_at": "2025-11-20T00:00:00Z",
        "size": model.bytes_total,
        "digest": revision.ljust(64, "0"),
        "details": _details(model),
        "capabilities": ["image"],
    }


@router.get("/tags", summary="The models that can draw now (Ollama)")
async def tags(studio: StudioDep) -> Response:
    return json_answer({"models": [_listed(studio.models.get(name)) for name in ready_models(studio)]})


@router.get("/ps", summary="The model that is loaded (Ollama)")
async def ps(studio: StudioDep) -> Response:
    name = studio.worker.model
    if name is None:
        return json_answer({"models": []})
    keep = timedelta(minutes=studio.settings.keep_alive or 60 * 24 * 365)
    loaded = {
        "expires_at": (datetime.now(UTC) + keep).isoformat(),
        "size_vram": studio.memory.snapshot().mlx_active_bytes,
    }
    return json_answer({"models": [_listed(studio.models.get(name)) | loaded]})


@router.post(
    "/show", summary="One model (Ollama)", openapi_extra=json_body(model={"type": "string"}, name={"type": "string"})
)
async def show(studio: StudioDep, request: Request) -> Response:
    body = await read_body(request)
    wanted = text(body, "model") or text(body, "name")
    name = known_model(studio, wanted)
    if name is None or name not in ready_models(studio):
        raise ApiError(404, "not_found", f"model '{wanted[:80]}' not found")
    model = studio.models.get(name)
    return json_answer(
        {
            "modelfile": "",
            "parameters": f"steps {model.recommended_steps}",
            "template": "{{ .Prompt }}",
            "details": _details(model),
            "model_info": {"general.architecture": "flux2", "general.basename": model.title},
            "capabilities": ["image"],
            "modified_at": "2025-11-20T00:00:00Z",
        }
    )


@router.get("/version", summary="A version of Ollama that has this interface")
async def version() -> Response:
    return json_answer({"version": "0.14.0", "bonsai_mlx": __version__})


# drawing


_PICTURE = json_body(
    prompt={"type": "string"},
    model={"type": "string"},
    width={"type": "integer"},
    height={"type": "integer"},
    steps={"type": "integer"},
    stream={"type": "boolean", "default": True},
    options={"type": "object", "properties": {"seed": {"type": "integer"}}},
)


@router.post(
    "/generate",
    summary="Draw a picture (Ollama)",
    openapi_extra=_PICTURE,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def generate(studio: StudioDep, request: Request) -> Response:
    """prompt, model, width, height, steps, stream and options.seed; without a prompt nothing is drawn."""
    body = await read_body(request)
    ready = choose_model(studio, text(body, "model"))
    called = text(body, "model") or public_name(ready.name)
    if not text(body, "prompt").strip():
        return json_answer(_line(called, done=True, done_reason="load"))
    orders = await orders_of(studio, ready, child(body, "options") | _without_options(body), 1)
    if flag(body, "stream", True):
        lines = _stream(studio, submit(studio, orders), called)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    [made] = await drawn(studio, request, orders)
    return json_answer(_last_line(called, made))


def _without_options(body: Body) -> Body:
    """The body's own fields; 0 stands for "not set" there."""
    return {name: value for name, value in body.items() if name != "options" and (value != 0 or name == "seed")}


def _line(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "created_at": timestamp(), "response": "", **fields}


def _last_line(model: str, made: Picture) -> dict[str, Any]:
    timings = made.image.timings
    return _line(
        model,
        image=base64.b64encode(made.png).decode(),
        done=True,
        done_reason="stop",
        total_duration=int(made.job.elapsed_s * _NS),
        load_duration=int(timings.get("load", 0.0) * _NS),
        seed=made.job.seed,
        steps=made.job.steps,
        width=made.job.width,
        height=made.job.height,
    )


async def _stream(studio: Studio, jobs: list[Job], model: str) -> AsyncIterator[bytes]:
    """A line after every step, then one with the picture; closing it cancels the job."""
    shown = -1
    try:
        async with aclosing(followed(studio, jobs)) as states:
            async for job in states:
                if job.status == "done":
                    yield _encoded(_last_line(model, await picture(studio, job)))
                elif job.status == "running" and steps_done(job) > shown:
                    shown = steps_done(job)
                    yield _encoded(_line(model, completed=shown, total=job.steps, done=False))
    except Exception as error:  # the status has been sent: the reason goes into the stream, where clients look for it
        yield _encoded({"error": sentence(as_api_error(error).detail)})


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"
