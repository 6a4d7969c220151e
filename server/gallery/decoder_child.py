"""The process that decodes pictures for the server: one request after the other, each within bounds of its own.

Requests and answers go over the socket that is this process's standard input, as a head in JSON and bytes: a request
carries the picture, or an open file that is sent along. It sees no folder, writes no file, and ends by itself when the
server is gone, when a picture takes too much processor time, and when there has been nothing to do for a while.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from typing import IO, Any

from bonsai_mlx.errors import PictureError

from ..engine.child_process import leave_signals_to_server
from .convert import OPERATIONS, TooManyPixelsError, perform

HEAD = struct.Struct(">II")  # bytes of the JSON, bytes of what follows it
MAX_FILE_BYTES = 64 << 20
MAX_MEMORY_BYTES = 1_200 << 20  # of addresses; macOS does not hold a process to it, the bound on pixels does


def receive(connection: socket.socket, count: int) -> bytes:
    received = bytearray(count)
    view, position = memoryview(received), 0
    while position < count:
        got = connection.recv_into(view[position:])
        if got == 0:
            raise EOFError
        position += got
    return bytes(received)


def send(connection: socket.socket, head: Mapping[str, Any], body: bytes, file: IO[bytes] | None = None) -> None:
    """A message; an open file travels beside its head."""
    text = json.dumps(head).encode()
    first = HEAD.pack(len(text), len(body)) + text
    sent = socket.send_fds(connection, [first], [file.fileno()]) if file else 0
    connection.sendall(first[sent:])
    connection.sendall(body)


def _next_request(connection: socket.socket) -> tuple[dict[str, Any], IO[bytes]]:
    start, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, 1)
    if not start:
        raise EOFError
    start += receive(connection, HEAD.size - len(start))
    head_bytes, body_bytes = HEAD.unpack(start)
    head = json.loads(receive(connection, head_bytes))
    body = receive(connection, body_bytes)
    return head, os.fdopen(descriptors[0], "rb") if descriptors else io.BytesIO(body)


def _answer(head: dict[str, Any], file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    operation = OPERATIONS[head.pop("operation")](**head)
    try:
        if file.seek(0, os.SEEK_END) > MAX_FILE_BYTES:
            return {"failure": "too_large"}, b""
        file.seek(0)
        return {}, perform(file, operation)
    except TooManyPixelsError as error:
        return {"failure": "too_many_pixels", "message": str(error)}, b""
    except PictureError as error:  # in words of ours
        return {"failure": error.reason, "message": str(error)}, b""
    except MemoryError:
        return {"failure": "no_memory"}, b""
    except Exception as error:  # whatever a decoder says of a hostile file: by its name, its text may be the file's own
        return {"failure": "unreadable", "kind": type(error).__name__}, b""


def _limit(processor_s: float | None) -> None:
    """From now on, the process is ended after so many seconds of work, wherever it is, in a library in C as well."""
    signal.setitimer(signal.ITIMER_PROF, processor_s or 0.0)


def _load_decoders() -> None:
    """Before the first picture, whose own time is measured. Here, because the server imports this module as well."""
    from PIL import ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    from bonsai_mlx.editing import normalise  # noqa: F401

    from . import inspection  # noqa: F401

    gc.collect()
    gc.freeze()  # what is there now stays: to look through it after each picture took 20 times as long as a small one


def _prepare() -> None:
    leave_signals_to_server()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    if sys.platform == "linux":
        os.nice(5)


def main() -> None:
    """`python -m server.gallery.decoder_child PROCESSOR_S IDLE_S`, started by the server only."""
    processor_s, idle_s = float(sys.argv[1]), float(sys.argv[2])
    _prepare()
    _load_decoders()
    connection = socket.socket(fileno=0)
    while True:
        connection.settimeout(idle_s)
        try:
            head, file = _next_request(connection)
        except (EOFError, TimeoutError):
            return
        connection.settimeout(None)
        with file:
            _limit(processor_s)
            answer = _answer(head, file)
            gc.collect()  # Pillow's objects know each other; a decoded picture is up to 160 MiB
            _limit(None)
        send(connection, *answer)


if __name__ == "__main__":
    main()
