"""The server in a process of its own, with a clock in its event loop that notes how late it is woken."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from server.__main__ import Server, configure, listen
from server.app import create_app
from server.settings import Settings

EVERY_S = 0.01


@dataclass
class Probed:
    """Where the server is, and, once it has ended, by how many milliseconds its loop was late each time."""

    url: str
    late_ms: list[float] = field(default_factory=list)


@contextmanager
def probed_server(options: dict[str, Any]) -> Iterator[Probed]:
    """A server with these settings."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(options, theirs))
    process.start()
    try:
        probed = Probed(f"http://127.0.0.1:{ours.recv()}")
        yield probed
        ours.send("end")
        probed.late_ms += ours.recv()
        process.join(10)
    finally:
        process.kill()
        process.join()


def _serve(options: dict[str, Any], connection: Connection) -> None:
    settings = Settings(**options)
    listener = listen(settings.host, 0)
    app = create_app(settings)
    server = Server(configure(app), app.state.studio)

    async def main() -> None:
        late_ms: list[float] = []
        clock = asyncio.create_task(_note_lateness(late_ms))
        asyncio.get_running_loop().add_reader(connection.fileno(), _end, server)
        connection.send(listener.getsockname()[1])
        await server.serve(sockets=[listener])
        clock.cancel()
        connection.send(late_ms)

    asyncio.run(main())


def _end(server: Server) -> None:
    server.should_exit = True


async def _note_lateness(late_ms: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        late_ms.append(1e3 * (loop.time() - due))
