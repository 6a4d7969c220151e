"""Server-sent events: one hub that numbers, remembers and hands out what happens.

Ids grow from the milliseconds of the start, so an id of an earlier life of the server is older than anything
remembered and the listener is told to start over (`reset`). Frequent figures (memory) are not worth replaying and are
not remembered. Knows nothing of what the events mean.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from .errors import ApiError, shutting_down

PING_S = 15.0
_BACKLOG = 1_024  # events a listener may lag behind before it is dropped; it reconnects and replays
_BACKLOG_BYTES = 8 << 20  # of these events, beside its hello


def encode(event: str, data: Any, event_id: int | None = None) -> bytes:
    number = None if event_id is None else str(event_id)
    return format_sse_event(event=event, data_str=json.dumps(data, separators=(",", ":")), id=number)


@dataclass(eq=False)
class Listener:
    """One open connection. `None` in the queue ends it."""

    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_BACKLOG))
    waiting_bytes: int = 0  # of what has been offered and not taken

    def offer(self, chunk: bytes | None) -> bool:
        size = len(chunk or b"")
        if self.waiting_bytes and self.waiting_bytes + size > _BACKLOG_BYTES:
            return False
        try:
            self.queue.put_nowait(chunk)
        except asyncio.QueueFull:
            return False
        self.waiting_bytes += size
        return True

    def end(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    async def stream(self) -> AsyncIterator[bytes]:
        """What to send, a comment when nothing happened for a while; ends when the hub says so."""
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    chunk = await self.queue.get()
                    self.waiting_bytes -= len(chunk or b"")
            except TimeoutError:
                chunk = KEEPALIVE_COMMENT
            if chunk is None:
                return
            yield chunk


class EventHub:
    """Publish from the event loop only; any number of times a second, to a bounded number of listeners."""

    def __init__(self, history: int, max_listeners: int, history_bytes: int = 4 << 20) -> None:
        self._last_id = int(time.time() * 1_000)
        self._first_id = self._last_id + 1  # ids before this one belong to an earlier life of the server
        self._history: deque[tuple[int, bytes]] = deque()
        self._most, self._most_bytes, self._bytes = history, history_bytes, 0
        self._listeners: set[Listener] = set()
        self._max_listeners = max_listeners
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def last_id(self) -> int:
        return self._last_id

    def publish(self, event: str, data: Any, *, replay: bool = True) -> None:
        """Send to every listener; with `replay`, also to those that reconnect later."""
        self._last_id += 1
        chunk = encode(event, data, self._last_id)
        if replay:
            self._remember(chunk)
        for listener in tuple(self._listeners):
            self._offer(listener, chunk)

    def _remember(self, chunk: bytes) -> None:
        self._history.append((self._last_id, chunk))
        self._bytes += len(chunk)
        while len(self._history) > self._most or self._bytes > self._most_bytes:
            event_id, forgotten = self._history.popleft()
            self._bytes -= len(forgotten)
            self._first_id = event_id + 1

    def _offer(self, listener: Listener, chunk: bytes | None) -> None:
        if not listener.offer(chunk):
            self._listeners.discard(listener)
            listener.end()

    def subscribe(self, hello: Any, last_event_id: int | None) -> Listener:
        """A listener that first gets `hello`, then what it missed since `last_event_id` (or `reset`), then the rest.

        A reconnecting listener's hello carries no id: should the connection break during the replay, the browser
        still asks for everything that it has not seen.
        """
        if self._closed:
            raise shutting_down()
        if len(self._listeners) >= self._max_listeners:
            raise ApiError(429, "queue_full", "Too many pages are listening; close one.", retry_after_s=5)
        listener = Listener()
        listener.queue.put_nowait(encode("hello", hello, self._last_id if last_event_id is None else None))
        if last_event_id is not None:
            for chunk in self._missed(last_event_id):
                self._offer(listener, chunk)
        self._listeners.add(listener)
        return listener

    def _missed(self, last_event_id: int) -> list[bytes]:
        if last_event_id + 1 < self._first_id or last_event_id > self._last_id:
            return [encode("reset", {}, self._last_id)]
        missed = [chunk for event_id, chunk in self._history if event_id > last_event_id]
        return missed if len(missed) < _BACKLOG - 1 else [encode("reset", {}, self._last_id)]

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        self._closed = True
        for listener in tuple(self._listeners):
            self._offer(listener, None)
        self._listeners.clear()
