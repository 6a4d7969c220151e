"""The real engine with a tiny random language model as its writer, whose folder the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from bonsai_mlx.writing.files import writer_in
from bonsai_mlx.writing.writer import Writer
from server.engine.backend import EngineWriter, _MlxBackend, mlx_backend

FOLDER = "BONSAI_TEST_WRITER"


class _Backend(_MlxBackend):
    def writer(self, path: str, *, memory_limit_bytes: int | None) -> tuple[EngineWriter, int]:
        files = writer_in(Path(os.environ[FOLDER]))
        return Writer(files, memory_limit_bytes), files.peak_bytes()


def backend() -> _Backend:
    mlx_backend()
    return _Backend()
