"""A picture over lists of values: one group of jobs, and a contact sheet of what they have made."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from ...parameters import GridRequest
from ...schemas.jobs import GridPlan, JobsCreated
from ..common import IdPath, StudioDep, errors, file_of

router = APIRouter(tags=["grids"])


@router.post("/grids/plan", summary="What a grid would be: how many pictures, whether the queue takes them")
async def plan(studio: StudioDep, body: GridRequest) -> GridPlan:
    """Nothing is drawn. With a random seed, `POST /grids` chooses one for all cells."""
    return studio.grids.plan(body)


@router.post("/grids", status_code=202, summary="Draw every cell", responses=errors(409, 429, 503, 507))
async def create(studio: StudioDep, body: GridRequest) -> JobsCreated:
    """The prompt may hold alternatives, `a {red|blue} house`. The first axis runs across, the second down.

    All jobs are one group; each has its place in `cell`, and makes the very picture that its own request makes.
    """
    jobs = studio.jobs.submit(await studio.grids.work(body), "grid")
    return JobsCreated(jobs=jobs, group=jobs[0].group)


@router.get(
    "/grids/{group_id:id}.png",
    summary="The contact sheet of a grid, with labels; cells that are not there are grey",
    response_class=Response,
    responses=file_of("image/png") | errors(404),
)
async def sheet(
    studio: StudioDep, group_id: IdPath, download: Annotated[bool, Query(description="as a file to keep")] = False
) -> Response:
    data = await studio.sheets.png(group_id)
    name = {"Content-Disposition": f'attachment; filename="bonsai-grid-{group_id[:8]}.png"'} if download else {}
    return Response(data, media_type="image/png", headers={"Cache-Control": "no-store", **name})
