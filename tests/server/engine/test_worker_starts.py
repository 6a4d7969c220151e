"""Children that are started, replaced, delayed, or never become ready."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from server.engine.protocol import (
    Cancelled,
    Done,
)
from server.engine.worker import Worker, WorkerLostError
from tests.server.engine.conftest import JOB, a_few_turns, collect, command, draws


@pytest.mark.slow
def test_a_child_whose_end_the_system_has_not_told_yet_gets_no_work(
    with_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pid(worker: Worker) -> int | None:
        return worker._process.pid if worker._process else None

    async def test(worker: Worker, _states: list[str]) -> None:
        await collect(worker, command())
        ended = worker.pid
        assert ended
        monkeypatch.setattr(Worker, "pid", property(pid))
        os.kill(ended, signal.SIGKILL)
        while worker.state != "stopped":
            await asyncio.sleep(0.01)
        assert await draws(worker)
        assert worker.pid != ended

    with_worker(test)


@pytest.mark.slow
def test_a_child_that_stopped_idle_is_replaced_before_the_next_run(
    with_worker: Callable[..., None], tmp_path: Path
) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        await collect(worker, command())
        pid = worker.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        worker._heard_at -= 60  # as if that had been a minute ago
        assert await draws(worker)
        assert worker.pid != pid

    with_worker(test, heartbeat_kill_s=30)


@pytest.mark.slow
def test_a_run_that_begins_while_the_child_ends_gets_one_of_its_own(
    with_worker: Callable[..., None], tmp_path: Path
) -> None:
    async def test(worker: Worker, states: list[str]) -> None:
        await collect(worker, command())
        pid = worker.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)  # it does not see its input close, and has to be killed
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.01)
        ending = asyncio.create_task(worker.stop())
        await a_few_turns()  # no time passes: the child is killed after 0.3 s
        drawing = asyncio.create_task(collect(worker, command()))
        await a_few_turns()
        assert worker.state != "starting", "two children at once"
        await worker.stop()  # of the child that ends already; the next one stays
        assert (await drawing)[-1] == Done(JOB)
        await ending
        assert not psutil.pid_exists(pid)
        assert worker.pid not in (None, pid)
        assert states[-5:] == ["stopped", "starting", "idle", "busy", "idle"]

    with_worker(test)


def test_a_cancel_before_there_is_a_process_is_not_lost(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        worker.cancel(JOB)
        assert await collect(worker, command("slow", steps=50)) == [Cancelled(JOB)]

    with_worker(test)


def test_an_engine_that_cannot_start(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        with pytest.raises(WorkerLostError, match="status 1"):
            await collect(worker, command())
        assert worker.state == "stopped"

    with_worker(test, engine="tests.server.fake_engine:broken")


def test_an_engine_that_never_becomes_ready_is_ended(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, states: list[str]) -> None:
        with pytest.raises(WorkerLostError, match="did not respond"):
            await collect(worker, command())
        assert (worker.pid, states[-1]) == (None, "stopped")

    with_worker(test, engine="tests.server.fake_engine:stuck", start_s=0.5)


def test_an_interrupt_of_the_terminal_does_not_reach_the_child(
    with_worker: Callable[..., None], tmp_path: Path
) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        await worker.start()
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)
        assert await draws(worker)

    with_worker(test)


@pytest.mark.slow
def test_starts_are_delayed_after_losses_in_a_row(
    with_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        monkeypatch.setattr("server.engine.worker._BACKOFF_S", (0.0, 0.0, 0.0, 600.0))
        for _ in range(3):
            with pytest.raises(WorkerLostError):
                await collect(worker, command("abort"))
        drawing = asyncio.create_task(collect(worker, command()))
        done, _ = await asyncio.wait([drawing], timeout=1)
        assert not done
        assert worker.pid is None  # it is not even started
        worker.cancel(JOB)
        assert (await drawing)[-1] == Cancelled(JOB)
        monkeypatch.setattr("server.engine.worker._BACKOFF_S", (0.0,))
        assert await draws(worker, command(job="another"))
        await worker.stop()
        monkeypatch.setattr("server.engine.worker._BACKOFF_S", (0.0, 600.0))
        async with asyncio.timeout(60):  # the success has cleared the record
            assert await draws(worker)

    with_worker(test)


def test_a_cancel_ends_the_pause_before_a_start(
    with_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engine.worker._BACKOFF_S", (0.0, 60.0))

    async def test(worker: Worker, states: list[str]) -> None:
        with pytest.raises(WorkerLostError):
            await collect(worker, command("abort"))
        drawing = asyncio.create_task(collect(worker, command()))
        while worker.state != "starting":
            await asyncio.sleep(0.01)
        worker.cancel(JOB)
        async with asyncio.timeout(30):
            assert await drawing == [Cancelled(JOB)]
        assert (worker.pid, states[-2:]) == (None, ["starting", "stopped"])
        again = asyncio.create_task(collect(worker, command(job="f" * 32)))
        await asyncio.sleep(0.1)
        assert worker.pid is None, "a cancel is no success"
        again.cancel()

    with_worker(test)
