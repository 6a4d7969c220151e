"""OpenAI's image interface, at /v1 and, for clients of Lemonade, at /api/v1.

Fields that are unknown or null change nothing; an unknown model is the default one. Beside what OpenAI answers, every
picture tells its `seed`, `steps`, `width`, `height`, `model` and `timings`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response, StreamingResponse

from bonsai_mlx.request import MAX_PROMPT_CHARS

from ..decoder import Decoder
from ..errors import ErrorDetail, error_response, not_found
from ..loose import Body, bad_field, bounded, flag, read_body, text
from ..orders import Order
from ..pictures import DEFAULT_QUALITY, FORMATS, Convert, Enlarge, Format
from ..schemas import Job, Model
from ..studio import Studio
from .common import IdPath, StudioDep, binary, failures, json_body
from .compat import (
    MAX_IMAGES,
    Picture,
    as_api_error,
    choose_model,
    drawn,
    errors_as,
    followed,
    known_model,
    orders_of,
    picture,
    public_name,
    ready_models,
    sentence,
    steps_done,
    submit,
)

_STATUS = {"bad_field": 400, "does_not_fit": 400, "model_missing": 404}  # as OpenAI has it
_FIELDS = {"count": "n"}  # what the queue complains of
_WORTH_RETRYING = ("queue_full", "shutting_down")
_CREATED = 1_763_596_800  # of the models, which nobody but the shape asks for
_NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


class OpenAIProblem(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIFailure(BaseModel):
    """An error as OpenAI has it."""

    error: OpenAIProblem


def error_body(status: int, detail: ErrorDetail) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    param = _FIELDS.get(detail.field or "", detail.field)
    return {"error": {"message": sentence(detail), "type": kind, "param": param, "code": detail.code}}


def render_error(status: int, detail: ErrorDetail) -> Response:
    """Without `x-should-retry: false`, OpenAI's libraries ask twice more, and every time a picture would be drawn."""
    status = _STATUS.get(detail.code, status)
    headers = dict(error_response(status, detail).headers) if detail.retry_after_s is not None else {}
    kept = {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
    if detail.code not in _WORTH_RETRYING:
        kept["x-should-retry"] = "false"
    return JSONResponse(error_body(status, detail), status_code=status, headers=kept)


router = APIRouter(tags=["openai"], route_class=errors_as(render_error), responses=failures(OpenAIFailure))


@dataclass(frozen=True, slots=True)
class Wish:
    """How the pictures are wanted, beside what they show."""

    count: int
    format: Format
    compression: int
    as_url: bool
    partials: int
    quality: str
    base_url: str

    @classmethod
    def of(cls, body: Body, request: Request) -> Wish:
        format_ = text(body, "output_format", "png").lower() or "png"
        format_ = "jpeg" if format_ == "jpg" else format_
        if format_ not in FORMATS:
            raise bad_field("output_format", f"output_format has to be one of {', '.join(FORMATS)}.")
        return cls(
            count=bounded(body, "n", 1, MAX_IMAGES, 1),
            format=format_,
            compression=bounded(body, "output_compression", 0, 100, DEFAULT_QUALITY),
            as_url=text(body, "response_format") == "url",
            partials=bounded(body, "partial_images", 0, 3, 0),
            quality=text(body, "quality", "auto"),
            base_url=f"{request.url.scheme}://{request.headers['host']}",
        )

    async def base64(self, decoder: Decoder, png: bytes) -> str:
        return base64.b64encode(await _converted(decoder, png, self.format, self.compression)).decode()

    def address(self, image_id: str) -> str:
        """Where the picture is to be had as it was wanted."""
        plain = self.format == "png" or self.compression == DEFAULT_QUALITY  # some clients take the end for the format
        query = "" if plain else f"?output_compression={self.compression}"
        return f"{self.base_url}/v1/images/{image_id}.{self.format}{query}"

    def about(self, width: int, height: int) -> dict[str, Any]:
        """What every answer and event says about its pictures."""
        return {
            "size": f"{width}x{height}",
            "quality": self.quality,
            "background": "opaque",
            "output_format": self.format,
        }


async def _converted(decoder: Decoder, png: bytes, to: Format, quality: int) -> bytes:
    """The picture in another format; PNG stays as it is, byte for byte."""
    return png if to == "png" else await decoder.decode(png, Convert(to, quality))


_PICTURES = json_body(
    "prompt",
    prompt={"type": "string", "minLength": 1, "maxLength": MAX_PROMPT_CHARS, "pattern": r"\S"},
    model={"type": "string"},
    n={"type": "integer", "minimum": 1, "maximum": MAX_IMAGES},
    size={"type": "string", "pattern": r"^(auto|\d{1,6}x\d{1,6})$"},
    response_format={"enum": ["b64_json", "url"]},
    output_format={"enum": [*FORMATS]},
    output_compression={"type": "integer", "minimum": 0, "maximum": 100},
    quality={"type": "string"},
    stream={"type": "boolean"},
    partial_images={"type": "integer", "minimum": 0, "maximum": 3},
    seed={"type": "integer"},
    steps={"type": "integer"},
)


@router.post(
    "/images/generations",
    summary="Draw pictures (OpenAI)",
    openapi_extra=_PICTURES,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def generations(studio: StudioDep, request: Request) -> Response:
    """prompt, model, n, size, response_format, output_format, output_compression, quality, stream and partial_images as
    OpenAI has them; beside them seed, steps, width and height."""
    body = await read_body(request)
    wish = Wish.of(body, request)
    ready = choose_model(studio, text(body, "model"))
    steps = max(1, ready.recommended_steps // 2) if wish.quality == "low" else None
    orders = await orders_of(studio, ready, body, wish.count, steps)
    if flag(body, "stream"):
        events = _stream(studio, submit(studio, orders), orders[0], wish)
        return StreamingResponse(events, media_type="text/event-stream")
    pictures = await drawn(studio, request, orders)
    return JSONResponse(
        {
            "created": int(time.time()),
            "data": [await _datum(studio, wish, made) for made in pictures],
            "model": public_name(ready.name),
            **wish.about(orders[0].width, orders[0].height),
            "usage": _NO_USAGE,
        }
    )


async def _datum(studio: Studio, wish: Wish, made: Picture) -> dict[str, Any]:
    """One picture: as text or, if asked for, as an address; never both, since some clients then refuse the address."""
    shown = (
        {"url": wish.address(made.job.id)} if wish.as_url else {"b64_json": await wish.base64(studio.decoder, made.png)}
    )
    return shown | _facts(made)


def _facts(made: Picture) -> dict[str, Any]:
    facts = {name: getattr(made.job, name) for name in ("seed", "steps", "width", "height")}
    return facts | {"model": public_name(made.job.model), "timings": made.image.timings}


# streaming


async def _stream(studio: Studio, jobs: list[Job], order: Order, wish: Wish) -> AsyncIterator[bytes]:
    """Partial pictures drawn from what the engine has so far, then the picture; closing it cancels the jobs."""
    about = wish.about(order.width, order.height)
    due = partial_steps(wish.partials, order.steps)
    sent: dict[str, int] = {}
    try:
        async with aclosing(followed(studio, jobs)) as states:
            async for job in states:
                index = sent.get(job.id, 0)
                if job.status == "done":
                    yield _event("completed", await _completed(studio, job, wish) | about)
                elif job.preview_seq and index < len(due) and steps_done(job) >= due[index]:
                    sent[job.id] = index + 1
                    yield _event("partial_image", await _partial(studio, job, wish, index) | about)
    except Exception as error:  # the status has been sent: the reason goes into the stream, where clients look for it
        mapped = as_api_error(error)
        yield _sse("error", error_body(_STATUS.get(mapped.detail.code, mapped.status), mapped.detail))


def partial_steps(partials: int, steps: int) -> list[int]:
    """After which steps to show something: spread evenly, never after the last, where the picture itself follows."""
    spread = {round(i * steps / (partials + 1)) for i in range(1, partials + 1)}
    return sorted(step for step in spread if 0 < step < steps)


async def _partial(studio: Studio, job: Job, wish: Wish, index: int) -> dict[str, Any]:
    preview = studio.jobs.preview_png(job.id)
    data = await studio.decoder.decode(preview, Enlarge(job.width, job.height, wish.format, wish.compression))
    return {"b64_json": base64.b64encode(data).decode(), "partial_image_index": index}


async def _completed(studio: Studio, job: Job, wish: Wish) -> dict[str, Any]:
    made = await picture(studio, job)
    return {"b64_json": await wish.base64(studio.decoder, made.png), "usage": _NO_USAGE, **_facts(made)}


def _event(name: str, fields: dict[str, Any]) -> bytes:
    kind = f"image_generation.{name}"
    return _sse(kind, {"type": kind, "created_at": int(time.time()), **fields})


def _sse(event: str, data: dict[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


# what else clients ask for


@router.options("/images/generations", status_code=204, summary="For clients that look whether the interface is there")
async def ping() -> Response:
    return Response(status_code=204, headers={"Allow": "OPTIONS, POST"})


@router.get(
    "/images/{image_id:id}.{format_}",
    summary="A picture that an answer gave the address of",
    response_class=Response,
    responses=binary(*(f"image/{name}" for name in FORMATS)),
)
async def image(
    studio: StudioDep,
    image_id: IdPath,
    format_: str,
    output_compression: Annotated[int, Query(ge=0, le=100)] = DEFAULT_QUALITY,
) -> Response:
    if format_ not in FORMATS:
        raise not_found("image")
    data = await _converted(studio.decoder, await studio.gallery.png(image_id), format_, output_compression)
    return Response(data, media_type=f"image/{format_}")


def model_object(model: Model) -> dict[str, Any]:
    """OpenAI's model, with what Lemonade's clients read of it; `size` in GB."""
    return {
        "id": public_name(model.name),
        "object": "model",
        "created": _CREATED,
        "owned_by": "bonsai-mlx" if model.embedded else "prism-ml",
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
