"""A worker with the tests' engine, and what is asked of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.request import ResolvedDraw, as_json
from server.engine.protocol import (
    Checkpoint,
    Done,
    Picture,
    Progress,
    Run,
    RunEvent,
)
from server.engine.worker import Worker
from server.settings import Settings
from tests.server.conftest import QUICK

JOB = "0123456789abcdef" * 2


def command(
    prompt: str = "plain",
    path: str = "/models/ternary",
    *,
    job: str = JOB,
    model: str = "ternary",
    preview: bool = False,
    steps: int = 3,
) -> Run:
    request = as_json(ResolvedDraw(prompt, 7, steps, 64, 64))
    return Run(job, path.encode(), Checkpoint(model), request, preview)


async def collect(worker: Worker, run: Run, patience_s: float = 60.0) -> list[RunEvent]:
    return [event async for event in worker.run(run, lambda _last: patience_s)]


async def draws(worker: Worker, run: Run | None = None) -> bool:
    """Whether a picture comes of it, and an end."""
    *_, picture, end = await collect(worker, run or command())
    return isinstance(picture, Picture) and isinstance(end, Done)


def phases(events: list[RunEvent]) -> list[str]:
    return [event.phase for event in events if isinstance(event, Progress)]


async def a_few_turns() -> None:
    """Lets other tasks get to where they have to wait for something outside."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def with_worker(tmp_path: Path) -> Callable[..., None]:
    """Run an async test with a worker, which is stopped afterwards."""

    def run(test: Callable[[Worker, list[str]], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            states: list[str] = []
            worker = Worker(Settings(**(QUICK | options)), lambda state, _message: states.append(state))
            try:
                await test(worker, states)
            finally:
                await worker.stop()

        asyncio.run(main())

    return run
