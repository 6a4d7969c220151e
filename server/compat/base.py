"""What the interfaces of other programs share: choosing a model, clamping steps, drawing, and answering failures.

Everything goes through the one queue. These interfaces round and clamp what their clients send without thinking (22
steps for a model distilled to 4) and report what was used; the native ones obey exactly. Knows no client's shapes.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from bonsai_mlx.hub import catalog
from bonsai_mlx.hub.addresses import is_commit
from bonsai_mlx.request import MAX_SEED, ResolvedOperation, random_seed

from ..checkpoints.ready import ReadyModel
from ..errors import ApiError
from ..jobs.active import Work, batch_of
from ..parameters import PictureFields
from ..routes.generate import draw, failure
from ..schemas.images import Image
from ..schemas.jobs import Job
from ..schemas.models import Model
from ..studio import Studio
from ..validation import closest
from .body import PictureBody, bad_field, fitted

MAX_IMAGES = 10  # of one request


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture as the interfaces hand it out."""

    job: Job
    image: Image
    png: bytes


# models


def public_name(name: str) -> str:
    """What a model is called in other programs; `Models.resolve` knows that name too."""
    return catalog.lookup(name).public_name


def owner_of(name: str) -> str:
    """Whose model it is; of one that is packed here, whose original."""
    entry = catalog.lookup(name)
    repo = catalog.lookup(entry.made_from).repo if entry.made_from else entry.repo
    return repo.partition("/")[0] if repo else "bonsai-mlx"


def short_hash(model: Model) -> str | None:
    """The beginning of its commit; None where only a branch is known."""
    return model.revision[:10] if model.revision and is_commit(model.revision) else None


def known_model(studio: Studio, name: str | None) -> str | None:
    """The catalog's name of what a client calls a model; None when that is nothing of ours."""
    if not name or len(name) > 200:
        return None
    try:
        return studio.models.resolve(name.strip().removesuffix(":latest"))
    except ApiError:
        return None


def choose_model(studio: Studio, *names: str | None) -> ReadyModel:
    """The first name that is one of ours, else the default: clients send `dall-e-2`, or whatever is in their list.

    ApiError 409 when it is one of ours that is not complete on this machine.
    """
    known = (known_model(studio, name) for name in names)
    return studio.models.require_ready(next((name for name in known if name), None) or studio.models.default())


def listed_names(model: Model) -> set[str]:
    """Everything that one of our lists calls a model, as A1111's clients send it back."""
    public, revision = public_name(model.name), short_hash(model)
    titles = {public, model.title, model.name, f"{public}.safetensors"}
    return titles | ({revision} | {f"{title} [{revision}]" for title in titles} if revision else set())


def listed_model(studio: Studio, name: str, field: str) -> ReadyModel:
    """The model that our own lists call so. ApiError 422 with what there is, 409 when it is not complete here."""
    wanted = name.strip().casefold()
    models = studio.models.all()
    match = next((model for model in models if wanted in {one.casefold() for one in listed_names(model)}), None)
    found = match.name if match else known_model(studio, name)
    if found is None:
        here = [public_name(ready) for ready in ready_models(studio)]
        meant = closest(name[:200], here)
        message = f"There is no model called {name.strip()[:80]!r} here."
        raise bad_field(field, message, f"Did you mean {meant}?" if meant else f"There are {', '.join(here)}.")
    return studio.models.require_ready(found)


def ready_models(studio: Studio) -> list[str]:
    """The names of the models that can draw now, the default first."""
    default = studio.models.default()
    names = [name for name in studio.models.names() if studio.models.find_ready(name) is not None]
    return sorted(names, key=lambda name: name != default)


# asking


def max_steps(studio: Studio, ready: ReadyModel) -> int:
    return studio.settings.compat_max_steps or ready.recommended_steps


@dataclass(frozen=True, slots=True)
class Asked:
    """What is going to be drawn, and in a sentence each, where that is not what was asked for."""

    work: list[Work]
    notes: list[str]

    @property
    def first(self) -> ResolvedOperation:
        return self.work[0].request

    def noted(self) -> dict[str, list[str]]:
        return {"notes": self.notes} if self.notes else {}


async def asked_of(
    studio: Studio,
    ready: ReadyModel,
    body: PictureBody,
    prompt: str,
    count: int = 1,
    *,
    size: tuple[int, int] | None = None,
    steps: int | None = None,
    notes: Sequence[str] = (),
    used: Mapping[str, Any] | None = None,
) -> Asked:
    """`count` pictures with consecutive seeds; `size` and `steps` where the body's own fields say nothing of them.

    `used` are fields of the request that say which pictures go in, and how.

    ApiError 422 for a shape that cannot be drawn, and whatever `Studio.work` refuses.
    """
    told = list(notes)
    width, height = size_of(ready, body, size, told)
    fields = PictureFields(
        prompt=prompt,
        seed=seed_of(body, told),
        steps=steps_of(studio, ready, body.steps or steps, told),
        width=width,
        height=height,
        force=False,
        **(used or {}),
    )
    return Asked(batch_of(await studio.work(fields, ready.name), count), told)


def size_of(
    ready: ReadyModel, body: PictureBody, size: tuple[int, int] | None, notes: list[str]
) -> tuple[int | None, int | None]:
    """Width and height that can be drawn; None for both where nothing was said of them."""
    width, height = body.width or (size and size[0]), body.height or (size and size[1])
    if not width and not height:
        return None, None
    wanted = (width or ready.recommended_size[0], height or ready.recommended_size[1])
    drawn = fitted(*wanted)
    if drawn != wanted:
        notes.append(f"{wanted[0]}x{wanted[1]} pixels were asked for, {drawn[0]}x{drawn[1]} are what can be drawn.")
    return drawn


def seed_of(body: PictureBody, notes: list[str]) -> int:
    """The seed. Absent or negative: a random one, as everywhere; too large: what is left in 32 bits."""
    if body.seed is None or body.seed < 0:
        return random_seed()
    seed = body.seed % (MAX_SEED + 1)
    if seed != body.seed:
        notes.append(f"The seed {body.seed} is larger than {MAX_SEED}; its last 32 bits are {seed}.")
    return seed


def steps_of(studio: Studio, ready: ReadyModel, asked: int | None, notes: list[str]) -> int:
    steps, most = asked or ready.recommended_steps, max_steps(studio, ready)
    if steps > most:
        notes.append(f"{steps} steps were asked for; {most} were made, which is what the model is for.")
    return min(steps, most)


def model_note(ready: ReadyModel, name: str, studio: Studio) -> list[str]:
    """That another model draws than the one that was named."""
    if not name or known_model(studio, name) is not None:
        return []
    return [f"There is no model called {name[:80]!r} here; {public_name(ready.name)} draws."]


def check_wait(studio: Studio) -> None:
    """ApiError 429 at once when the queue is longer than clients wait for an answer."""
    active = studio.jobs.active
    wait_s = active[-1].job.eta_s if active else None
    if wait_s is not None and wait_s > studio.settings.compat_wait_s:
        message = f"There are {len(active)} pictures before this one, which take about {wait_s:.0f} seconds."
        raise ApiError(429, "queue_full", message, retry_after_s=wait_s)


def submit(studio: Studio, work: Sequence[Work]) -> list[Job]:
    check_wait(studio)
    return studio.jobs.submit(work, "batch" if len(work) > 1 else None, attached=True)


async def drawn(studio: Studio, request: Request, work: list[Work]) -> list[Picture]:
    """Draw all of the pictures or fail with the reason of the first failure; leaving cancels them."""
    check_wait(studio)
    jobs = await draw(studio, request, work, "batch" if len(work) > 1 else None)
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
    drawn = job.step * job.steps // max(job.steps_total, 1)  # what is drawn in tiles counts those
    return {"denoise": drawn, "decode": job.steps}.get(job.phase or "", 0)


async def picture(studio: Studio, job: Job) -> Picture:
    return Picture(job, studio.gallery.get(job.id), await studio.gallery.png(job.id))
