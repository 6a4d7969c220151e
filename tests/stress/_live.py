"""A server in this process whose children cannot reach anything but this computer, and raw requests to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.settings import Settings
from tests.server.conftest import QUICK, LiveServer

from ._world import NO_BLAS, environment

_CLOSED_PORT = "http://127.0.0.1:9"  # downloads end there at once


@contextmanager
def live_server(folder: Path, **options: Any) -> Iterator[LiveServer]:
    """The fake engine behind a real socket, in a thread of this process."""
    settings = Settings(**(QUICK | {"output": folder / "out", "models_dir": folder / "models"} | options))
    with environment(HF_ENDPOINT=_CLOSED_PORT, **NO_BLAS), LiveServer(settings) as server:
        yield server


def answer_to(port: int, request: bytes, timeout_s: float = 10.0) -> bytes:
    """Everything that comes back for these bytes until the connection ends; b"" for no answer at all."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        try:
            connection.sendall(request)
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionError:  # refused while still sending: what was answered before counts
            pass
    return received


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 when there was none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/1.1 ") and len(words) > 2 else 0
