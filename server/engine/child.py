"""The child process that draws: reads commands, runs the engine, writes events. The only place where MLX is imported.

One line of JSON each way. Commands on stdin: `run`, `cancel`; its end means that the server is gone, and then this
process ends at once. Events on stdout: `ready`, `memory` (also the heartbeat), `progress`, `done`, `error`,
`cancelled`. All tensor work happens on the main thread, because MLX's arrays and streams belong to the thread that made
them; a second thread reads commands, so that a cancel is seen between two steps, and a third one reports memory.

Finished pictures are encoded, saved and given a thumbnail here, so that the server never waits for any of it.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import importlib
import io
import json
import os
import queue
import resource
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol

from bonsai_mlx import prepare
from bonsai_mlx.errors import BonsaiError, CheckpointError, DeviceError, OutOfMemory, RequestError
from bonsai_mlx.request import GenerationRequest
from bonsai_mlx.result import Event, GenerationResult

from .process import leave_signals_to_server

if TYPE_CHECKING:
    from bonsai_mlx.images.metadata import Recipe

SAMPLE_BUSY_S = 0.2
LAYER_PERIOD_S = 0.05  # between two reports of layers; each costs the server a moment of a core that draws
SAMPLE_IDLE_S = 1.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class EnginePipeline(Protocol):
    """What is needed of a loaded model; `bonsai_mlx.Pipeline` is one."""

    @property
    def embeddings(self) -> Any: ...
    def run(self, request: GenerationRequest, *, preview: bool = False) -> Generator[Event, None, None]: ...
    def unload(self) -> None: ...
    def recipe(self, result: GenerationResult) -> Recipe: ...


class EngineBackend(Protocol):
    """Where models come from; tests bring one of their own."""

    def load(self, path: str, *, memory_limit_bytes: int | None, embeddings: Any) -> EnginePipeline: ...
    def snapshot(self) -> Mapping[str, int]: ...
    def device(self) -> str: ...


class _MlxBackend:
    def load(self, path: str, *, memory_limit_bytes: int | None, embeddings: Any) -> EnginePipeline:
        from bonsai_mlx import Pipeline

        # as a Path: with --models-dir . the folder's path is a name of the catalog, and as text would mean that
        return Pipeline.from_pretrained(Path(path), memory_limit_bytes=memory_limit_bytes, embeddings=embeddings)

    def snapshot(self) -> Mapping[str, int]:
        from bonsai_mlx.runtime import memory

        return memory.snapshot()

    def device(self) -> str:
        from bonsai_mlx.runtime import device

        return device.backend()


def mlx_backend() -> EngineBackend:
    """The real engine; imports MLX."""
    prepare()
    importlib.import_module("bonsai_mlx.pipeline")
    return _MlxBackend()


class Channel:
    """Events out, whole lines only, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class Inbox:
    """Commands in. Cancelling is noted the moment it arrives, whatever the main thread is doing."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._runs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[str] = set()

    def read_forever(self) -> None:
        """Ends the whole process when the server is gone, even in the middle of a step."""
        for line in self._stream:
            command = json.loads(line)
            if command["command"] == "cancel":
                self._cancelled.add(command["job"])
            else:
                self._runs.put(command)
        os._exit(0)

    def next_run(self) -> dict[str, Any]:
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
        self._loaded: tuple[str, int | None] | None = None
        self._embeddings: Any = None
        self._reported: tuple[str, float] = ("", 0.0)  # phase and time of the last report
        self.busy = threading.Event()

    def run(self, command: dict[str, Any]) -> None:
        """Draw one picture and report how it went, whatever happens."""
        job = command["job"]
        self.busy.set()
        try:
            if not self._draw(job, command):
                self._channel.send("cancelled", job=job)
        except Exception as error:
            traceback.print_exc()  # to the server's log; the client gets words of ours
            # what was under way when Metal failed may be half written: nothing that this process holds is used again
            lost = isinstance(error, DeviceError) or str(error.__cause__).startswith("[METAL]")
            self._channel.send("error", job=job, device_lost=lost, **describe(error))
        finally:
            self._inbox.forget(job)
            self.busy.clear()
        self._channel.send("memory", settled=command["checkpoint"]["model"], **self._backend.snapshot())

    def _draw(self, job: str, command: dict[str, Any]) -> bool:
        """True once the picture is saved and told; False if it was cancelled."""
        started = time.perf_counter()
        if self._inbox.cancelled(job):
            return False
        self._channel.send("progress", job=job, phase="load", step=0, steps=1)
        pipeline = self._ensure_loaded(command["path"], command["memory_limit_bytes"])
        loaded_s = time.perf_counter() - started
        with contextlib.closing(
            pipeline.run(GenerationRequest(**command["request"]), preview=command["preview"])
        ) as events:
            for event in events:
                if event.result is not None:
                    saved = self._save(job, command, pipeline.recipe(event.result), event.result, loaded_s)
                    self._channel.send("done", job=job, **saved)  # closing frees memory, which nobody has to wait for
                    return True
                if self._inbox.cancelled(job):
                    break
                self._report(job, event)
        return False

    def _ensure_loaded(self, path: str, limit: int | None) -> EnginePipeline:
        """Only one transformer is ever resident; the embeddings of prompts outlive it, for comparisons."""
        if self._pipeline is not None and self._loaded == (path, limit):
            return self._pipeline
        if self._pipeline is not None:
            self._embeddings = self._pipeline.embeddings
            self._pipeline.unload()
            self._pipeline, self._loaded = None, None
        self._pipeline = self._backend.load(path, memory_limit_bytes=limit, embeddings=self._embeddings)
        self._loaded = (path, limit)
        return self._pipeline

    def _report(self, job: str, event: Event) -> None:
        phase, at = self._reported
        now = time.monotonic()
        if event.phase == phase != "denoise" and now - at < LAYER_PERIOD_S:
            return
        self._reported = event.phase, now
        fields: dict[str, Any] = {"phase": event.phase, "step": event.step, "steps": event.steps}
        if event.truncated:
            fields["truncated"] = True
        if event.preview is not None:
            buffer = io.BytesIO()
            event.preview.save(buffer, "PNG", compress_level=1)
            fields["preview"] = base64.b64encode(buffer.getvalue()).decode()
        self._channel.send("progress", job=job, **fields)

    def _save(
        self, job: str, command: dict[str, Any], recipe: Recipe, result: GenerationResult, loaded_s: float
    ) -> dict[str, Any]:
        """Write the picture and its thumbnail; returns what the gallery's index wants to know."""
        from bonsai_mlx.images.metadata import encode_png, save_picture
        from bonsai_mlx.images.recipe import timestamp

        from ..gallery.convert import thumbnail_webp
        from ..gallery.files import write_disposable

        # the server knows the checkpoint by its name, the engine by the folder that it was loaded from
        recipe = replace(recipe, created_at=timestamp(), **command["checkpoint"])
        png, output, mode = encode_png(result.image, recipe), Path(command["output"]), command["file_mode"]
        # The thumbnail first: whoever hears of the image finds it. Without room for it, the image still counts.
        with contextlib.suppress(OSError):
            write_disposable(output / ".thumbnails" / f"{job}.webp", thumbnail_webp(result.image), mode=mode)
        save_picture(output / f"{job}.png", png, mode=mode)
        timings = dict(result.timings)
        for name in ("load", "total"):
            timings[name] = timings.get(name, 0.0) + loaded_s
        return {
            "bytes": len(png),
            "width": result.image.width,
            "height": result.image.height,
            "timings": timings,
            "memory": {name: value for name, value in result.memory.items() if isinstance(value, int | float)},
            "recipe": json.loads(recipe.to_json()),
        }


def describe(error: Exception) -> dict[str, str | None]:
    """The error in the server's words: code, message, remedy. Only messages written for people are passed on."""
    if isinstance(error, OutOfMemory | MemoryError):
        message = str(error) or "There was not enough memory for this picture."
        return {"code": "out_of_memory", "message": message, "remedy": "Try a smaller size."}
    if isinstance(error, RequestError):
        return {"code": "bad_field", "message": str(error), "remedy": None}
    if isinstance(error, CheckpointError):
        return {"code": "model_missing", "message": str(error), "remedy": None}
    if isinstance(error, BonsaiError):
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE
        return {"code": "disk_full" if full else "failed", "message": str(error), "remedy": None}
    error_id = secrets.token_hex(4)
    print(f"engine error {error_id}: {type(error).__name__}", file=sys.stderr)  # noqa: T201
    message = f"The engine failed unexpectedly; the server's log has the details under {error_id}."
    return {"code": "failed", "message": message, "remedy": None}


def report_memory(engine: Engine, backend: EngineBackend, channel: Channel) -> None:
    """Send the figures for ever: often while drawing, now and then otherwise."""
    while True:
        channel.send("memory", **backend.snapshot())
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


def _be_considerate() -> None:
    """Without a GPU the engine takes every core; the server, which only ever needs a moment, goes first."""
    if sys.platform == "linux":
        os.nice(5)


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
    channel.send("ready", device=backend.device())
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
