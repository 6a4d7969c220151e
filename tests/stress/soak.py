"""One picture after the other with the embedded checkpoint: neither the server nor the engine grows or leaks.

Every picture has a prompt of its own, as in real use, and somebody looks at the gallery now and then. The sizes at the
end are compared with those after the warm-up, when every cache is full and every pool has grown.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.server.conftest import ServerProcess

from ._world import REAL_ENGINE, SEEDLING, ended, post_job, server_process
from .case import Case, Figures

_WARM_UP_SHARE, _WARM_UP_MOST = 0.4, 100
_SAMPLES = 5
_COLOURS = ("red", "green", "blue", "yellow", "white", "black")
_SHAPES = ("circle", "square", "triangle")
_LOOKED_AT = ("/", "/gallery", "/images", "/memory", "/jobs")


class _Size(NamedTuple):
    """Of one process, medians of a few samples."""

    resident_bytes: float
    descriptors: float
    threads: float


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Draw `rounds` pictures; the first four in ten, at most a hundred, are the warm-up."""
    warm_up = min(_WARM_UP_MOST, int(rounds * _WARM_UP_SHARE))
    failed = 0
    with server_process(folder / "out", BONSAI_ENGINE=REAL_ENGINE) as server:
        before: dict[str, _Size] = {}
        engine = 0
        for number in range(rounds):
            failed += not _draw(server, number, rng)
            if number == warm_up:
                before, engine = _measured(server), server.children()[0].pid
        after = _measured(server)
        replaced = engine != server.children()[0].pid
    return {
        "warm_up_pictures": warm_up,
        "failed": failed,
        "engine_replaced": replaced,
        **dict(_growth(before, after)),
    }


def _draw(server: ServerProcess, number: int, rng: random.Random) -> bool:
    prompt = f"a {rng.choice(_COLOURS)} {rng.choice(_SHAPES)} on a {rng.choice(_COLOURS)} background, number {number}"
    steps = rng.choice((1, 2, 4))
    job = ended(server, post_job(server, prompt, model=SEEDLING, steps=steps), 120)
    server.client.get(_LOOKED_AT[number % len(_LOOKED_AT)]).raise_for_status()
    return bool(job["status"] == "done")


def _measured(server: ServerProcess) -> dict[str, _Size]:
    """The server's process and the engine's, once both have nothing to do."""
    processes = {"server": psutil.Process(server.process.pid), "engine": server.children()[0]}
    samples: dict[str, list[_Size]] = {name: [] for name in processes}
    for _ in range(_SAMPLES):
        time.sleep(0.3)
        for name, process in processes.items():
            with process.oneshot():
                size = _Size(process.memory_info().rss, process.num_fds(), process.num_threads())
            samples[name].append(size)
    return {name: _Size(*map(statistics.median, zip(*sizes, strict=True))) for name, sizes in samples.items()}


def _growth(before: dict[str, _Size], after: dict[str, _Size]) -> Iterator[tuple[str, float]]:
    for name, size in after.items():
        yield f"{name}_mb", size.resident_bytes / 1e6
        yield f"{name}_growth_mb", (size.resident_bytes - before[name].resident_bytes) / 1e6
        yield f"{name}_descriptors_leaked", size.descriptors - before[name].descriptors
        yield f"{name}_threads_leaked", size.threads - before[name].threads


CASE = Case(
    name="soak",
    what="pictures of the embedded checkpoint in a row: memory, descriptors and threads of server and engine",
    rounds=1_000,
    reduced=8,
    bars={
        "failed": "== 0",
        "engine_replaced": "== 0",
        **{
            f"{process}_{figure}": bar
            for process in ("server", "engine")
            for figure, bar in (("growth_mb", "<= 20"), ("descriptors_leaked", "<= 2"), ("threads_leaked", "<= 2"))
        },
    },
    run=run,
)
