"""One connection of HTTP/1.1: uvicorn's own, but the head of a request has to arrive in a bounded time.

Without that, a few hundred connections that say nothing take every place there is, for as long as they like. Bodies
have a deadline of their own (security.py). Knows nothing of the application.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0
READ_BYTES = 4 << 10
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """Ends when a head has not arrived completely `HEAD_TIMEOUT_S` after the connection or its first byte."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # of asyncio's 256 KiB at a time: h11 takes a second for that much in chunks of one byte, and others wait
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._head_arrived()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _head_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:  # a browser that only keeps a connection ready expects no words
            self.transport.write(_TOO_SLOW)
        self.transport.close()
