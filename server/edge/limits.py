"""How large a body may be, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ErrorDetail, refusal

SLOWEST_BYTES_S = 128 << 10  # a phone's photo over a poor Wi-Fi comes at this pace and is waited for
_DISCARDED_BYTES, _DISCARD_S = 16 << 20, 0.5


class BodyLimit:
    """A bounded body that arrives in a bounded time: `timeout_s`, and more as it arrives at a steady pace.

    `larger` maps the few paths that accept more than `max_bytes` to their limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.max_bytes)
        if _declared_length(Headers(scope=scope)) > limit:
            message = f"The body is larger than the {limit} bytes that this address accepts."
            response = refusal(
                scope, 413, ErrorDetail(code="too_large", message=message, remedy="Send less at a time.")
            )
            await _discard(receive)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self.app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        begun, received, complete = time.monotonic(), 0, False

        async def receive_within_limits() -> Message:
            nonlocal received, complete
            if complete:  # from here on only the end of the connection is waited for
                return await receive()
            allowed = self.timeout_s + received / SLOWEST_BYTES_S
            try:
                async with asyncio.timeout(max(0.0, begun + allowed - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                if not complete:
                    await _discard(receive)
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        return receive_within_limits


async def _discard(receive: Receive) -> None:
    """Read on for a moment without keeping anything: an answer to a caller that still sends would often be lost."""
    left = _DISCARDED_BYTES
    try:
        async with asyncio.timeout(_DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _declared_length(headers: Headers) -> int:
    value = headers.get("content-length", "0")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0
