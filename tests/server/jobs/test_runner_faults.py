"""The runner beside an index that fails, a checkpoint that is not there, and ends that cannot be told."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from msgspec.structs import replace

from server.engine.protocol import Done
from server.jobs.active import Work
from server.jobs.queue import Jobs
from server.store import Store
from tests.server.jobs.conftest import DRAWN, FAILED, PICTURE, PROGRESS, WORK, InWorld, World


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("PRAGMA max_page_count = 1", "disk_full", "The picture is saved, but there is no space left"),
        ("DROP TABLE images", "failed", "The picture is saved. The gallery's index is damaged."),
        ("DROP TABLE durations", "failed", "The picture is saved. The gallery's index is damaged."),
    ],
)
def test_an_index_that_takes_nothing_when_the_picture_is_saved(
    world: InWorld, statement: str, code: str, words: str
) -> None:
    async def test(world: World) -> None:
        def break_index() -> None:
            world.store.execute(statement)

        long = replace(PICTURE, recipe={"prompt": "x" * 30_000})
        [job] = await world.drawn([PROGRESS, break_index, long, Done("")])
        assert (job.status, job.error and job.error.code) == ("failed", code)
        assert job.error is not None
        assert job.error.message.startswith(words)

    world(test)


def test_an_end_that_the_index_does_not_take_is_told_and_noted_later(
    world: InWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        def full(*_arguments: Any) -> Any:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            [job] = await world.drawn([PROGRESS, lambda: patch.setattr(Store, "transaction", full), FAILED])
            assert (job.status, job.error and job.error.code) == ("failed", "out_of_memory")
            statuses = world.store.execute("SELECT status FROM jobs WHERE id = ?", (job.id,))
            assert statuses == [("running",)]
        await world.drawn([*DRAWN])
        assert world.store.execute("SELECT status FROM jobs WHERE id = ?", (job.id,)) == [("failed",)]

    world(test)


@pytest.mark.parametrize("model", ["ternary", "no-such-model"])
def test_a_checkpoint_that_is_not_there(world: InWorld, model: str) -> None:
    async def test(world: World) -> None:
        [job] = await world.drawn([], work=Work(model, WORK.request))
        assert (job.status, job.error and job.error.code) == ("failed", "model_missing")
        assert world.worker.commands == []

    world(test)


def test_an_end_that_cannot_be_told_stops_no_queue(world: InWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        def broken(*_arguments: Any) -> None:
            raise RuntimeError("nobody thought of it")

        with monkeypatch.context() as patch:
            world.worker.scripts.append([lambda: patch.setattr(Jobs, "fail", broken), FAILED])
            [untold] = world.jobs.submit([WORK])
            while world.jobs.active or not world.worker.commands:
                await asyncio.sleep(0.01)
        [following] = await world.drawn([*DRAWN])
        assert (world.worker.commands[0].job, following.status) == (untold.id, "done")

    world(test)
