"""What the interfaces of other programs share: choosing a model, clamping steps, drawing, and answering failures.

Everything goes through the one queue. These interfaces round and clamp what their clients send without thinking (22
steps for a model distilled to 4) and report what was used; the native ones obey exactly. Knows no client's shapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from bonsai_mlx.errors import BonsaiError

from ..errors import ApiError, ErrorDetail, from_bonsai, from_http, from_index
from ..loose import Body, integer, prompt_of, seed_of, size_of
from ..models import Ready
from ..orders import Order, batch
from ..schemas import Image, Job, PictureFields
from ..studio import Studio
from .generate import draw, failure

log = logging.getLogger("bonsai.compat")

MAX_IMAGES = 10  # of one request
Render = Callable[[int, ErrorDetail], Response]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture as the interfaces hand it out."""

    job: Job
    image: Image
    png: bytes


# models


def public_name(name: str) -> str:
    """What a model is called in other programs: "ternary" -> "bonsai-ternary"; `Models.resolve` knows both."""
    return f"bonsai-{name}" if name in ("ternary", "binary") else name


def known_model(studio: Studio, name: str | None) -> str | None:
    """The catalog's name of what a client calls a model; None when that is nothing of ours."""
    if not name or len(name) > 200:
        return None
    try:
        return studio.models.resolve(name.strip().removesuffix(":latest"))
    except ApiError:
        return None


def choose_model(studio: Studio, *names: str | None) -> Ready:
    """The first name that is one of ours, else the default: clients send `dall-e-2`, or whatever is in their list.

    ApiError 409 when it is one of ours that is not complete on this machine.
    """
    known = (known_model(studio, name) for name in names)
    return studio.models.require_ready(next((name for name in known if name), None) or studio.models.default())


def ready_models(studio: Studio) -> list[str]:
    """The names of the models that can draw now, the default first."""
    default = studio.models.default()
    names = [name for name in studio.models.names() if studio.models.find_ready(name) is not None]
    return sorted(names, key=lambda name: name != default)


# asking


def max_steps(studio: Studio, ready: Ready) -> int:
    return studio.settings.compat_max_steps or ready.recommended_steps


async def orders_of(studio: Studio, ready: Ready, body: Body, count: int, steps: int | None = None) -> list[Order]:
    """`count` pictures with consecutive seeds. `steps` when the body says nothing of it; clamped either way."""
    width, height = size_of(body)
    asked = integer(body, "steps") or integer(body, "num_inference_steps") or steps or ready.recommended_steps
    fields = PictureFields(
        prompt=prompt_of(body),
        seed=seed_of(body),
        steps=min(max(asked, 1), max_steps(studio, ready)),
        width=width,
        height=height,
        force=False,
    )
    return list(batch(await studio.order(fields, ready.name), count))


def check_wait(studio: Studio) -> None:
    """ApiError 429 at once when the queue is longer than clients wait for an answer."""
    active = studio.jobs.active
    wait_s = active[-1].job.eta_s if active else None
    if wait_s is not None and wait_s > studio.settings.compat_wait_s:
        message = f"There are {len(active)} pictures before this one, which take about {wait_s:.0f} seconds."
        raise ApiError(429, "queue_full", message, retry_after_s=wait_s)


def submit(studio: Studio, orders: Sequence[Order]) -> list[Job]:
    """Queue the pictures for a caller that waits."""
    check_wait(studio)
    return studio.jobs.submit(orders, "batch" if len(orders) > 1 else None, attached=True)


async def drawn(studio: Studio, request: Request, orders: list[Order]) -> list[Picture]:
    """Draw all of the pictures or fail with the reason of the first failure; leaving cancels them."""
    check_wait(studio)
    jobs = await draw(studio, request, orders, "batch" if len(orders) > 1 else None)
    return [await picture(studio, job) for job in jobs]


@contextlib.contextmanager
def cancelling(studio: Studio, jobs: Sequence[Job]) -> Iterator[None]:
    """Cancels what is unfinished at the end of the block, however it ends: nobody waits for it any more."""
    try:
        yield
    finally:
        for job in reversed(jobs):
            with contextlib.suppress(ApiError):  # 409: it has ended
                studio.jobs.cancel(job.id)


async def ended(studio: Studio, request: Request, jobs: Sequence[Job]) -> list[Job]:
    """Wait for all jobs, whether or not they succeed; ApiError 499 when the caller closes the connection first."""

    async def all_ended() -> list[Job]:
        return [await studio.jobs.wait(job.id) for job in jobs]

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    with cancelling(studio, jobs):
        waiting, leaving = asyncio.create_task(all_ended()), asyncio.create_task(left())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ApiError(499, "cancelled", "The caller left before the picture was finished.")
            return waiting.result()
        finally:
            waiting.cancel()
            leaving.cancel()


async def followed(studio: Studio, jobs: Sequence[Job]) -> AsyncGenerator[Job, None]:
    """Every job's changes, one job after the other; leaving the iteration cancels what is unfinished.

    ApiError carries the reason of the first failure.
    """
    with cancelling(studio, jobs):
        for job in jobs:
            async for state in studio.jobs.follow(job.id):
                if state.finished_at and state.status != "done":
                    raise failure(state)
                yield state


def steps_done(job: Job) -> int:
    """Denoising steps that are finished; the job's own `step` counts those of whatever phase it is in."""
    return {"denoise": job.step, "decode": job.steps}.get(job.phase or "", 0)


async def picture(studio: Studio, job: Job) -> Picture:
    """What a finished job has made."""
    return Picture(job, studio.gallery.get(job.id), await studio.gallery.png(job.id))


# failing


def json_answer(content: Any, status: int = 200) -> Response:
    """JSON in plain ASCII, which can hold whatever a client has sent, half characters included."""
    return Response(json.dumps(content), status_code=status, media_type="application/json")


def sentence(detail: ErrorDetail) -> str:
    """Message and remedy in one text, for shapes that have only one place for both."""
    return f"{detail.message} {detail.remedy}" if detail.remedy else detail.message


def as_api_error(error: Exception) -> ApiError:
    """Any exception as an answer for clients; the unexpected ones go to the log under an id."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BonsaiError):
        return from_bonsai(error)
    if isinstance(error, HTTPException):
        return from_http(error)
    if (of_index := from_index(error)) is not None:
        return of_index
    if isinstance(error, ClientDisconnect):
        return ApiError(499, "cancelled", "The caller left before the request had arrived.")
    if isinstance(error, RequestValidationError):
        return ApiError(400, "bad_request", "The address or its query could not be read.")
    error_id = secrets.token_hex(4)
    log.error("error %s", error_id, exc_info=error)
    message = f"Something went wrong inside the server; its log has the details under {error_id}."
    return ApiError(500, "failed", message)


def errors_as(render: Render) -> type[APIRoute]:
    """A route class whose failures leave in the interface's own shape; `render` gets the status and what went wrong."""

    class _Route(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except Exception as error:
                    mapped = as_api_error(error)
                    response = render(mapped.status, mapped.detail)
                    if isinstance(error, HTTPException):  # such as that the connection ends: its body was not read
                        response.headers.update(error.headers or {})
                    return response

            return answer

    return _Route
