"""What the cases share: server processes that are always ended, and what is looked for after bad things were done."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from PIL import Image

from server.gallery.folder import named_by_id
from tests.server.conftest import ServerProcess

REAL_ENGINE = "server.engine.backend:mlx_backend"
SEEDLING = "seedling-ternary"
NO_BLAS = {"BONSAI_BLAS": "none"}  # children that draw squares start in half the time without one
T = TypeVar("T")


@contextmanager
def server_process(output: Path, *options: str, **environment: str) -> Iterator[ServerProcess]:
    """`python -m server`, by default with the fake engine; its log goes to `server.log` beside the output folder."""
    with logged_server_process(output, output.parent / "server.log", *options, **environment) as server:
        yield server


@contextmanager
def logged_server_process(output: Path, log: Path, *options: str, **environment: str) -> Iterator[ServerProcess]:
    """The same with its log elsewhere."""
    server = ServerProcess(output, *options, **environment)
    _keep_log(server, log)
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)


def _keep_log(server: ServerProcess, path: Path) -> None:
    """Read what the server writes all the time: with a full pipe it would wait for its reader."""
    pipe, server.process.stderr = server.process.stderr, None

    def copy() -> None:
        assert pipe is not None
        with pipe, path.open("a") as log:
            shutil.copyfileobj(pipe, log)

    threading.Thread(target=copy, daemon=True).start()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables for the children of a server in this process."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def within(seconds: float, condition: Callable[[], T | None]) -> T | None:
    """The first truthy value of `condition`, or None when there is none in time; asked ever less often."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < seconds:
        if value := condition():
            return value
        time.sleep(min(0.01 + waited / 8, 0.05))
    return None


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that has ended and waits to be reaped does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def orphans(processes: Iterable[psutil.Process], seconds: float = 2.0) -> int:
    """How many of these children outlive their server by more than `seconds`; they are killed then."""
    children = list(processes)
    within(seconds, lambda: not alive(children))
    left = alive(children)
    for process in left:
        process.kill()
    return len(left)


def post_job(server: ServerProcess, prompt: str, **fields: Any) -> str:
    """Ask for a picture; the id of its job."""
    answer = server.client.post("/jobs", json={"prompt": prompt, **fields}).raise_for_status()
    return str(answer.json()["jobs"][0]["id"])


def job(server: ServerProcess, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get(f"/jobs/{job_id}").raise_for_status().json()
    return found


def ended(server: ServerProcess, job_id: str, seconds: float = 60.0) -> dict[str, Any]:
    """The job once it has ended, or as it is when the time is up."""
    within(seconds, lambda: job(server, job_id)["finished_at"])
    return job(server, job_id)


def is_picture(path: Path) -> bool:
    """Whether the file decodes to its last row."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return True


def pictures(output: Path) -> list[Path]:
    """The pictures' own files; what an interrupted write left behind (`temporary_files`) is none."""
    return sorted(path for path in output.glob("*.png") if named_by_id(path.name))


def temporary_files(output: Path) -> list[Path]:
    """What an interrupted write has left behind, anywhere in the folder."""
    return list(output.rglob(".tmp-*"))
