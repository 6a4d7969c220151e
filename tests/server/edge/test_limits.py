"""Bodies that are too large or too slow, seen from inside: what is read, and what is not waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from server.edge import limits
from server.edge.limits import BodyLimit


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body", False):
        pass


def asked(pieces: list[bytes], *, ends: bool, max_bytes: int) -> int:
    """The status that a body is refused with, 200 if it is not. How many pieces were taken is in `pieces`."""
    headers: list[Any] = [(b"host", b"localhost")]

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(60)
        part = pieces.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(pieces) or not ends}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    try:
        asyncio.run(BodyLimit(read_all, max_bytes, 5.0)(scope, receive, send))
    except HTTPException as refused:
        return refused.status_code
    return 200


@pytest.mark.parametrize(
    ("pieces", "ends", "status", "left"),
    [
        ([b"x" * 10], True, 200, 0),
        ([b"x" * 11], True, 413, 0),
        ([b"x" * 11, b"x" * 5, b"x"], True, 413, 0),
        ([b"x" * 11, b"x" * 30, b"x" * 30, b"x" * 30], False, 413, 1),
        ([b"x" * 11, b"x"], False, 413, 0),
    ],
)
def test_the_rest_of_what_is_too_large_is_read_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], ends: bool, status: int, left: int
) -> None:
    monkeypatch.setattr(limits, "_DISCARDED_BYTES", 50)
    monkeypatch.setattr(limits, "_DISCARD_S", 0.05)
    assert asked(pieces, ends=ends, max_bytes=10) == status
    assert len(pieces) == left


@pytest.mark.parametrize(("piece", "status"), [(limits.SLOWEST_BYTES_S // 4, 200), (1, 408)])
def test_what_arrives_slowly_and_steadily_is_waited_for(piece: int, status: int) -> None:
    """Each piece takes half of the time that a body of nothing would have."""
    pieces = [b"x" * piece] * 5

    async def receive() -> Message:
        await asyncio.sleep(0.1)
        pieces.pop()
        return {"type": "http.request", "body": b"x" * piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    try:
        asyncio.run(BodyLimit(read_all, 1 << 20, 0.2)(scope, receive, send))
        found = 200
    except HTTPException as refused:
        found = refused.status_code
    assert found == status
