"""Pipelines: carried out on other words, kept under a name, made of what a picture came about by."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from bonsai_mlx.errors import BonsaiError, RequestError
from bonsai_mlx.pipelines import saved
from bonsai_mlx.pipelines.chains import as_json, has_place, missing, seeded, spoken, steps_of, worded
from bonsai_mlx.pipelines.saved import MAX_NAME_CHARS, SavedPipeline

from ...errors import ApiError, not_found
from ...schemas.jobs import PipelineRun
from ..common import IdPath, StudioDep, errors
from .shapes import (
    FromImage,
    PipelineList,
    PipelineListed,
    PipelineProblem,
    PipelineShown,
    RunFields,
    StepsFields,
)

_ANOTHER = "Choose a picture of this program, or send the steps themselves."
router = APIRouter(tags=["pipelines"])

NamePath = Annotated[str, Path(min_length=1, max_length=MAX_NAME_CHARS)]


def _summary(pipeline: SavedPipeline) -> dict[str, object]:
    return {
        "name": pipeline.name,
        "operations": [step.operation for step in pipeline.steps],
        "ways": [step.way for step in pipeline.steps],
        "takes_prompt": has_place(pipeline.steps),
        "bytes": pipeline.bytes,
    }


def _shown(pipeline: SavedPipeline) -> PipelineShown:
    pictures = list(dict.fromkeys(missing(pipeline.steps)))
    return PipelineShown(**_summary(pipeline), steps=as_json(pipeline.steps), pictures=pictures)  # type: ignore[arg-type]


@router.post(
    "/pipelines/run",
    status_code=202,
    summary="Carry out a pipeline and return at once",
    responses=errors(404, 409, 429, 500, 503, 507),
)
async def run(studio: StudioDep, body: RunFields) -> PipelineRun:
    """A job for each step, one after the other, in one group. `pipeline` events, and `GET /pipelines/runs/{group}`,
    tell how far it is."""
    if body.pipeline is not None:
        name, steps = body.pipeline.name, steps_of(body.pipeline.steps)
    else:
        kept = await _loaded(body.name or "")
        name, steps = kept.name, kept.steps
    steps = spoken(steps, body.prompt)
    if body.seed is not None:
        steps = seeded(steps, body.seed)
    return await studio.pipelines.start(steps, name=name, model=body.model, force=body.force)


@router.get("/pipelines/runs/{group_id:id}", summary="How far a pipeline is", responses=errors(404))
async def how_far(studio: StudioDep, group_id: IdPath) -> PipelineRun:
    """The latest hundred are known, and those that have not ended."""
    return studio.pipelines.get(group_id)


@router.delete("/pipelines/runs/{group_id:id}", summary="Cancel a pipeline", responses=errors(404, 409))
async def cancel(studio: StudioDep, group_id: IdPath) -> PipelineRun:
    """No further step begins, and the one that runs ends after the step of drawing that it is in."""
    return studio.pipelines.cancel(group_id)


@router.get("/pipelines", summary="The pipelines that are kept", responses=errors(500))
async def listed() -> PipelineList:
    return await asyncio.to_thread(_list)


def _list() -> PipelineList:
    found, problems = [], []
    for name in saved.names():
        try:
            found.append(PipelineListed(**_summary(saved.load(name))))  # type: ignore[arg-type]
        except BonsaiError as error:
            problems.append(PipelineProblem(name=name, problem=str(error)))
    return PipelineList(pipelines=found, problems=problems)


@router.post(
    "/pipelines", status_code=201, summary="Keep the steps of a picture as a pipeline", responses=errors(404, 409, 500)
)
async def keep(studio: StudioDep, body: FromImage) -> PipelineShown:
    """Wherever the first step's words stand, there is a place for others. 409 for a name that is taken."""
    name = saved.checked_name(body.name)
    if await asyncio.to_thread(saved.find, name):
        remedy = "Choose another name, or delete that one first."
        raise ApiError(409, "conflict", f"There is a pipeline called {name} already.", field="name", remedy=remedy)
    studio.gallery.get(body.image)
    chain = await studio.chains.to(body.image)
    if not chain:
        raise ApiError(422, "bad_field", "This picture does not say how it was made.", field="from", remedy=_ANOTHER)
    try:
        steps = worded(steps_of(chain))
    except RequestError as error:
        message = f"Its steps cannot be carried out: {error.field} {error.message}."
        raise ApiError(422, "bad_field", message, field="from", remedy=_ANOTHER) from None
    return _shown(await asyncio.to_thread(saved.save, name, steps))


@router.get("/pipelines/{name}", summary="One pipeline", responses=errors(404, 500))
async def one(name: NamePath) -> PipelineShown:
    return _shown(await _loaded(name))


@router.put("/pipelines/{name}", summary="Keep a pipeline, in place of one of that name", responses=errors(500))
async def put(name: NamePath, body: StepsFields) -> PipelineShown:
    if body.name is not None and body.name != name:
        raise RequestError("name", "is another than that of the address; leave it out")
    return _shown(await asyncio.to_thread(saved.save, name, steps_of(body.steps)))


@router.delete("/pipelines/{name}", status_code=204, summary="Delete a pipeline", responses=errors(404, 500))
async def delete(name: NamePath) -> Response:
    await _known(name)
    await asyncio.to_thread(saved.delete, name)
    return Response(status_code=204)


async def _loaded(name: str) -> SavedPipeline:
    await _known(name)
    return await asyncio.to_thread(saved.load, name)


async def _known(name: str) -> None:
    if await asyncio.to_thread(saved.find, name) is None:
        raise not_found("pipeline")
