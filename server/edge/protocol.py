"""One connection of HTTP/1.1: uvicorn's own, with a deadline for what nobody reads, on either side.

uvicorn has settings for an idle connection (`timeout_keep_alive`) and for the length of a head, and none for how long
a head, the rest of a refused body, or an answer may take. Without such deadlines a few hundred callers that say next to
nothing, or that never read, take every place there is, for as long as they like and without the token. So this class
overrides the callbacks of asyncio's protocol, and needs of uvicorn's internals the two states of h11 alone. Bodies that
are read have a deadline of their own (security.py). Knows nothing of the application.
"""

from __future__ import annotations

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

UNREAD_TIMEOUT_S = 10.0
LEAVING_TIMEOUT_S, LEAVING_BYTES = 30.0, 16 << 10  # so much of an answer has to leave in so much time, or all of it
READ_BYTES = 4 << 10  # of asyncio's 256 KiB at a time: h11 takes a second for that much in chunks of one byte
DECLARED_BYTES = 64 << 10  # of a body whose length was said, which h11 hands on as it comes
SENT_BYTES = 128 << 10  # what the system keeps of what was sent: of its megabytes nobody would see a part leave
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """Ends when a head has not arrived completely `UNREAD_TIMEOUT_S` after the connection or its first byte, when an
    answered body has not `UNREAD_TIMEOUT_S` after the answer, or when the caller does not take its answers.

    Holds one piece of one answer at most: the next is asked for when that has left.
    """

    _deadline: asyncio.TimerHandle | None = None
    _leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        transport.set_write_buffer_limits(high=0)  # writing pauses as soon as anything waits, which is what is watched
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.max_size = DECLARED_BYTES if self._is_declared else READ_BYTES  # type: ignore[attr-defined]
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answered:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        self._left()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_leaving()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._left()

    def _watch_leaving(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._leaving = self.loop.call_later(LEAVING_TIMEOUT_S, self._check_leaving, waiting)

    def _check_leaving(self, before: int) -> None:
        """Also of a connection that is being closed, which otherwise waits for its caller to take the rest."""
        if self.transport.get_write_buffer_size() > before - LEAVING_BYTES:
            self.transport.abort()
        else:
            self._watch_leaving()

    def _left(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    @property
    def _is_declared(self) -> bool:
        """Whether a body arrives that is not in chunks."""
        return self.conn.their_state is h11.SEND_BODY and all(name != b"transfer-encoding" for name, _ in self.headers)

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
