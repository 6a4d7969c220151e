"""The one place where pictures are decoded: a child process, for every file that this program did not just draw.

A picture from anywhere can cost a decoder any amount of memory and time, or end it. Here that is the child's: bounded
in pixels, memory, processor time and number at once (decoder_child.py), started when first needed, ended when idle,
and replaced when it is lost. The server itself never imports Pillow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from bonsai_mlx.errors import PictureError
from bonsai_mlx.fileio import open_regular

from ..engine.child_process import command, environment
from ..errors import shutting_down
from .convert import Inspect, Operation
from .decoder_child import HEAD, MAX_FILE_BYTES, receive, send

PROCESSOR_S = 20.0  # for one picture
IDLE_S = 60.0  # after which the child gives its 40 MB back
_WAIT_S = 60.0  # for an answer, a start of the child on a busy machine included
_MAX_RESULT_BYTES = 512 << 20  # the child may have been taken over by what it has decoded
_MAX_REMEMBERED = 1_000
_GIVEN_BACK = "262144"  # from this size on, glibc gives memory back when it is freed: Pillow's is in pieces of 1 MiB

_FAILURES = {
    "unreadable": "the file is no whole PNG, JPEG or WebP picture",
    "too_large": f"the file is larger than {MAX_FILE_BYTES >> 20} MiB",
    "no_memory": "the picture needs more memory than there is for one",
    "too_slow": "the picture takes too long to decode",
    "crashed": "the picture cannot be decoded",
}
_LASTING = ("no_memory", "too_slow", "crashed")  # which cost much to find out, and are the same the next time

_Identity = tuple[int, int, int, int, str]


class Decoder:
    """Use from any event loop: requests are worked on one at a time, by a thread that waits for the child."""

    def __init__(self, processor_s: float = PROCESSOR_S, idle_s: float = IDLE_S) -> None:
        self._limits = (processor_s, idle_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._child: _Child | None = None
        self._refused: OrderedDict[_Identity, PictureError] = OrderedDict()
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._child.process.pid if self._child else None

    async def decode(self, source: Path | bytes, operation: Operation) -> bytes:
        """What the operation makes of a file, or of a file's bytes.

        PictureError says in words for a person what is wrong with the picture; OSError that there is no such file.
        Symbolic links are not followed. ApiError 503 once it is closed, also for what waits then.
        """
        if self._closed:
            raise shutting_down()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._decode, source, operation)

    def inspect(self, source: Path | bytes) -> dict[str, Any]:
        """What `inspection.inspect` finds out about a picture. Blocks; the errors of `decode`."""
        found: dict[str, Any] = json.loads(self._thread.submit(self._decode, source, Inspect()).result())
        return found

    def close(self) -> None:
        self._closed = True
        self._thread.shutdown(wait=False)  # what waits is answered, not cancelled: its callers are still there
        if self._child is not None:
            self._child.end()

    def _decode(self, source: Path | bytes, operation: Operation) -> bytes:
        if self._closed:
            raise shutting_down()
        if isinstance(source, bytes):
            return self._ask(operation, source, None)
        with open_regular(source) as file:
            identity = _identity(file, operation)
            if identity in self._refused:
                raise self._refused[identity]
            try:
                return self._ask(operation, b"", file)
            except PictureError as error:
                if error.reason in _LASTING:
                    self._remember(identity, error)
                raise

    def _remember(self, identity: _Identity, error: PictureError) -> None:
        self._refused[identity] = error
        if len(self._refused) > _MAX_REMEMBERED:
            self._refused.popitem(last=False)

    def _ask(self, operation: Operation, body: bytes, file: IO[bytes] | None) -> bytes:
        """A child that has ended because it had nothing to do is replaced, one that was lost over a picture as well."""
        for _ in range(2):
            child = self._child = self._child or _Child(*self._limits)
            try:
                head, result = child.ask({"operation": type(operation).__name__, **asdict(operation)}, body, file)
            except _ChildEndedError as ended:
                self._child = None
                if self._closed:
                    raise shutting_down() from None
                if ended.idle:
                    continue
                raise PictureError(ended.reason, _FAILURES[ended.reason]) from None
            if "failure" in head:
                raise PictureError(head["failure"], head.get("message") or _FAILURES[head["failure"]])
            return result
        raise PictureError("crashed", _FAILURES["crashed"])


def _identity(file: IO[bytes], operation: Operation) -> _Identity:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, type(operation).__name__


class _ChildEndedError(Exception):
    """The child is gone; `idle`: in good order, before it had seen the request."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.idle = status == 0
        self.reason = "too_slow" if status == -signal.SIGPROF else "crashed"


class _Child:
    """The process and the socket to it."""

    def __init__(self, processor_s: float, idle_s: float) -> None:
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(_WAIT_S)
        with theirs:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [*command("server.gallery.decoder_child"), str(processor_s), str(idle_s)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what a library says of a file is the file's own text
                env=environment(BONSAI_BLAS="none", MALLOC_MMAP_THRESHOLD_=_GIVEN_BACK),
                start_new_session=True,
            )

    def ask(self, request: dict[str, Any], body: bytes, file: IO[bytes] | None) -> tuple[dict[str, Any], bytes]:
        """Head and body of the answer; _ChildEndedError when there is none, and then the child is no more."""
        try:
            send(self._connection, request, body, file)
            head_bytes, body_bytes = HEAD.unpack(receive(self._connection, HEAD.size))
            if head_bytes + body_bytes > _MAX_RESULT_BYTES:
                raise _ChildEndedError(self.end())
            return json.loads(receive(self._connection, head_bytes)), receive(self._connection, body_bytes)
        except TimeoutError:
            self.end()
            raise _ChildEndedError(-signal.SIGPROF) from None
        except (EOFError, OSError, ValueError):
            raise _ChildEndedError(self.end()) from None

    def end(self) -> int:
        self._connection.close()  # upon which it ends by itself, unless it is at work
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(0.5)
        self.process.kill()
        return self.process.wait()
