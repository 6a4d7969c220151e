"""Following what is drawn, and stopping it: A1111's `progress`, `interrupt` and `skip`."""

import base64
from typing import NamedTuple

from fastapi import Request
from starlette.responses import Response

from ...routes.common import StudioDep
from ...routes.generate import failure
from ...schemas.jobs import Job
from ...studio import Studio
from ..base import Picture, ended, picture, steps_done
from ..failing import json_answer
from .shape import new_router

router = new_router()


class Drawn(NamedTuple):
    """What is finished when all jobs of a call have ended."""

    pictures: list[Picture]
    interrupted: bool  # which is more than that one was skipped


def own_jobs(request: Request) -> dict[str, bool]:
    """The jobs that this interface waits for, by id, and whether they were interrupted; others are not its business."""
    state = request.app.state
    if not hasattr(state, "sdapi_jobs"):
        state.sdapi_jobs = {}
    jobs: dict[str, bool] = state.sdapi_jobs
    return jobs


async def drawn(studio: Studio, request: Request, jobs: list[Job]) -> Drawn:
    """An interrupted batch is as long as it got. ApiError if nothing is there."""
    mine = own_jobs(request)
    mine |= dict.fromkeys((job.id for job in jobs), False)
    try:
        last = await ended(studio, request, jobs)
    finally:
        interrupted = True in [mine.pop(job.id) for job in jobs]
    done = [job for job in last if job.status == "done"]
    failed = [job for job in last if job.status not in ("done", "cancelled")]
    if failed or not done:
        raise failure((failed or last)[0])
    return Drawn([await picture(studio, job) for job in done], interrupted)


def job_timestamp(job: Job) -> str:
    """`20261121053000`, from the ISO time of the job."""
    return "".join(character for character in job.created_at[:19] if character.isdigit())


@router.get("/progress", summary="How far the picture that is being drawn is")
async def progress(studio: StudioDep, request: Request) -> Response:
    """Idle is exactly progress 0 and job_count 0: some clients wait for that."""
    jobs = studio.jobs.snapshot()
    running = next((job for job in jobs if job.status == "running"), None)
    skip = request.query_params.get("skip_current_image", "").lower() in ("1", "true")
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": running.id if running else "",
        "job_count": len(jobs),
        "job_timestamp": job_timestamp(running) if running else "0",
        "job_no": 0,
        "sampling_step": steps_done(running) if running else 0,
        "sampling_steps": running.steps if running else 0,
    }
    return json_answer(
        {
            # never 0 while busy, as in A1111: that means idle
            "progress": min(0.99, 0.01 + running.progress) if running else 0.0,
            "eta_relative": (running.eta_s or 0.0) if running else 0.0,
            "state": state,
            "current_image": _preview(studio, running) if running and not skip else None,
            "textinfo": None,
        }
    )


def _preview(studio: Studio, job: Job) -> str | None:
    return base64.b64encode(studio.jobs.previews.png(job.id)).decode() if job.preview_seq else None


@router.post("/interrupt", summary="Stop what this interface draws; what is finished of it is returned")
async def interrupt(studio: StudioDep, request: Request) -> Response:
    for active in reversed(studio.jobs.active):  # the running one last: the next must not start
        if active.job.id in own_jobs(request):
            own_jobs(request)[active.job.id] = True
            studio.jobs.cancel(active.job.id)
    return json_answer({})


@router.post("/skip", summary="Give up the picture being drawn and go on with the next of the batch")
async def skip(studio: StudioDep, request: Request) -> Response:
    for active in studio.jobs.active[:1]:
        if active.job.id in own_jobs(request):
            studio.jobs.cancel(active.job.id)
    return json_answer(None)
