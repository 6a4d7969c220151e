"""What the server writes while it runs: a line a request if that is wanted, nothing forged, and never a prompt."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from server.edge.request_log import RequestLog, printable
from tests.server.conftest import LiveServer, ServerProcess, eventually

Spawn = Callable[..., ServerProcess]
HOSTILE = [
    "\r\nforged GET / 200",
    "\x1b[31mred",
    "a\u2028b",
    "a\u2029b",
    "\x85next",
    "\x00",
    "\u202etfel",
    "\t\x08\x7f",
]
SECRET = "a-prompt-of-my-own"  # noqa: S105


def ask(server: ServerProcess, target: str, header: str = "x", body: str = "") -> None:
    """A request of bytes that client libraries refuse to send."""
    host, port = server.url.rstrip("/").split(":")
    payload = body.encode()
    lines = [f"{'POST' if body else 'GET'} {target} HTTP/1.1", f"Host: {host}", f"User-Agent: {header}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}", "Connection: close", "", ""]
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall("\r\n".join(lines).encode("utf-8") + payload)
        while connection.recv(65_536):
            pass


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def hostile_requests(server: ServerProcess) -> int:
    """Hostile text in every place of a request; how many requests that were."""
    for text in HOSTILE:
        ask(server, f"/images/{percent(text)}")
        ask(server, f"/images?q={percent(SECRET + text)}")
        ask(server, "/nowhere", header="x\u00e9\u2028" + text.translate(dict.fromkeys([10, 13, 0], " ")))
        ask(server, "/jobs", body=json.dumps({"prompt": SECRET + text, "width": 64, "height": 64}))
        ask(server, "/jobs", body=json.dumps({"prompt": SECRET + text, "seed": "x"}))
        ask(server, "/v1/images/generations", body=json.dumps({"prompt": SECRET + text, "size": "64x64"}))
    return 6 * len(HOSTILE)


@pytest.mark.slow
def test_a_line_a_request_and_nothing_forged(spawn: Spawn) -> None:
    server = spawn(BONSAI_ACCESS_LOG="1")
    probes = 1  # conftest waits until the server answers
    requests = hostile_requests(server)
    lines = server.end().splitlines()
    logged = [line for line in lines if " bonsai.access: " in line]
    assert requests + probes <= len(logged) <= requests + probes + 50  # a busy machine is asked more often
    assert len([line for line in logged if "/health" not in line]) == requests
    assert lines == logged, "nothing else is written"
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert max(map(len, lines)) < 300
    assert SECRET not in "\n".join(lines)
    assert not any("?" in line for line in lines), "no query"


@pytest.mark.slow
def test_nothing_is_written_by_default(spawn: Spawn) -> None:
    server = spawn()
    hostile_requests(server)
    ask(server, "/ HTTP/9.9 no request at all")
    assert server.end() == ""


@pytest.mark.slow
def test_no_prompt_is_written_when_a_picture_fails(spawn: Spawn) -> None:
    server = spawn()
    for word in ("raise", "abort", "exit"):
        ask(server, "/generate", body=json.dumps({"prompt": f"{SECRET} {word}", "width": 64, "height": 64, "steps": 3}))
    assert SECRET not in server.end()


def test_log_lines_cannot_be_forged() -> None:
    for text in ("/a\r\nGET /b", "/\x1b[31mred", "/\u2028", "/\u202e", "/%0d%0a", "/é"):
        cleaned = printable(text)
        assert cleaned.isascii()
        assert cleaned.isprintable()
    assert printable("/images/" + "x" * 500) == "/images/" + "x" * 192


def test_prompts_are_not_remembered(shared: LiveServer) -> None:
    shared.client.get("/images", params={"q": "my secret prompt"})
    requests = shared.app.recent_requests  # type: ignore[attr-defined]
    assert eventually(lambda: any((e.method, e.path, e.status) == ("GET", "/images", 200) for e in list(requests)))
    assert "secret" not in repr(list(requests))


def test_whether_a_page_of_this_server_asked_is_remembered(shared: LiveServer) -> None:
    for site, own in (("same-origin", True), ("none", False), (None, False)):
        headers = {"User-Agent": f"from-{site}"} | ({"Sec-Fetch-Site": site} if site else {})
        shared.client.get("/models", headers=headers)
        entries = shared.client.get("/requests").json()["requests"]
        assert [one["own"] for one in entries if one["client"] == f"from-{site}"] == [own]


def test_the_log_of_requests_is_bounded() -> None:
    async def app(*_arguments: Any) -> None: ...

    recent: deque[Any] = deque(maxlen=3)
    log = RequestLog(app, recent)
    for _ in range(5):
        log._note({"type": "http", "method": "GET", "path": "/", "headers": []}, 200, 0.1)
    assert len(recent) == 3
