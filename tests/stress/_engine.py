"""The fake engine, which also notes on a clock that all processes share when runs and their steps begin and end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bonsai_mlx.request import GenerationRequest
from bonsai_mlx.result import Event
from tests.server.fake_engine import FakeBackend, FakePipeline

from ._small_disk import FULL, TOO_LARGE_BYTES

ENGINE = "tests.stress._engine:backend"
NOTES = "BONSAI_TEST_NOTES"  # names the file


class Note(NamedTuple):
    at: float  # time.monotonic(), which is the same for all processes of a machine
    what: str  # "begin" or "end" of a run, "step": the beginning of one
    seed: int


def notes(path: Path) -> list[Note]:
    """What has been noted so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Note(float(at), what, int(seed)) for at, what, seed in map(str.split, lines)]


def _large() -> Image.Image:
    """A picture whose file is larger than the server may write."""
    side = math.isqrt(TOO_LARGE_BYTES // 3) + 1
    return Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))


class _NotingPipeline(FakePipeline):
    def run(
        self, request: GenerationRequest, *, pictures: Mapping[str, Image.Image], preview: bool = False, **files: Any
    ) -> Generator[Event, None, None]:
        self._note("begin", request)
        try:
            for event in super().run(request, pictures=pictures, preview=preview, **files):
                if event.result is not None and Path(os.environ.get(FULL, "-")).exists():
                    event = replace(event, result=replace(event.result, image=_large()))
                yield event
                if event.phase in ("encode", "denoise") and event.step <= event.steps:
                    self._note("step", request)  # whoever goes on after an event begins the next step
        finally:
            self._note("end", request)

    def _note(self, what: str, request: GenerationRequest) -> None:
        with Path(os.environ[NOTES]).open("a") as file:
            file.write(f"{time.monotonic()} {what} {request.seed}\n")


class _NotingBackend(FakeBackend):
    def load(self, path: str, *, memory_limit_bytes: int | None, embeddings: Any, parts: Any = None) -> FakePipeline:
        return _NotingPipeline(path, embeddings)


def backend() -> _NotingBackend:
    """The entry point for the engine's process."""
    return _NotingBackend()
