"""Ollama's image interface under /api: list, show, generate. No chat, no text, no downloads."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response, StreamingResponse

from bonsai_mlx.request import MAX_REFERENCES
from bonsai_mlx.version import __version__

from ..checkpoints.ready import ReadyModel
from ..errors import ApiError, ErrorDetail
from ..routes.common import StudioDep, failures, json_body, streamed
from ..schemas.jobs import Job
from ..schemas.models import Model
from ..store import timestamp
from ..studio import Studio
from ..validation import refused
from .base import (
    Asked,
    Picture,
    asked_of,
    cancelling,
    choose_model,
    drawn,
    followed,
    known_model,
    model_note,
    picture,
    public_name,
    ready_models,
    steps_done,
    submit,
)
from .body import Body, PictureBody, PromptOrNothing, Switch, Text, read_body
from .failing import as_api_error, errors_as, json_answer, sentence
from .pictures import decoded, taken_in

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
    name = studio.engines.model
    if name is None:
        return json_answer({"models": []})
    keep = timedelta(minutes=studio.choices.keep_alive or 60 * 24 * 365)
    loaded = {
        "expires_at": (datetime.now(UTC) + keep).isoformat(),
        "size_vram": studio.memory.snapshot().mlx_active_bytes,
    }
    return json_answer({"models": [_listed(studio.models.get(name)) | loaded]})


class Show(Body):
    model: Text = ""
    name: Text = ""


@router.post("/show", summary="One model (Ollama)", openapi_extra=json_body(Show))
async def show(studio: StudioDep, request: Request) -> Response:
    body = await read_body(request, Show)
    wanted = body.model or body.name
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


_DURATION = re.compile(r"[+-]?\d+(\.\d+)?(ns|us|µs|ms|s|m|h)?")


def _duration(value: object) -> object:
    """Whether a model is to stay loaded, from seconds or "5m"; None when nothing is said of it."""
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return any(digit in value for digit in "123456789")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value != 0
    raise refused('keep_alive has to be a number of seconds, or a duration such as "5m".')


KeepAlive = Annotated[
    bool | None,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "integer", "description": "0 unloads the model; else the server's own time holds"}),
]


def _pictures(value: object) -> object:
    if value in ([], "", False):
        return []
    if isinstance(value, list) and len(value) > MAX_REFERENCES:
        raise refused(f"images has {len(value)} pictures; at most {MAX_REFERENCES} are looked at.")
    return value


Pictures = Annotated[list[Text], BeforeValidator(_pictures)]


class GenerateRequest(PictureBody):
    """Ollama's fields. Templates, contexts, formats and whatever is not named here change nothing."""

    model: Text = ""
    prompt: Annotated[PromptOrNothing, Field(description="without one nothing is drawn")] = ""
    stream: Switch = True
    keep_alive: KeepAlive = None
    images: Annotated[Pictures, Field(description="base64; looked at", default_factory=list)]
    options: PictureBody = PictureBody()

    def picture(self) -> PictureBody:
        """What is said of the picture, in the body itself before what is said in `options`; 0 is "not set" there."""
        names = PictureBody.model_fields
        own = {
            name: value for name in names if (value := getattr(self, name)) or (name == "seed" and value is not None)
        }
        return PictureBody(**(self.options.model_dump(exclude_none=True) | own))


@router.post(
    "/generate",
    summary="Draw a picture (Ollama)",
    openapi_extra=json_body(GenerateRequest),
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def generate(studio: StudioDep, request: Request) -> Response:
    """prompt, model, images, width, height, steps, stream, options.seed, keep_alive. No prompt: nothing is drawn."""
    body = await read_body(request, GenerateRequest)
    ready = choose_model(studio, body.model)
    called = body.model or public_name(ready.name)
    if not body.prompt.strip():
        if body.keep_alive is False:
            await _unload(studio, ready)
        return json_answer(_line(called, done=True, done_reason="unload" if body.keep_alive is False else "load"))
    notes = model_note(ready, body.model, studio)
    taken = [await taken_in(studio, await decoded(text, "images"), "images") for text in body.images]
    used = {"references": [one[0].id for one in taken]}
    asked = await asked_of(studio, ready, body.picture(), body.prompt, notes=notes, used=used)
    unloading = ready if body.keep_alive is False else None
    if body.stream:
        jobs = submit(studio, asked.work)
        lines = _stream(studio, jobs, called, asked, unloading)
        return streamed(StreamingResponse, lines, cancelling(studio, jobs), media_type="application/x-ndjson")
    [made] = await drawn(studio, request, asked.work)
    await _unload_after(studio, unloading)
    return json_answer(_last_line(called, made, asked))


async def _unload(studio: Studio, ready: ReadyModel) -> None:
    """Give the memory of this model back. ApiError 409 while pictures are drawn with it."""
    await _released(studio)
    if studio.engines.model == ready.name:
        await studio.unload()


async def _unload_after(studio: Studio, ready: ReadyModel | None) -> None:
    if ready is not None:
        await _released(studio)
        if not studio.jobs.active:
            await _unload(studio, ready)


async def _released(studio: Studio) -> None:
    while any(active.finished.is_set() for active in studio.jobs.active):
        await asyncio.sleep(0.005)


def _line(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "created_at": timestamp(), "response": "", **fields}


def _last_line(model: str, made: Picture, asked: Asked) -> dict[str, Any]:
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
        **asked.noted(),
    )


async def _stream(
    studio: Studio, jobs: list[Job], model: str, asked: Asked, unloading: ReadyModel | None
) -> AsyncIterator[bytes]:
    """A line after every step, then one with the picture; closing it cancels the job."""
    shown = -1
    try:
        async with aclosing(followed(studio, jobs)) as states:
            async for job in states:
                if job.status == "done":
                    await _unload_after(studio, unloading)
                    yield _encoded(_last_line(model, await picture(studio, job), asked))
                elif job.status == "running" and steps_done(job) > shown:
                    shown = steps_done(job)
                    yield _encoded(_line(model, completed=shown, total=job.steps, done=False))
    except Exception as error:  # the status has been sent: the reason goes into the stream, where clients look for it
        yield _encoded({"error": sentence(as_api_error(error).detail)})


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"
