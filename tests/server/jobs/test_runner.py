"""The runner between the real queue, gallery and index, and an engine that says what each test has it say."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from bonsai_mlx.request import ResolvedDraw, from_json
from server.engine.losses import WorkerLostError
from server.engine.pool import EnginePool
from server.engine.protocol import Done, Parent
from server.jobs.active import picture_id
from server.jobs.queue import Jobs
from server.jobs.runner import patience_s
from server.schemas.jobs import Job
from server.settings import Settings
from tests.server.jobs.conftest import CANCELLED, DRAWN, FAILED, PICTURE, PNG, PROGRESS, WORK, InWorld, Said, World


def test_the_engine_is_told_everything_it_needs(world: InWorld) -> None:
    async def test(world: World) -> None:
        [job] = await world.drawn([*DRAWN])
        world.preview = False
        await world.drawn([*DRAWN])
        [command, other] = world.worker.commands
        assert command.job == job.id
        assert command.checkpoint.model == "seedling-ternary"
        assert Path(os.fsdecode(command.path)).is_dir()
        assert command.memory_limit_bytes is None
        assert from_json(command.request) == ResolvedDraw("a fox", 7, 4, 64, 96)
        assert (command.preview, other.preview) == (True, False)

    world(test)


def test_progress_is_noted_and_previews_are_kept(world: InWorld) -> None:
    async def test(world: World) -> None:
        seen: list[Job] = []
        preview = replace(PROGRESS, preview=PNG, truncated=True)
        [job] = await world.drawn(
            [preview, lambda: seen.extend(world.jobs.snapshot()), replace(PROGRESS, step=3), *DRAWN]
        )
        [then] = seen
        assert (then.status, then.phase, then.step, then.steps_total) == ("running", "denoise", 2, 4)
        assert (then.preview_seq, then.truncated) == (1, True)
        assert 0 < then.progress < 1
        assert (job.status, job.progress, job.preview_seq, job.truncated) == ("done", 1.0, 1, True)
        assert world.jobs.previews.png(job.id) == PNG

    world(test)


def test_done_enters_the_picture_and_teaches_the_durations(world: InWorld) -> None:
    async def test(world: World) -> None:
        [job] = await world.drawn([PROGRESS, *DRAWN])
        assert (job.status, job.image_id, job.image_ids, job.error) == ("done", job.id, [job.id], None)
        image = world.gallery.get(job.id)
        assert (image.prompt, image.seed, image.width, image.height) == ("a fox", 7, 64, 96)
        assert image.bytes == len(PICTURE.png)
        assert await world.gallery.png(job.id) == PICTURE.png
        assert await world.gallery.thumbnail(job.id) == PICTURE.thumbnail
        assert (image.peak_memory_bytes, image.variant, image.truncated) == (5_000_000, "ternary", True)
        assert image.created_at == "2026-01-02T03:04:05.000000Z"
        assert world.durations.forecast("seedling-ternary", 64, 96, 4, loaded=False).total_s == 11.5

    world(test)


@pytest.mark.parametrize(
    ("script", "status", "code", "words"),
    [
        ([FAILED], "failed", "out_of_memory", "It does not fit."),
        ([PROGRESS, replace(FAILED, code="disk_full")], "failed", "disk_full", "It does not fit."),
        ([CANCELLED], "cancelled", None, None),
        ([WorkerLostError("It crashed.")], "failed", "failed", "It crashed."),
        ([PROGRESS, WorkerLostError("It crashed.")], "failed", "failed", "It crashed."),
        ([WorkerLostError("Memory.", out_of_memory=True)], "failed", "out_of_memory", "Memory."),
        ([], "failed", "failed", "without a word"),
        ([RuntimeError("secret")], "failed", "failed", "went wrong inside the server"),
    ],
)
def test_every_run_ends_its_job_and_the_next_one_is_drawn(
    world: InWorld, script: list[Said], status: str, code: str | None, words: str | None
) -> None:
    async def test(world: World) -> None:
        job, following = await world.drawn(script, [*DRAWN])
        assert (job.status, job.image_ids) == (status, [])
        assert (job.error.code if job.error else None) == code
        assert words is None or (job.error and words in job.error.message)
        assert following.status == "done"
        assert world.jobs.active == []
        assert [found.status for found in world.jobs.recent(None, 2)] == ["done", status], "noted as well"

    world(test)


def test_the_engines_remedy_reaches_the_job(world: InWorld) -> None:
    async def test(world: World) -> None:
        job, lost, unread = await world.drawn(
            [FAILED], [WorkerLostError("It crashed.")], [WorkerLostError("It crashed.", remedy="Run doctor.")]
        )
        remedies = [one.error.remedy for one in (job, lost, unread) if one.error]
        assert remedies == ["Choose a smaller size.", "Draw it again.", "Run doctor."]

    world(test)


def test_a_loss_after_a_cancel_is_a_cancel(world: InWorld) -> None:
    async def test(world: World) -> None:
        def cancel() -> None:
            world.jobs.cancel(world.worker.commands[0].job)

        [job] = await world.drawn([PROGRESS, cancel, WorkerLostError("It did not respond.")])
        assert (job.status, job.error) == ("cancelled", None)
        assert world.worker.told_to_cancel == [job.id]

    world(test)


def test_a_cancel_while_the_engine_starts(world: InWorld) -> None:
    """Nothing has been said of the run yet; the worker is told all the same."""

    async def test(world: World) -> None:
        def cancel() -> None:
            world.jobs.cancel(world.worker.commands[0].job)

        job, following = await world.drawn([cancel, CANCELLED], [*DRAWN])
        assert (job.status, world.worker.told_to_cancel) == ("cancelled", [job.id])
        assert following.status == "done"

    world(test)


def test_a_job_that_waits_while_another_runs_is_never_begun(world: InWorld) -> None:
    async def test(world: World) -> None:
        waiting: list[str] = []

        def cancel_the_other() -> None:
            waiting.extend(active.job.id for active in world.jobs.active[1:])
            world.jobs.cancel(waiting[0])

        world.worker.scripts.append([PROGRESS, cancel_the_other, *DRAWN])
        first, second = world.jobs.submit([WORK, WORK], "batch")
        assert (await world.jobs.wait(first.id)).status == "done"
        assert (await world.jobs.wait(second.id)).status == "cancelled"
        assert [command.job for command in world.worker.commands] == [first.id]

    world(test)


def test_a_job_makes_any_number_of_pictures(world: InWorld) -> None:
    async def test(world: World) -> None:
        second = replace(PICTURE, recipe={"variant": "binary"})
        several, none = await world.drawn([PICTURE, PROGRESS, second, Done("")], [Done("")])
        assert (several.status, several.image_id, len(set(several.image_ids))) == ("done", several.id, 2)
        assert [world.gallery.get(image_id).variant for image_id in several.image_ids] == ["ternary", "binary"]
        assert (none.status, none.image_id, none.image_ids) == ("done", None, [])
        assert world.jobs.get(several.id).image_ids == several.image_ids, "noted as well"

    world(test)


def test_a_picture_has_the_parents_that_the_engine_names(world: InWorld) -> None:
    async def test(world: World) -> None:
        [first] = await world.drawn([*DRAWN])
        made = replace(
            PICTURE, parents=(Parent(first.id, "input"), Parent(first.id, "mask"), Parent("f" * 32, "input"))
        )
        [second] = await world.drawn([made, Done("")])
        roles = [(parent.id, parent.role) for parent in world.gallery.details(second.id).parents]
        assert roles == [(first.id, "input"), (first.id, "mask")], "what is not there is not named"
        assert [child.id for child in world.gallery.details(first.id).children] == [second.id, second.id]

    world(test)


def test_what_a_job_has_made_before_it_fails_is_kept(world: InWorld) -> None:
    async def test(world: World) -> None:
        [job] = await world.drawn([PICTURE, PROGRESS, FAILED])
        assert (job.status, job.image_ids) == ("failed", [job.id])
        assert world.gallery.get(job.id).prompt == "a fox"

    world(test)


def test_a_crash_loses_no_picture_that_was_saved(world: InWorld) -> None:
    """The server ends after the second picture of three: both belong to their job at the next start."""

    async def test(world: World) -> None:
        ended = asyncio.Event()
        world.worker.scripts.append([PICTURE, PICTURE, ended.set, WorkerLostError("never told")])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Jobs, "_save", lambda *_: None)
            [job] = world.jobs.submit([WORK])
            world.store.execute("UPDATE jobs SET status = 'running', data = json_set(data, '$.status', 'running')")
            await ended.wait()
            await world.jobs.wait(job.id)
        world.store.execute("DELETE FROM images")
        again = Jobs(
            world.settings, world.store, world.events, world.gallery, EnginePool(world.worker), world.durations
        )
        again.restore()
        found = again.get(job.id)
        assert (found.status, found.image_ids) == ("done", [job.id, picture_id(job.id, 1)])
        assert all(world.gallery.get(image_id).prompt == "a fox" for image_id in found.image_ids)

    world(test)


def test_a_picture_that_is_done_after_its_cancel_is_kept(world: InWorld) -> None:
    async def test(world: World) -> None:
        def cancel() -> None:
            world.jobs.cancel(world.worker.commands[0].job)

        [job] = await world.drawn([PROGRESS, cancel, *DRAWN])
        assert job.status == "done"
        assert world.gallery.get(job.id).prompt == "a fox"

    world(test)


def test_the_watchdog_is_as_patient_as_was_learned(world: InWorld) -> None:
    async def test(world: World) -> None:
        usual = replace(PICTURE, timings=PICTURE.timings | {"denoise": 80.0})
        await world.drawn([replace(PROGRESS, phase="encode"), PROGRESS, usual, Done("")])
        assert world.worker.silences[:3] == [world.settings.progress_unknown_s] * 3
        world.worker.silences.clear()
        slow = replace(PICTURE, timings=PICTURE.timings | {"denoise": 400.0})
        await world.drawn([slow, Done("")], [PROGRESS, *DRAWN])
        step_s = 0.6 * 20.0 + 0.4 * 80.0  # the running average of a step; no more than four times as long counts
        assert world.worker.silences[-2] == pytest.approx(10 * step_s), "before the picture, which teaches again"

        def cancel() -> None:
            world.jobs.cancel(world.worker.commands[-1].job)

        await world.drawn([PROGRESS, cancel, CANCELLED])
        step_s = 0.3 * step_s + 0.7 * 2.0  # of the picture after that, which was quicker
        assert world.worker.silences[-1] == pytest.approx(3 * step_s)

    world(test)


@pytest.mark.parametrize(
    ("learned", "drawing_s", "cancelling_s"),
    [
        ([0.5, 0.2], 60, 10),  # quick steps: the floors
        ([35.0, 12.0], 350, 105),  # the published checkpoint on two slow cores: no step that goes well is cut off
        ([4.0], 60, 12),
        ([None, 2.0], 900, 60),
        ([None, None], 900, 60),
    ],
)
def test_patience_follows_what_was_learned(learned: list[float | None], drawing_s: float, cancelling_s: float) -> None:
    assert patience_s(Settings(), learned, cancelling=False) == drawing_s
    assert patience_s(Settings(), learned, cancelling=True) == cancelling_s
