"""Pictures in the answer itself, with the names and shapes of the Bonsai demo's server. Leaving cancels the job."""

import asyncio
import base64
import contextlib

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from bonsai_mlx.hub import catalog

from ..errors import ApiError, Code
from ..jobs.active import Work
from ..parameters import CompareRequest, EnlargeRequest, GenerateRequest
from ..schemas.images import Compared, ComparedImage, DemoComparison, Generated, Image
from ..schemas.jobs import Job
from ..schemas.models import Backend, Backends
from ..schemas.names import GroupKind
from ..studio import Studio
from .common import Responses, StudioDep, errors

router = APIRouter(tags=["generate"])

_STATUS_OF_FAILURE: dict[str, int] = {
    "bad_field": 422,
    "model_missing": 409,
    "out_of_memory": 507,
    "disk_full": 507,
    "shutting_down": 503,
}


_PICTURE_OR_JSON: Responses = {
    200: {"model": Generated, "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def draw(studio: Studio, request: Request, work: list[Work], group_kind: GroupKind | None = None) -> list[Job]:
    """Queue the pictures and wait for all of them; cancels what is unfinished when the caller leaves or one fails.

    ApiError carries the reason of the first failure.
    """
    jobs = studio.jobs.submit(work, group_kind, attached=True)
    leaving = asyncio.create_task(_left(request))
    try:
        return [await _finished(studio, job, leaving) for job in jobs]
    finally:
        leaving.cancel()
        for job in reversed(jobs):
            with contextlib.suppress(ApiError):  # 409: it has ended
                studio.jobs.cancel(job.id)


async def _finished(studio: Studio, job: Job, leaving: asyncio.Task[None]) -> Job:
    waiting = asyncio.create_task(studio.jobs.wait(job.id))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ApiError(499, "cancelled", "The caller left before the picture was finished.")
    finally:
        waiting.cancel()
    job = waiting.result()
    if job.status != "done":
        raise failure(job)
    return job


def failure(job: Job) -> ApiError:
    if job.status == "cancelled":
        return ApiError(409, "cancelled", "The job was cancelled.")
    if job.status == "interrupted":
        return ApiError(
            503, "shutting_down", "The server was stopped before the picture was finished.", retry_after_s=10
        )
    if job.error is None:
        return ApiError(500, "failed", "The picture could not be made.")
    status = _STATUS_OF_FAILURE.get(job.error.code, 500)
    code: Code = job.error.code if job.error.code in _STATUS_OF_FAILURE else "failed"  # type: ignore[assignment]
    return ApiError(status, code, job.error.message, remedy=job.error.remedy)


def image_headers(job: Job, image: Image) -> dict[str, str]:
    """What the Bonsai demo's clients read beside the picture, and where to find it again."""
    return {
        "X-Image-Id": image.id,
        "X-Job-Id": job.id,
        "X-Seed": str(job.seed),
        "X-Variant": image.variant or "",
        "X-Model": job.model,
        "X-Steps": str(job.steps),
        "X-Prompt-Truncated": "true" if image.truncated else "false",
        **({"X-Notes": "; ".join(job.notes)} if job.notes else {}),
        "X-Wall-Seconds": f"{job.elapsed_s:.3f}",
        "X-Peak-Memory-MB": f"{(image.peak_memory_bytes or 0) / 1e6:.1f}",
    }


@router.post(
    "/generate",
    summary="Draw one picture and return it",
    response_class=Response,
    responses=_PICTURE_OR_JSON | errors(409, 429, 500, 503, 507),
)
async def generate(studio: StudioDep, request: Request, body: GenerateRequest) -> Response:
    """PNG with the figures in `X-` headers, or with `Accept: application/json` an object that holds it in base64."""
    return await _answer(studio, request, await studio.work(body, body.backend or body.model))


async def _answer(studio: Studio, request: Request, work: Work) -> Response:
    [job] = await draw(studio, request, [work])
    image, png = studio.gallery.get(job.id), await studio.gallery.png(job.id)
    headers = image_headers(job, image)
    if "application/json" not in request.headers.get("accept", ""):
        return Response(png, media_type="image/png", headers=headers)
    generated = Generated(job=job, image=image, b64_json=base64.b64encode(png).decode())
    return JSONResponse(generated.model_dump(), headers=headers)


@router.post(
    "/edit",
    summary="Change a picture and return it",
    response_class=Response,
    responses=_PICTURE_OR_JSON | errors(409, 429, 500, 503, 507),
)
async def edit(studio: StudioDep, request: Request, body: GenerateRequest) -> Response:
    """As `/generate`, with at least one picture: `init` is changed, `references` are looked at."""
    if not body.init and not body.references:
        remedy = "Name the picture to be changed as `init`, or the ones to be looked at as `references`."
        raise ApiError(422, "bad_field", "No picture is named.", field="init", remedy=remedy)
    return await generate(studio, request, body)


@router.post(
    "/enlarge",
    summary="Enlarge a picture and return it",
    response_class=Response,
    responses=_PICTURE_OR_JSON | errors(409, 429, 500, 503, 507),
)
async def enlarge(studio: StudioDep, request: Request, body: EnlargeRequest) -> Response:
    """Two or four times the sides: `exact`, or `refine`, redrawn on top of that. The answer is that of `/generate`."""
    return await _answer(studio, request, await studio.work_to_enlarge(body))


@router.post(
    "/generate/compare",
    summary="Draw one picture with two checkpoints",
    responses=errors(409, 429, 500, 503, 507),
)
async def compare(studio: StudioDep, request: Request, body: CompareRequest) -> Compared:
    """The prompt is encoded once. `results` repeats the pair in the shape of the Bonsai demo."""
    jobs = await draw(studio, request, await studio.work_to_compare(body, body.backends), "compare")
    pictures = [base64.b64encode(await studio.gallery.png(job.id)).decode() for job in jobs]
    images = [studio.gallery.get(job.id) for job in jobs]
    left, right = (ComparedImage(image=i, b64_json=b) for i, b in zip(images, pictures, strict=True))
    results = [
        DemoComparison(
            backend=backend_of(job.model),
            png_b64=picture,
            wall_seconds=job.elapsed_s,
            swap_seconds=image.timings.get("load", 0.0),
        )
        for job, image, picture in zip(jobs, images, pictures, strict=True)
    ]
    return Compared(left=left, right=right, results=results)


def backend_of(model: str) -> str:
    return catalog.lookup(model).demo_name


@router.get("/backends", summary="What can draw, in the words of the Bonsai demo")
async def backends(studio: StudioDep) -> Backends:
    default = studio.models.default()
    every = [_backend(studio, name) for name in studio.models.names()]
    ready = [backend for backend in every if backend.healthy]
    return Backends(
        kind="mlx",
        supported_families=sorted({family for backend in ready for family in backend.supported_families}),
        default_family=_family(default),
        healthy=True,
        reason=None,
        default_kind=backend_of(default),
        backends=every,
    )


def _family(model: str) -> str:
    return catalog.lookup(catalog.lookup(model).stands_in_for or model).public_name


def _backend(studio: Studio, name: str) -> Backend:
    model = studio.models.get(name)
    reason = None if model.state == "ready" else f"{model.title} is {model.state}"
    return Backend(
        kind=backend_of(name),
        supported_families=[_family(name)],
        default_family=_family(name),
        healthy=model.state == "ready",
        reason=reason,
    )
