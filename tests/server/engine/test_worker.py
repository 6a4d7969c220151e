import asyncio
import io
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from PIL import Image

from bonsai_mlx.images.metadata import read
from bonsai_mlx.images.scan import PNG_SIGNATURE
from server.engine.protocol import (
    MAX_EVENT_BYTES,
    Cancelled,
    Done,
    Failed,
    Memory,
    Picture,
    Progress,
    RunEvent,
)
from server.engine.worker import Worker, WorkerLostError
from server.settings import Settings
from tests.server.conftest import HASTY, QUICK
from tests.server.engine.conftest import JOB, collect, command, draws, phases


def test_a_run_from_start_to_file(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, states: list[str]) -> None:
        events = await collect(worker, command(preview=True))
        *steps, picture, end = events
        assert phases(events) == ["load", "load", "encode", "denoise", "denoise", "denoise", "decode"]
        previews = [e.preview for e in steps if isinstance(e, Progress) and e.phase == "denoise"]
        assert all(preview is not None and preview.startswith(PNG_SIGNATURE) for preview in previews)
        assert isinstance(picture, Picture)
        found = read(picture.png)
        assert found is not None
        assert found.recipe is not None
        assert json.loads(found.recipe.to_json()) == picture.recipe
        assert (picture.recipe["model"], picture.recipe["prompt"], picture.recipe["seed"]) == ("ternary", "plain", 7)
        assert Image.open(io.BytesIO(picture.png)).size == (picture.width, picture.height) == (64, 64)
        assert Image.open(io.BytesIO(picture.thumbnail)).format == "WEBP"
        assert end == Done(JOB)
        assert list(tmp_path.iterdir()) == [], "the server saves, where it wants"
        assert states == ["starting", "idle", "busy", "idle"]
        assert (worker.model, worker.device, worker.memory.mlx_active_bytes) == ("ternary", "cpu", 1_000)
        pid = worker.pid
        assert pid
        await worker.stop()
        assert not psutil.pid_exists(pid)
        assert (worker.state, worker.model, worker.memory) == ("stopped", None, Memory())

    with_worker(test)


def test_what_libraries_print_does_not_disturb(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        assert await draws(worker, command("print"))

    with_worker(test)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("abort", "SIGABRT"),
        ("kill", "was ended"),
        ("exit", "status 7"),
        ("stop", "did not respond"),
        ("hang", "did not respond"),
    ],
)
def test_a_lost_child_is_explained_and_replaced(
    with_worker: Callable[..., None], tmp_path: Path, prompt: str, words: str
) -> None:
    async def test(worker: Worker, states: list[str]) -> None:
        with pytest.raises(WorkerLostError, match=words):
            async with asyncio.timeout(60):  # a child that hangs would do so for an hour
                await collect(worker, command(prompt), patience_s=5 if prompt == "hang" else 60)
        assert worker.state == "stopped"
        if prompt == "stop":
            assert "unresponsive" in states
        worker._settings = Settings(**QUICK)
        assert await draws(worker)

    with_worker(test, **HASTY if prompt == "stop" else {})


@pytest.mark.parametrize(
    ("prompt", "code", "words"),
    [
        ("raise", "failed", "failed unexpectedly"),
        ("oom", "out_of_memory", "ran out of memory at 64x64"),
        ("gpu", "failed", "the graphics device stopped the work at 64x64; try again"),
        ("gpuoom", "out_of_memory", "ran out of memory at 64x64"),
    ],
)
def test_errors_come_in_words_for_people(
    with_worker: Callable[..., None], tmp_path: Path, prompt: str, code: str, words: str
) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        error = (await collect(worker, command(prompt)))[-1]
        assert isinstance(error, Failed)
        assert error.code == code
        assert words in error.message
        assert "0x7f" not in error.message
        assert "site-packages" not in error.message
        pid = worker.pid
        assert await draws(worker)
        lost = prompt.startswith("gpu")  # a device that failed is a reason for a new process, an error is none
        assert (worker.pid == pid) == (not lost)

    with_worker(test)


def test_a_request_of_another_version_is_an_error_that_says_so(with_worker: Callable[..., None]) -> None:
    """The server may have been updated while its queue, or an engine elsewhere, was not."""

    async def test(worker: Worker, _states: list[str]) -> None:
        run = command()
        newer = msgspec.structs.replace(run, request=run.request | {"version": 99})
        (*_, end) = await collect(worker, newer)
        assert isinstance(end, Failed)
        assert end.code == "bad_field"
        assert "update it" in end.message
        assert await draws(worker)

    with_worker(test)


def test_a_folder_whose_name_is_no_text_can_be_loaded_from(with_worker: Callable[..., None]) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        assert await draws(worker, msgspec.structs.replace(command(), path=b"/models/\xff-large"))
        assert worker.memory.process_bytes != 0

    with_worker(test)


def test_cancelling_takes_effect(with_worker: Callable[..., None], gate: Path) -> None:
    """While the gate is there, nothing else would end it."""

    async def test(worker: Worker, _states: list[str]) -> None:
        seen: list[RunEvent] = []
        async for event in worker.run(command("hold", steps=2), lambda _last: 60.0):
            seen.append(event)
            if isinstance(event, Progress) and event.phase == "denoise":
                worker.cancel(JOB)
        assert seen[-1] == Cancelled(JOB)
        assert gate.exists()
        assert await draws(worker)  # the cancel is forgotten

    with_worker(test)


@pytest.mark.slow
def test_a_cancel_that_does_not_take_effect_ends_the_child(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        patience_s = [600.0]

        def cancel() -> None:
            patience_s[0] = 0.3
            worker.cancel(JOB)

        async def draw() -> None:
            async for event in worker.run(command("hang"), lambda _last: patience_s[0]):
                if isinstance(event, Progress) and event.phase == "denoise":  # the step after this one has no end
                    asyncio.get_running_loop().call_later(0.1, cancel)

        drawing = asyncio.create_task(draw())
        await asyncio.wait([drawing], timeout=60)
        assert isinstance(drawing.exception(), WorkerLostError)
        assert worker.pid is None

    with_worker(test, heartbeat_kill_s=30)


def test_the_prompt_is_encoded_once_for_two_models(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        first = await collect(worker, command(path="/models/ternary"))
        second = await collect(worker, command(path="/models/binary"))
        assert "encode" in phases(first)
        assert "encode" not in phases(second)

    with_worker(test)


def test_a_larger_model_is_no_leak(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        pids = set()
        for model in ("small", "large", "large", "small", "large"):
            await collect(worker, command(path=f"/models/{model}", model=model))
            pids.add(worker.pid)
            await settled(worker, model)
        assert len(pids) == 1

    with_worker(test)


async def settled(worker: Worker, model: str) -> None:
    """Until the child has told what it holds after the latest picture."""
    expected = 3_050_000_000 if model == "large" else 50_000_000
    async with asyncio.timeout(60):
        while worker.memory.process_bytes != expected:
            await asyncio.sleep(0.01)


@pytest.mark.slow
def test_a_leaking_child_is_replaced(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        await collect(worker, command())
        pids = []
        for _ in range(5):
            assert await draws(worker, command("leak"))
            await asyncio.sleep(0.02)  # for the figures after the run
            pids.append(worker.pid)
        assert pids[0] == pids[1]
        assert pids[0] != pids[4]

    with_worker(test)


def test_a_child_that_dies_idle_is_noticed(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, states: list[str]) -> None:
        await collect(worker, command())
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        while worker.state != "stopped":
            await asyncio.sleep(0.01)
        assert await draws(worker)

    with_worker(test)


def test_an_end_that_meets_a_message_is_an_end(with_worker: Callable[..., None], tmp_path: Path) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        heard = asyncio.Event()

        async def draw() -> None:
            async for _ in worker.run(command("hang"), lambda _last: 600.0):
                heard.set()

        drawing = asyncio.create_task(draw())
        await heard.wait()
        worker._events.put_nowait(Progress(JOB, "denoise", 1, 3))
        drawing.cancel()
        done, _ = await asyncio.wait([drawing], timeout=20)  # it would go on for longer
        assert done
        assert drawing.cancelled()

    with_worker(test)


def test_files_of_the_user_are_not_the_engine(
    with_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("server", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)

    async def test(worker: Worker, _states: list[str]) -> None:
        assert await draws(worker)

    with_worker(test)


STRANGER = """
import struct, sys, time
import msgspec
said = bytes.fromhex(sys.argv[1])
def say(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
def framed(value):
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body
if said.startswith(b"first"):
    say(said)
else:
    say(framed({"type": "ready", "device": "cpu"}))
while length := sys.stdin.buffer.read(4):
    command = msgspec.msgpack.decode(sys.stdin.buffer.read(*struct.unpack(">I", length)))
    if command["type"] == "run":
        say(said.replace(b"J" * 32, command["job"].encode()))
        time.sleep(3600)
"""


def frame(value: Any) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "said",
    [
        frame({"type": "painted", "job": "J" * 32}),
        frame({"type": "painted"}),
        frame({"type": 7, "job": "J" * 32}),
        frame({"type": ["done"], "job": "J" * 32}),
        frame({"type": "done"}),
        frame({"type": "ready", "device": "cpu"}),
        frame({"type": "progress", "job": "J" * 32, "phase": "dreaming", "step": 1, "steps": 1}),
        frame({"type": "memory", "process_bytes": "many"}),
        frame([]),
        b"a library that prints",
        b"first of all something else",
        struct.pack(">I", MAX_EVENT_BYTES + 1),
    ],
)
def test_what_is_not_understood_ends_the_run_and_the_child(
    with_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Without waiting for a child that may go on for ever."""
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER)
    monkeypatch.setattr("server.engine.worker.child_process.command", lambda _module: (sys.executable, str(script)))

    async def test(worker: Worker, states: list[str]) -> None:
        with pytest.raises(WorkerLostError, match="does not understand"):
            await collect(worker, command())
        assert (worker.pid, states[-1]) == (None, "stopped")

    with_worker(test, engine=said.hex())


def test_a_run_that_nobody_follows_any_more_is_cancelled(gate: Path, with_worker: Callable[..., None]) -> None:
    async def test(worker: Worker, _states: list[str]) -> None:
        run = worker.run(command("hold"), lambda _last: 60.0)
        async for event in run:
            if isinstance(event, Progress) and event.phase == "denoise":
                break
        await run.aclose()
        assert worker.state == "idle"
        pid = worker.pid
        assert await draws(worker, command(job="f" * 32))
        assert worker.pid == pid

    with_worker(test)
