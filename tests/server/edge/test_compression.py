"""Long pages and lists come compressed to whoever takes them so, and are the same."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from server.edge.compression import Compression
from tests.server.conftest import LiveServer

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize("path", ["/", "/gallery", "/model-manager", "/preferences", "/connect", "/docs", "/models"])
def test_a_long_answer_is_compressed_for_whoever_takes_it_so(shared: LiveServer, path: str) -> None:
    plain, packed = (shared.client.get(path, headers=headers) for headers in (PLAIN, GZIP))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert len(packed.content) == len(plain.content)
    assert "Accept-Encoding" in plain.headers["vary"]
    assert "Accept-Encoding" in packed.headers["vary"]


ASKED = {
    "gzip": True,
    "br, GZIP": True,
    "deflate, gzip;q=1.0, *;q=0.5": True,
    "gzip; q=0.001": True,
    "x-gzip": True,
    "*": True,
    "*;q=0, gzip": True,
    "identity;q=0.5, gzip": True,
    "": False,
    "br": False,
    "gzip;q=0": False,
    "gzip ; Q=0.000, br": False,
    "*;q=0": False,
    "*, gzip;q=0": False,
    "identity, gzip;q=0.5": False,
    "notgzip": False,
    "gzip;q=no": False,
    "gzip;q=-1": False,
    "gzip;level=9;q=1": False,
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("path", ["/preferences", "/static/js/studio/composer.js", "/static/css/base+controls.css"])
def test_gzip_comes_where_it_is_taken_and_nowhere_else(shared: LiveServer, path: str, asked: str) -> None:
    answer = shared.client.get(path, headers={"Accept-Encoding": asked})
    assert answer.status_code == 200
    assert (answer.headers.get("content-encoding") == "gzip") == ASKED[asked]
    assert "Accept-Encoding" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/preferences", "/static/js/studio/composer.js"])
def test_what_is_asked_for_in_two_lines_counts_as_one(shared: LiveServer, path: str) -> None:
    lines = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert shared.client.get(path, headers=lines).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/health", "/static/favicon.png"])
def test_what_is_short_or_a_picture_is_not(shared: LiveServer, path: str) -> None:
    assert "content-encoding" not in shared.client.get(path, headers=GZIP).headers


def answered(*bodies: Message, scope: dict[str, Any] | None = None, **headers: str) -> list[Message]:
    """What is sent of an application's answer in these messages."""
    sent: list[Message] = []
    named = {"content-type": "text/html", "content-length": str(sum(len(one["body"]) for one in bodies))} | headers

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for body in bodies:
            await send({"type": "http.response.body", **body})

    async def receive() -> Message:
        raise AssertionError("nothing is asked of the caller")

    async def send(message: Message) -> None:
        sent.append(message)

    asked = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"br, gzip")]} | (scope or {})
    asyncio.run(Compression(app)(asked, receive, send))
    return sent


def test_a_whole_answer_is_sent_with_its_new_length() -> None:
    start, body = answered({"body": b"a" * 5000})
    headers = dict(start["headers"])
    assert gzip.decompress(body["body"]) == b"a" * 5000
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert headers[b"content-encoding"] == b"gzip"


def test_an_answer_in_parts_is_left_alone() -> None:
    start, *bodies = answered({"body": b"a" * 3000, "more_body": True}, {"body": b"b" * 3000})
    assert [one["body"] for one in bodies] == [b"a" * 3000, b"b" * 3000]
    assert b"content-encoding" not in dict(start["headers"])


@pytest.mark.parametrize("asked", [{"method": "POST"}, {"type": "websocket"}, {"headers": []}])
def test_other_requests_get_it_as_it_is(asked: dict[str, Any]) -> None:
    start, body = answered({"body": b"a" * 5000}, scope=asked)
    assert body["body"] == b"a" * 5000
    assert b"content-encoding" not in dict(start["headers"])


def test_what_is_compressed_already_is_not_compressed_again() -> None:
    assert answered({"body": b"a" * 5000}, content_encoding="gzip")[1]["body"] == b"a" * 5000
