"""Ctrl-C, a closed terminal, SIGTERM, kill -9 and their like while a picture is drawn.

A quick end, nothing left running, and the queue comes back.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil

from tests.server.conftest import ServerProcess

from ._world import REAL_ENGINE, SEEDLING, job, orphans, post_job, server_process, temporary_files, within
from .case import Case, Figures

_TERMINAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_SIGNALS = (signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_UNLIKE = 3  # of them, the first, those that are sent every day; test_main sends each to an engine that draws squares
_WAITING = 2
_STEPS = 60  # a quarter of a minute and more: it is still drawn when the signal comes
_LATEST_S = 2.5  # after the job has begun; starting the engine and loading the checkpoint is in it


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """In each round one signal; the next start tells what has been kept."""
    output = folder / "out"
    sums = dict.fromkeys(("wrong_exits", "orphans", "not_returned", "temporary_files"), 0)
    seconds: list[float] = []
    jobs: list[str] = []
    for number in range(rounds + 1):
        left = temporary_files(output)
        with server_process(output, BONSAI_ENGINE=REAL_ENGINE) as server:
            sums["temporary_files"] += sum(path.exists() for path in left)
            _look_back(server, jobs, sums)
            if number == rounds:
                break
            jobs = [post_job(server, "a red circle", model=SEEDLING, steps=_STEPS) for _ in range(1 + _WAITING)]
            within(60, lambda jobs=jobs, server=server: job(server, jobs[0])["status"] == "running")  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, _LATEST_S))
            seconds.append(_end(server, _SIGNALS[number % len(_SIGNALS)], sums))
    return {"end_s_max": max(seconds), **sums}


def _end(server: ServerProcess, number: signal.Signals, sums: dict[str, int]) -> float:
    """Send the signal as a terminal or the system does; the seconds until the process is gone."""
    children = server.children()
    if number in _TERMINAL:  # Ctrl-C and its like go to everybody in the terminal
        for child in children:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(child.pid) == os.getsid(server.process.pid):
                    child.send_signal(number)
    started = time.monotonic()
    server.end(number)
    seconds = time.monotonic() - started
    right = (-number,) if number == signal.SIGKILL else (0, -signal.SIGINT, -signal.SIGTERM)
    sums["wrong_exits"] += server.process.returncode not in right
    sums["orphans"] += orphans(children)
    return seconds


def _look_back(server: ServerProcess, jobs: list[str], sums: dict[str, int]) -> None:
    """Whether the job that ran and the others wait or run again; they are cancelled then."""
    for waiting in reversed(jobs):
        sums["not_returned"] += job(server, waiting)["status"] not in ("queued", "running")
        server.client.delete(f"/jobs/{waiting}").raise_for_status()


CASE = Case(
    name="shutdown",
    what="Ctrl-C, a closed terminal, SIGTERM, kill -9 and their like while a picture is drawn and others wait",
    rounds=20,
    reduced=_UNLIKE,
    bars={
        "end_s_max": "<= 3",
        "wrong_exits": "== 0",
        "orphans": "== 0",
        "not_returned": "== 0",
        "temporary_files": "== 0",
    },
    run=run,
)
