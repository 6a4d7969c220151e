"""Drawings of other programs that are watched, left and interrupted."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.compat.test_interfaces import DRAWING
from tests.server.conftest import LiveServer, eventually


def leave(live: LiveServer, path: str, body: dict[str, Any]) -> None:
    """Close the connection while a picture is drawn."""
    text = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall((head + text).encode())
        live.running(eventually(lambda: live.client.get("/jobs").json()["jobs"])[0]["id"])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v1/images/generations", "/sdapi/v1/txt2img", "/api/generate"])
@pytest.mark.parametrize("stream", [False, True])
def test_leaving_cancels(serve: Callable[..., LiveServer], gate: Path, path: str, stream: bool) -> None:
    live = serve()
    leave(live, path, DRAWING[path] | {"prompt": "hold", "stream": stream, "partial_images": 1})
    eventually(lambda: live.client.get("/jobs").json()["jobs"][0]["status"] == "cancelled")


def test_leaving_before_the_request_has_arrived_is_no_error(
    serve: Callable[..., LiveServer], caplog: pytest.LogCaptureFixture
) -> None:
    live = serve()
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
    requests = live.app.recent_requests  # type: ignore[attr-defined]
    eventually(lambda: [entry.path for entry in [*requests]] == ["/sdapi/v1/txt2img"])
    assert [record.message for record in caplog.records if record.name.startswith("bonsai")] == []


def draw_in_background(live: LiveServer, **body: Any) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []
    url, wish = f"{live.url}/sdapi/v1/txt2img", {"width": 64, "height": 64} | body
    thread = threading.Thread(target=lambda: answers.append(httpx.post(url, json=wish, timeout=60)))
    thread.start()
    return thread, answers


def busy(live: LiveServer) -> dict[str, Any] | None:
    progress: dict[str, Any] = live.client.get("/sdapi/v1/progress").json()
    return progress if progress["current_image"] else None


@pytest.mark.slow
def test_progress_and_interrupt(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    assert live.client.get("/sdapi/v1/progress").json()["progress"] == 0
    thread, answers = draw_in_background(live, prompt="hold", batch_size=3)
    progress = eventually(lambda: busy(live))
    assert 0 < progress["progress"] < 1
    assert (progress["state"]["job_count"], progress["state"]["sampling_steps"]) == (3, 4)
    assert base64.b64decode(progress["current_image"]).startswith(b"\x89PNG")
    assert live.client.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None
    assert live.client.post("/sdapi/v1/interrupt").json() == {}
    thread.join(60)
    assert answers[0].status_code == 409
    idle = eventually(lambda: live.client.get("/sdapi/v1/progress").json())
    assert (idle["progress"], idle["state"]["job_count"]) == (0, 0)


@pytest.mark.slow
def test_skip_goes_on_with_the_next(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    thread, answers = draw_in_background(live, prompt="hold", batch_size=2, seed=5)
    eventually(lambda: busy(live))
    assert live.client.post("/sdapi/v1/skip").json() is None
    gate.unlink()
    thread.join(60)
    assert json.loads(answers[0].json()["info"])["all_seeds"] == [6]
    assert len(answers[0].json()["images"]) == 1


@pytest.mark.slow
def test_interrupt_leaves_the_jobs_of_others_alone(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    job = live.running(live.post_job("hold")["id"])
    live.client.post("/sdapi/v1/interrupt")
    live.client.post("/sdapi/v1/skip")
    gate.unlink()
    assert live.finished(job["id"])["status"] == "done"
