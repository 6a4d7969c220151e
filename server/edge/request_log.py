"""Which requests came: a line each in the log, and the last few for the Connect page."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import NamedTuple
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

access_log = logging.getLogger("bonsai.access")

_UNLISTED = frozenset({"/requests"})  # the list of recent requests must not fill itself


class LoggedRequest(NamedTuple):
    """What is remembered of a request: no query, no body, so no prompt and no token."""

    at: float  # unix time
    method: str
    path: str
    status: int
    seconds: float
    client: str  # the program that called, as it names itself
    own: bool = False  # a page of this server did, as browsers say


class RequestLog:
    """One line a request without control characters, and the last few for the Connect page."""

    def __init__(self, app: ASGIApp, recent: deque[LoggedRequest]) -> None:
        self.app = app
        self.recent = recent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            self._note(scope, status or 499, time.perf_counter() - started)  # 499: the caller left before an answer

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        headers = Headers(scope=scope)
        client, own = printable(headers.get("user-agent", ""), 80), headers.get("sec-fetch-site") == "same-origin"
        path = printable(scope["path"])
        entry = LoggedRequest(time.time(), scope["method"][:10], path, status, seconds, client, own)
        if scope["path"] not in _UNLISTED:
            self.recent.append(entry)
        access_log.info("%s %s %d %.3fs", entry.method, entry.path, entry.status, entry.seconds)


def printable(text: str, limit: int = 200) -> str:
    """`text` percent-encoded wherever it is not plain ASCII, so that it cannot forge or colour a log line."""
    return quote(text[:limit], safe="/:;,()[]@!$&'*+=~ .-_")
