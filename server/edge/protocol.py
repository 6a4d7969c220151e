"""One connection of HTTP/1.1: uvicorn's own, but whatever nobody reads has to arrive in a bounded time.

That is the head of a request, and what is left of a body after its answer, such as that to a wrong token. Otherwise a
few hundred connections that say next to nothing take every place there is, for as long as they like. Bodies that
are read have a deadline of their own (security.py). Knows nothing of the application.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

UNREAD_TIMEOUT_S = 10.0
READ_BYTES = 4 << 10
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """Ends when a head has not arrived completely `UNREAD_TIMEOUT_S` after the connection or its first byte, or when an
    answered body has not `UNREAD_TIMEOUT_S` after the answer."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # of asyncio's 256 KiB at a time: h11 takes a second for that much in chunks of one byte, and others wait
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answered:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    @property
    def _answered(self) -> bool:
        """Whether the answer is out while its request still arrives: every byte of that puts uvicorn's own end off."""
        return self.conn.our_state is h11.DONE

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE and not self._answered:
            self._arrived()
        elif self._deadline is None:  # no later byte moves it
            self._deadline = self.loop.call_later(UNREAD_TIMEOUT_S, self._give_up)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        # a browser that only keeps a connection ready expects no words, and one answer is enough
        if self.conn.trailing_data[0] and not self._answered:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
