"""A limit of concurrent requests: a crowd is worked on a few at a time, so that it keeps nobody else waiting.

One event loop does everything, in the order in which it arrives: hundreds of requests for pictures in the same moment
would all be worked on before the page that is opened a little later. Here they wait until the ones before them have
been answered, and whatever is not such a request passes by. Pure ASGI; knows nothing of queues or limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ConcurrencyLimit:
    """At most `at_once` POSTs to these paths are worked on; for paths whose answers wait for nothing.

    Nobody is worked on while his body is still to come: a caller that sends slowly takes no place from others.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str], at_once: int = 2) -> None:
        self.app = app
        self.paths = paths
        self._places = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self.paths:
            await self.app(scope, receive, send)
            return
        outside = False

        async def receive_outside() -> Message:
            nonlocal outside
            self._places.release()
            outside = True
            message = await receive()
            await self._places.acquire()
            outside = False
            return message

        await self._places.acquire()
        try:
            await self.app(scope, receive_outside, send)
        finally:
            if not outside:  # an exception from `receive` leaves nothing to give back
                self._places.release()
