"""OpenAI's image interface, at /v1 and, for clients of Lemonade, at /api/v1.

Fields that are unknown or null change nothing; an unknown model is the default one. Beside what OpenAI answers, every
picture tells its `seed`, `steps`, `width`, `height`, `model` and `timings`.
"""

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import AliasChoices, BeforeValidator, Field
from starlette.responses import JSONResponse, Response

from bonsai_mlx.images.metadata import DEFAULT_QUALITY, Format

from ..checkpoints.ready import ReadyModel
from ..errors import ErrorDetail, not_found
from ..gallery.convert import FORMATS, Convert, Enlarge
from ..gallery.decoder import Decoder
from ..routes.common import IdPath, StudioDep, failures, file_of, json_body, streamed
from ..schemas.jobs import Job
from ..schemas.models import Model
from ..studio import Studio
from ..validation import Answer
from .base import (
    MAX_IMAGES,
    Asked,
    Picture,
    asked_of,
    cancelling,
    choose_model,
    drawn,
    followed,
    known_model,
    model_note,
    owner_of,
    picture,
    public_name,
    ready_models,
    steps_done,
    submit,
)
from .body import PictureBody, Prompt, Size, Steps, Switch, Text, read_body, whole
from .failing import as_api_error, errors_as, sentence

_STATUS = {"bad_field": 400, "bad_picture": 400, "does_not_fit": 400, "model_missing": 404}  # as OpenAI has it
_FIELDS = {"count": "n"}  # what the queue complains of
_WORTH_RETRYING = ("queue_full", "shutting_down")
_CREATED = 1_763_596_800  # of the models, which nobody but the shape asks for
_NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


class OpenAIProblem(Answer):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIFailure(Answer):
    """An error as OpenAI has it."""

    error: OpenAIProblem


def error_body(status: int, detail: ErrorDetail) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    param = _FIELDS.get(detail.field or "", detail.field)
    return {"error": {"message": sentence(detail), "type": kind, "param": param, "code": detail.code}}


def render_error(status: int, detail: ErrorDetail) -> Response:
    """Without `x-should-retry: false`, OpenAI's libraries ask twice more, and every time a picture would be drawn."""
    status = _STATUS.get(detail.code, status)
    headers = {} if detail.code in _WORTH_RETRYING else {"x-should-retry": "false"}
    return JSONResponse(error_body(status, detail), status_code=status, headers=headers)


router = APIRouter(tags=["openai"], route_class=errors_as(render_error), responses=failures(OpenAIFailure))


# asking


def _lower(value: object) -> object:
    return value.strip().lower() or None if isinstance(value, str) else value


def _format(value: object) -> object:
    value = _lower(value)
    return "jpeg" if value == "jpg" else value


class ImagesRequest(PictureBody):
    """OpenAI's fields, and beside them seed, steps, width and height. `style`, `moderation`, `user`, `negative_prompt`,
    guidance and whatever is not named here change nothing."""

    prompt: Prompt
    model: Text | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_IMAGES), BeforeValidator(whole)] = 1
    size: Size = None
    response_format: Annotated[Literal["b64_json", "url"] | None, BeforeValidator(_lower)] = None
    output_format: Annotated[Format | None, BeforeValidator(_format)] = None
    output_compression: Annotated[int, Field(strict=True, ge=0, le=100), BeforeValidator(whole)] = DEFAULT_QUALITY
    quality: Annotated[Text | None, Field(description="low halves the steps")] = None
    background: Annotated[Literal["transparent", "opaque", "auto"] | None, BeforeValidator(_lower)] = None
    stream: Switch = False
    partial_images: Annotated[int, Field(strict=True, ge=0, le=3), BeforeValidator(whole)] = 0
    steps: Annotated[Steps, Field(validation_alias=AliasChoices("steps", "num_inference_steps"))] = None

    @property
    def drawn_quality(self) -> str:
        return "low" if (self.quality or "").strip().lower() == "low" else "auto"


@dataclass(frozen=True, slots=True)
class Output:
    """In which form the pictures are handed out."""

    format: Format
    compression: int
    as_url: bool
    quality: str
    base_url: str

    @classmethod
    def of(cls, body: ImagesRequest, request: Request) -> Self:
        return cls(
            format=body.output_format or "png",
            compression=body.output_compression,
            as_url=body.response_format == "url",
            quality=body.drawn_quality,
            base_url=f"{request.url.scheme}://{request.headers['host']}",
        )

    async def base64(self, decoder: Decoder, png: bytes) -> str:
        return base64.b64encode(await _converted(decoder, png, self.format, self.compression)).decode()

    def address(self, image_id: str) -> str:
        plain = self.format == "png" or self.compression == DEFAULT_QUALITY  # some clients take the end for the format
        query = "" if plain else f"?output_compression={self.compression}"
        return f"{self.base_url}/v1/images/{image_id}.{self.format}{query}"

    def about(self, asked: Asked) -> dict[str, Any]:
        """What every answer and event says about its pictures."""
        return {
            "size": f"{asked.first.width}x{asked.first.height}",
            "quality": self.quality,
            "background": "opaque",
            "output_format": self.format,
        }


async def _converted(decoder: Decoder, png: bytes, to: Format, quality: int) -> bytes:
    return png if to == "png" else await decoder.decode(png, Convert(to, quality))


@router.post(
    "/images/generations",
    summary="Draw pictures (OpenAI)",
    openapi_extra=json_body(ImagesRequest),
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def generations(studio: StudioDep, request: Request) -> Response:
    """prompt, model, n, size, response_format, output_format, output_compression, quality, stream and partial_images as
    OpenAI has them; beside them seed, steps, width and height."""
    body = await read_body(request, ImagesRequest)
    ready = choose_model(studio, body.model)
    return await answer(studio, request, body, ready, model_note(ready, body.model or "", studio))


async def answer(
    studio: Studio,
    request: Request,
    body: ImagesRequest,
    ready: ReadyModel,
    notes: list[str],
    used: Mapping[str, Any] | None = None,
    event: str = "image_generation",
) -> Response:
    """Draw what the body asks for; `used` says which pictures go in, and `event` what a stream calls its events."""
    if body.background == "transparent":
        notes.append("The background is opaque: the model draws no transparent ones.")
    steps = max(1, ready.recommended_steps // 2) if body.drawn_quality == "low" else None
    asked = await asked_of(
        studio, ready, body, body.prompt, body.n, size=body.size, steps=steps, notes=notes, used=used
    )
    output = Output.of(body, request)
    if body.stream:
        jobs = submit(studio, asked.work)
        parts = _stream(studio, jobs, asked, output, body.partial_images, event)
        return streamed(EventSourceResponse, parts, cancelling(studio, jobs))
    pictures = await drawn(studio, request, asked.work)
    return JSONResponse(
        {
            "created": int(time.time()),
            "data": [await _datum(studio, output, made) for made in pictures],
            "model": public_name(ready.name),
            **output.about(asked),
            "size": f"{pictures[0].image.width}x{pictures[0].image.height}",
            **asked.noted(),
            "usage": _NO_USAGE,
        }
    )


async def _datum(studio: Studio, output: Output, made: Picture) -> dict[str, Any]:
    """One picture: as text or, if asked for, as an address; never both, since some clients then refuse the address."""
    if output.as_url:
        shown = {"url": output.address(made.job.id)}
    else:
        shown = {"b64_json": await output.base64(studio.decoder, made.png)}
    return shown | _facts(made)


def _facts(made: Picture) -> dict[str, Any]:
    facts = {"seed": made.job.seed, "steps": made.job.steps, "width": made.image.width, "height": made.image.height}
    return facts | {"model": public_name(made.job.model), "timings": made.image.timings}


# streaming


async def _stream(
    studio: Studio, jobs: list[Job], asked: Asked, output: Output, partials: int, event: str
) -> AsyncIterator[bytes]:
    """Partial pictures drawn from what the engine has so far, then the picture; closing it cancels the jobs."""
    about = output.about(asked)
    due = partial_steps(partials, asked.first.steps)
    sent: dict[str, int] = {}
    try:
        async with aclosing(followed(studio, jobs)) as states:
            async for job in states:
                index = sent.get(job.id, 0)
                if job.status == "done":
                    yield _event(f"{event}.completed", await _completed(studio, job, output) | about | asked.noted())
                elif job.preview_seq and index < len(due) and steps_done(job) >= due[index]:
                    sent[job.id] = index + 1
                    yield _event(f"{event}.partial_image", await _partial(studio, job, output, index) | about)
    except Exception as error:  # the status has been sent: the reason goes into the stream, where clients look for it
        mapped = as_api_error(error)
        yield _sse("error", error_body(_STATUS.get(mapped.detail.code, mapped.status), mapped.detail))


def partial_steps(partials: int, steps: int) -> list[int]:
    """After which steps to show something: spread evenly, never after the last, where the picture itself follows."""
    spread = {round(i * steps / (partials + 1)) for i in range(1, partials + 1)}
    return sorted(step for step in spread if 0 < step < steps)


async def _partial(studio: Studio, job: Job, output: Output, index: int) -> dict[str, Any]:
    preview = studio.jobs.previews.png(job.id)
    data = await studio.decoder.decode(preview, Enlarge(job.width, job.height, output.format, output.compression))
    return {"b64_json": base64.b64encode(data).decode(), "partial_image_index": index}


async def _completed(studio: Studio, job: Job, output: Output) -> dict[str, Any]:
    """As text, where every client looks in a stream; if asked for, as an address as well."""
    made = await picture(studio, job)
    address = {"url": output.address(job.id)} if output.as_url else {}
    data = await output.base64(studio.decoder, made.png)
    return {"b64_json": data, **address, "usage": _NO_USAGE, **_facts(made)}


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return _sse(kind, {"type": kind, "created_at": int(time.time()), **fields})


def _sse(event: str, data: dict[str, Any]) -> bytes:
    return format_sse_event(event=event, data_str=json.dumps(data))


# what else clients ask for


@router.options("/images/generations", status_code=204, summary="For clients that look whether the interface is there")
async def ping() -> Response:
    return Response(status_code=204, headers={"Allow": "OPTIONS, POST"})


@router.get(
    "/images/{image_id:id}.{format_}",
    summary="A picture that an answer gave the address of",
    response_class=Response,
    responses=file_of(*(f"image/{name}" for name in FORMATS)),
)
async def image(
    studio: StudioDep,
    image_id: IdPath,
    format_: str,
    output_compression: Annotated[int, Query(ge=0, le=100)] = DEFAULT_QUALITY,
) -> Response:
    if format_ not in FORMATS:
        raise not_found("image")
    data = await studio.gallery.encoded(image_id, format_, quality=output_compression)
    return Response(data, media_type=f"image/{format_}")


def model_object(model: Model) -> dict[str, Any]:
    """OpenAI's model, with what Lemonade's clients read of it; `size` in GB."""
    return {
        "id": public_name(model.name),
        "object": "model",
        "created": _CREATED,
        "owned_by": owner_of(model.name),
        "name": model.title,
        "checkpoint": model.repo or model.name,
        "recipe": "bonsai-mlx",
        "labels": ["image"],
        "size": round(model.bytes_total / 1e9, 3),
        "downloaded": model.state == "ready",
    }


@router.get("/models", summary="The models that can draw now; with show_all every model that is known (Lemonade)")
async def models(studio: StudioDep, request: Request) -> JSONResponse:
    names = ready_models(studio)
    if request.query_params.get("show_all", "").lower() in ("1", "true"):
        names += [name for name in studio.models.names() if name not in names]
    return JSONResponse({"object": "list", "data": [model_object(studio.models.get(name)) for name in names]})


@router.get("/models/{model_id:path}", summary="One model")
async def model(studio: StudioDep, model_id: str) -> JSONResponse:
    name = known_model(studio, model_id)
    if name is None:
        raise not_found("model")
    return JSONResponse(model_object(studio.models.get(name)))
