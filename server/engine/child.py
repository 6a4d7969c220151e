"""The child process that draws: reads commands, runs the engine, writes events. The only place where MLX is imported.

Commands come on stdin, whose end means that the server is gone, and then this process ends at once; events go to stdout
(protocol.py). All tensor work happens on the main thread, because MLX's arrays and streams belong to the thread that
made them; a second thread reads commands, so that a cancel is seen between two steps, and a third one reports memory,
which is also the heartbeat.

Finished pictures are encoded here, with their recipes and thumbnails, and go to the server as bytes: this process needs
no disk but the one with the checkpoints.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgspec
import psutil

from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import encode_coded
from bonsai_mlx.images.recipe import timestamp
from bonsai_mlx.pipelines.chains import with_chain
from bonsai_mlx.request import from_json
from bonsai_mlx.result import Event

from .answers import failure, finished_picture, quick_png
from .backend import EngineBackend, EnginePipeline
from .child_process import leave_signals_to_server
from .pictures import opened_pictures
from .protocol import (
    Cancel,
    Cancelled,
    Coded,
    Decode,
    Done,
    Encode,
    Memory,
    Progress,
    Ready,
    Run,
    Work,
    Write,
    Written,
    framed,
    next_command,
)
from .protocol import Event as Message

if TYPE_CHECKING:
    from bonsai_mlx.writing.writer import Piece

SAMPLE_BUSY_S = 0.2
LAYER_PERIOD_S = 0.05  # between two reports of layers; each costs the server a moment of a core that draws
SAMPLE_IDLE_S = 1.0


class Channel:
    """Events out, whole ones only, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """ProtocolError for one that is too long."""
        data = framed(message)
        with self._lock:
            self._stream.write(data)
            self._stream.flush()


class Inbox:
    """Commands in. Cancelling is noted the moment it arrives, whatever the main thread is doing."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._runs: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._cancelled: set[str] = set()

    def read_forever(self) -> None:
        """Ends the whole process when the server is gone or not understood, even in the middle of a step."""
        try:
            while command := next_command(self._stream):
                if isinstance(command, Cancel):
                    self._cancelled.add(command.job)
                else:
                    self._runs.put(command)
        finally:
            end_process(0)

    def next_run(self) -> Work:
        return self._runs.get()

    def cancelled(self, job: str) -> bool:
        return job in self._cancelled

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)


class Engine:
    """The model that is loaded and the picture that is being drawn; one of each at most."""

    def __init__(self, backend: EngineBackend, channel: Channel, inbox: Inbox) -> None:
        self._backend = backend
        self._channel = channel
        self._inbox = inbox
        self._pipeline: EnginePipeline | None = None
        self._loaded: tuple[str, int | None, Mapping[str, str]] | None = None
        self._embeddings: Any = None
        self._reported: tuple[str, float] = ("", 0.0)  # phase and time of the last report
        self.busy = threading.Event()

    def run(self, command: Work) -> None:
        job = command.job
        self.busy.set()
        try:
            if not self._carried_out(command):
                self._channel.send(Cancelled(job))
        except Exception as error:
            traceback.print_exc()  # to the server's log; the client gets words of ours
            self._channel.send(failure(job, error))
        finally:
            self._inbox.forget(job)
            self.busy.clear()
        self._channel.send(Memory(**self._backend.snapshot(), settled=command.checkpoint.model))

    def _carried_out(self, command: Work) -> bool:
        """False if it was cancelled."""
        match command:
            case Write():
                return self._write(command)
            case Run():
                return self._draw(command)
            case Encode() | Decode():
                return self._code(command)

    def _draw(self, command: Run) -> bool:
        """True once the picture is sent and told to be all; False if the run was cancelled."""
        started, job = time.perf_counter(), command.job
        if self._inbox.cancelled(job):
            return False
        self._channel.send(Progress(job, "load", 0, 1))
        request = from_json(command.request)
        pictures = opened_pictures(command.pictures)
        upscaler = Path(os.fsdecode(command.upscaler)) if command.upscaler else None
        parts = {name: os.fsdecode(place) for name, place in command.parts.items()}
        pipeline = self._ensure_loaded(os.fsdecode(command.path), command.memory_limit_bytes, parts)
        loaded_s = time.perf_counter() - started
        adapters = {name: Path(os.fsdecode(path)) for name, path in command.adapters.items()}
        run = pipeline.run(request, pictures=pictures, adapters=adapters, preview=command.preview, upscaler=upscaler)
        with contextlib.closing(run) as events:
            for event in events:
                if event.result is not None:
                    # the server knows the checkpoint by its name, the engine by the folder that it was loaded from
                    names = msgspec.structs.asdict(command.checkpoint)
                    recipe = replace(pipeline.recipe(event.result), created_at=timestamp(), **names)
                    recipe = with_chain(recipe, command.chain)
                    self._channel.send(finished_picture(job, recipe, event.result, loaded_s))
                    self._channel.send(Done(job))  # closing frees memory, which nobody has to wait for
                    return True
                if self._inbox.cancelled(job):
                    break
                self._report(job, event)
        return False

    def _write(self, command: Write) -> bool:
        """True once every text is sent; False if it was cancelled. What it takes is given back in any case."""
        job, limit = command.job, command.memory_limit_bytes
        if self._inbox.cancelled(job):
            return False
        self._channel.send(Progress(job, "load", 0, 1))
        writer, needed = self._backend.writer(os.fsdecode(command.path), memory_limit_bytes=limit)
        self._make_room(needed, limit)
        try:
            with contextlib.closing(writer.write(command.prompt, seed=command.seed, count=command.count)) as pieces:
                for piece in pieces:
                    if self._inbox.cancelled(job):
                        return False
                    self._tell(job, piece)
            self._channel.send(Done(job))
            return True
        finally:
            writer.close()

    def _code(self, command: Encode | Decode) -> bool:
        """True once the code, or its picture, is sent; its work is too short to be stopped."""
        if self._inbox.cancelled(command.job):
            return False
        self._channel.send(Progress(command.job, "load", 0, 1))
        codec = self._backend.codec(os.fsdecode(command.path))
        if isinstance(command, Encode):
            digest, path = command.picture
            code, png = codec.encode(opened_pictures({digest: path})[digest], command.size), None
        else:
            code = BitCode.of_text(command.code)
            png = encode_coded(codec.decode(code), code.as_text())
        self._channel.send(Coded(command.job, code.as_text(), code.width, code.height, png))
        self._channel.send(Done(command.job))
        return True

    def _tell(self, job: str, piece: Piece) -> None:
        kept = piece.kept
        if kept is not None:
            self._channel.send(Written(job, piece.proposal, piece.text, True, kept.missing, kept.sentence))
        elif piece.text:
            self._channel.send(Written(job, piece.proposal, piece.text))
        else:
            self._channel.send(Progress(job, "load", 0, 1))

    def _make_room(self, needed: int, limit: int | None) -> None:
        """Let go of the model that draws where the writer does not fit beside it."""
        held = self._backend.snapshot()["mlx_active_bytes"]
        room = psutil.virtual_memory().available if limit is None else limit - held
        if self._pipeline is not None and needed > room:
            self._embeddings = self._pipeline.embeddings
            self._pipeline.unload()
            self._pipeline, self._loaded = None, None

    def _ensure_loaded(self, path: str, limit: int | None, parts: Mapping[str, str]) -> EnginePipeline:
        """Only one transformer is ever resident; the embeddings of prompts outlive it, for comparisons."""
        if self._pipeline is not None and self._loaded == (path, limit, parts):
            return self._pipeline
        if self._pipeline is not None:
            self._embeddings = self._pipeline.embeddings
            self._pipeline.unload()
            self._pipeline, self._loaded = None, None
        self._pipeline = self._backend.load(path, memory_limit_bytes=limit, embeddings=self._embeddings, parts=parts)
        self._loaded = (path, limit, parts)
        return self._pipeline

    def _report(self, job: str, event: Event) -> None:
        phase, at = self._reported
        now = time.monotonic()
        if event.phase == phase != "denoise" and now - at < LAYER_PERIOD_S:
            return
        self._reported = event.phase, now
        if event.phase != "done":
            preview = quick_png(event.preview) if event.preview else None
            bits = quick_png(event.bits) if event.bits else None
            self._channel.send(Progress(job, event.phase, event.step, event.steps, event.truncated, preview, bits))


def report_memory(engine: Engine, backend: EngineBackend, channel: Channel) -> None:
    """Send the figures for ever: often while drawing, now and then otherwise."""
    while True:
        channel.send(Memory(settled=None, **backend.snapshot()))
        if engine.busy.is_set():
            time.sleep(SAMPLE_BUSY_S)
        else:
            engine.busy.wait(SAMPLE_IDLE_S)


def _private_stdout() -> IO[bytes]:
    """The pipe to the server for our events alone; whatever else prints goes to the log."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def die_with_parent() -> None:
    """Linux: also when this process is stopped or stuck and cannot see its input end."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


_NICE = 5  # a third of the weight of another program: with less, a busy machine gives a picture next to nothing


def _be_considerate() -> None:
    """Without a GPU the engine takes every core; the server, which only ever needs a moment, goes first."""
    if sys.platform == "linux":
        os.nice(_NICE)
        with contextlib.suppress(OSError):  # a session of its own is weighed as a whole where the kernel groups by them
            Path("/proc/self/autogroup").write_text(str(_NICE))


def main() -> None:
    """`python -m server.engine.child MODULE:CALLABLE`, started by the server only."""
    leave_signals_to_server()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an abort with gigabytes loaded must not fill the disk
    die_with_parent()
    _be_considerate()
    channel = Channel(_private_stdout())
    inbox = Inbox(sys.stdin.buffer)
    threading.Thread(target=inbox.read_forever, daemon=True).start()
    module, _, name = sys.argv[1].partition(":")
    backend: EngineBackend = getattr(importlib.import_module(module), name)()
    engine = Engine(backend, channel, inbox)
    channel.send(Ready(backend.device()))
    threading.Thread(target=report_memory, args=(engine, backend, channel), daemon=True).start()
    while True:
        engine.run(inbox.next_run())


def end_process(status: int) -> NoReturn:
    """Exit without the interpreter's own end, which aborts while a thread waits for input."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        end_process(1)
