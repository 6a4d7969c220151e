"""The queue: ask for pictures and follow them."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as Parameter
from starlette.responses import Response

from ..jobs.active import batch_of
from ..jobs.again import group_of, work_again
from ..parameters import EnlargeRequest, JobRequest
from ..schemas.jobs import Job, JobList, JobsAgain, JobsCancelled, JobsCreated, Queue, QueueOrder
from ..schemas.names import GroupKind, Id, JobStatus
from .common import IdPath, StudioDep, errors, file_of

router = APIRouter(tags=["jobs"])


@router.post(
    "/jobs", status_code=202, summary="Ask for pictures and return at once", responses=errors(409, 429, 503, 507)
)
async def create(studio: StudioDep, body: JobRequest) -> JobsCreated:
    """`count` pictures have consecutive seeds; `compare` makes one with each variant."""
    kind: GroupKind | None = None
    if body.compare:
        work, kind = await studio.work_to_compare(body), "compare"
    else:
        one = await studio.work(body, body.model)
        work = batch_of(one, body.count)
        kind = "batch" if body.count > 1 else None
    jobs = studio.jobs.submit(work, kind)
    return JobsCreated(jobs=jobs, group=jobs[0].group)


@router.post(
    "/jobs/enlarge",
    status_code=202,
    summary="Ask for an enlarged picture and return at once",
    responses=errors(409, 429, 503, 507),
)
async def enlarge(studio: StudioDep, body: EnlargeRequest) -> JobsCreated:
    return JobsCreated(jobs=studio.jobs.submit([await studio.work_to_enlarge(body)]), group=None)


@router.post(
    "/jobs/again",
    status_code=202,
    summary="Draw what came to nothing once more, in its place",
    responses=errors(404, 409, 429, 503, 507),
)
async def again(studio: StudioDep, body: JobsAgain) -> JobsCreated:
    """New jobs in the order asked for, with the requests, the group and the cells of those that were lost."""
    lost = [studio.jobs.get(job_id) for job_id in dict.fromkeys(body.jobs)]
    group, kind = group_of(lost)
    jobs = studio.jobs.submit(work_again(lost, studio.models), kind, group=group)
    return JobsCreated(jobs=jobs, group=group)


@router.get("/jobs", summary="The latest jobs, newest first", responses=errors())
async def jobs(
    studio: StudioDep,
    status: JobStatus | None = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
) -> JobList:
    return JobList(jobs=studio.jobs.recent(status, limit), queue=studio.jobs.queue())


@router.delete("/jobs", summary="Cancel every unfinished job, of one group or of all", responses=errors(404))
async def cancel_many(studio: StudioDep, group: Id | None = None) -> JobsCancelled:
    return JobsCancelled(jobs=studio.jobs.cancel_group(group) if group else studio.jobs.cancel_all())


@router.post("/queue/pause", summary="Let nothing begin that waits; what runs is finished", responses=errors())
async def pause(studio: StudioDep) -> Queue:
    return studio.jobs.pause(True)


@router.post("/queue/resume", summary="Go on with what waits", responses=errors())
async def resume(studio: StudioDep) -> Queue:
    return studio.jobs.pause(False)


@router.post("/queue/order", summary="Change the order of what waits", responses=errors())
async def order(studio: StudioDep, body: QueueOrder) -> JobList:
    """The answer has what runs and waits, in its order."""
    return JobList(jobs=studio.jobs.order(body.jobs), queue=studio.jobs.queue())


@router.get("/jobs/{job_id:id}", summary="One job", responses=errors(404))
async def job(studio: StudioDep, job_id: IdPath) -> Job:
    return studio.jobs.get(job_id)


@router.delete("/jobs/{job_id:id}", summary="Cancel a job", responses=errors(404, 409))
async def cancel(studio: StudioDep, job_id: IdPath) -> Job:
    """A waiting job ends at once, a running one after the step it is in."""
    return studio.jobs.cancel(job_id)


@router.get(
    "/jobs/{job_id:id}/preview",
    summary="The latest preview of a running job",
    response_class=Response,
    responses=file_of("image/png") | errors(404),
)
async def preview(studio: StudioDep, job_id: IdPath) -> Response:
    return Response(studio.jobs.previews.png(job_id), media_type="image/png")


@router.get(
    "/jobs/{job_id:id}/bits",
    summary="The bits of a running job, of a model that draws in bits",
    response_class=Response,
    responses=file_of("image/png") | errors(404),
)
async def bits(studio: StudioDep, job_id: IdPath) -> Response:
    """As they stand beside the latest preview: a tile for each of a latent's bits, white for one that is set."""
    return Response(studio.jobs.previews.bits(job_id), media_type="image/png")
