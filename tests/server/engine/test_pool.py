"""Which engine carries out a job, and several as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.engine.pool import EnginePool
from server.engine.protocol import Cancelled, Done, RunEvent
from server.engine.worker import Worker
from server.settings import Settings
from tests.server.conftest import QUICK
from tests.server.engine.test_worker import command

Test = Callable[[EnginePool, Worker, Worker], Awaitable[None]]


@pytest.fixture
def with_two(gate: Path) -> Callable[[Test], None]:
    """Run an async test with a pool of two workers; a prompt `hold` is drawn until it is cancelled."""

    async def main(test: Test) -> None:
        one, other = (Worker(Settings(**QUICK), lambda _state, _message: None) for _ in range(2))
        pool = EnginePool(one, other)
        try:
            await test(pool, one, other)
        finally:
            await pool.stop()
            assert (pool.pids, pool.state, pool.model, pool.memory.process_bytes) == ([], "stopped", None, 0)

    return lambda test: asyncio.run(main(test))


async def draw(worker: Worker, job: str, model: str, prompt: str = "plain") -> list[RunEvent]:
    return [event async for event in worker.run(command(prompt, job=job, model=model), lambda _last: 60.0)]


@pytest.mark.slow
def test_a_job_goes_to_who_has_nothing_to_do_and_then_to_who_has_its_model(with_two: Callable[[Test], None]) -> None:
    async def test(pool: EnginePool, one: Worker, other: Worker) -> None:
        assert pool.place("a", "ternary") is one
        holding = asyncio.create_task(draw(one, "a", "ternary", "hold"))
        while one.phase != "denoise":
            await asyncio.sleep(0.01)
        assert pool.place("b", "ternary") is other, "the first has its model, and work"
        assert (await draw(other, "b", "binary"))[-1] == Done("b")
        assert (pool.state, pool.model, pool.phase, pool.device) == ("busy", "ternary", "denoise", "cpu")
        assert pool.pids == [one.pid, other.pid]

        pool.cancel("b")  # which has ended, and is not what the first one draws
        pool.cancel("a")
        assert (await holding)[-1] == Cancelled("a")
        assert [pool.place("c", model) for model in ("binary", "ternary")] == [other, one]
        async with asyncio.timeout(60):
            while pool.memory.process_bytes != 100_000_000:  # 50 MB each, by their own account
                await asyncio.sleep(0.01)

        await pool.let_go("binary")
        assert pool.pids == [one.pid]
        await pool.stop_idle(longer_than_s=3_600)
        assert pool.pids == [one.pid]
        await pool.stop_idle(longer_than_s=0)

    with_two(test)
