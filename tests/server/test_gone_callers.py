"""A caller who is gone before its answer begins: nobody works for it, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import LiveServer, eventually


def ask_and_go(live: LiveServer, method: str, path: str, body: dict[str, Any] | None) -> None:
    """A request whose connection is closed as soon as it has arrived, told to the application as servers tell it."""
    data = json.dumps(body).encode() if body is not None else b""
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": data, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    async def send(_message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", f"127.0.0.1:{live.port}".encode()), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", live.port),
    }
    loop = live.studio._tasks[0].get_loop()
    asyncio.run_coroutine_threadsafe(live.app(scope, receive, send), loop).result(60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"stream": True}),
        ("/api/generate", {"model": "bonsai", "stream": True}),
        ("/v1/images/generations", {"n": 2}),
        ("/api/generate", {"model": "bonsai", "stream": False}),
        ("/sdapi/v1/txt2img", {}),
        ("/generate", {}),
        ("/generate/compare", {}),
    ],
)
def test_its_jobs_are_cancelled(gate: Path, live: LiveServer, path: str, body: dict[str, Any]) -> None:
    held = live.post_job("hold")["id"]
    live.running(held)
    ask_and_go(live, "POST", path, {"prompt": "hold too", **body})
    jobs = [job for job in live.client.get("/jobs").json()["jobs"] if job["id"] != held]
    assert jobs
    eventually(lambda: {live.job(job["id"])["status"] for job in jobs} == {"cancelled"})
    assert live.client.get("/jobs").json()["queue"]["waiting"] == 0


@pytest.mark.slow
def test_it_is_told_no_events(live: LiveServer) -> None:
    for _ in range(3):
        ask_and_go(live, "GET", "/events", None)
    eventually(lambda: live.studio.events.listeners == 0)
