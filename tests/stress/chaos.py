"""The engine's process misbehaves in every way there is; the server goes on answering, says why, and draws the next.

The limits of the watchdog are shorter than people get, so that a hundred rounds end within minutes.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil

from tests.server.conftest import PLAIN, ServerProcess
from tests.server.fake_engine import GATE

from ._world import NO_BLAS, ended, post_job, server_process, within
from .case import Case, Figures, percentile

_POLL_S = 0.02
_LIMITS = {  # seconds; the third is also how long an engine may take to start
    "BONSAI_HEARTBEAT_WARN_S": "0.5",
    "BONSAI_HEARTBEAT_KILL_S": "2.5",
    "BONSAI_PROGRESS_FLOOR_S": "5",
    "BONSAI_PROGRESS_UNKNOWN_S": "5",
}
_SAID = {  # what is done to the engine -> what the job's end must say
    "abort": "SIGABRT",
    "hang": "did not respond",
    "raise": "failed unexpectedly",
    "leak": "",  # no failure: the process is replaced after the picture
    "SIGKILL": "was ended",
    "SIGSEGV": "SIGSEGV",
    "kill": "was ended",
    "stop": "did not respond",
    "exit": "ended unexpectedly",
    "oom": "out of memory",
    "SIGSTOP": "did not respond",
}
_SIGNALS = {name: getattr(signal, name) for name in _SAID if name.startswith("SIG")}
_UNLIKE = 6  # of them, the first; of the other ends tests/server/jobs/test_losses.py has each
_LEAKS = 3  # pictures after which growth is beyond doubt


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """One misbehaviour a round, each kind as often as every other, and an ordinary picture after it."""
    gate = folder / "gate"
    recoveries, wrong_ends, kinds = [], 0, list(_SAID)
    with server_process(folder / "out", **_LIMITS, **NO_BLAS, **{GATE: str(gate)}) as server:
        ended(server, post_job(server, "plain"))
        with _Health(server) as health:
            for number in range(rounds):
                kind = kinds[number % len(kinds)]
                gate.touch()
                wrong_ends += not _misbehave(server, kind, rng)
                gate.unlink()
                recoveries.append(_recover(server))
        queue = server.client.get("/jobs").json()["queue"]
        engines = len(server.children())
    return {
        "polls": len(health.milliseconds),
        "failed_polls": health.failed,
        "poll_p99_ms": percentile(health.milliseconds, 99),
        "poll_max_ms": max(health.milliseconds),
        "wrong_ends": wrong_ends,
        "next_s_p50": percentile(recoveries, 50),
        "next_s_max": max(recoveries),
        "unfinished_jobs": queue["running"] + queue["waiting"],
        "engines": engines,
    }


def _misbehave(server: ServerProcess, kind: str, rng: random.Random) -> bool:
    """Whether the job ended as it should: failed, with a reason that fits; a leak ends with a fresh process instead."""
    if kind == "leak":
        before = server.children()
        done = [ended(server, post_job(server, "leak"))["status"] == "done" for _ in range(_LEAKS)]
        drawn = ended(server, post_job(server, "plain"))["status"] == "done"
        return all(done) and drawn and not set(before) & set(server.children())
    job_id = post_job(server, "hold" if kind in _SIGNALS else kind, steps=4)
    if kind in _SIGNALS:
        _send(server, _SIGNALS[kind], rng)
    found = ended(server, job_id)
    return found["status"] == "failed" and _SAID[kind] in found["error"]["message"]


def _send(server: ServerProcess, number: int, rng: random.Random) -> None:
    """A signal to the engine, at some moment after there is one."""
    engines = within(60, server.children)
    time.sleep(rng.uniform(0.0, 0.6))
    for engine in engines or ():
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.send_signal(number)


def _recover(server: ServerProcess) -> float:
    """Seconds that the next ordinary picture takes, the start of a fresh engine included; infinite when it fails."""
    started = time.monotonic()
    found = ended(server, post_job(server, "plain"))
    return time.monotonic() - started if found["status"] == "done" else float("inf")


class _Health:
    """Asks 50 times a second whether the server is well; an answer counts if it comes within a second."""

    def __init__(self, server: ServerProcess) -> None:
        self.milliseconds: list[float] = []
        self.failed = 0
        self._client = httpx.Client(base_url=server.client.base_url, timeout=1, verify=PLAIN)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> _Health:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _ask(self) -> None:
        while not self._stop.wait(_POLL_S):
            started = time.perf_counter()
            try:
                self.failed += self._client.get("/health").status_code != 200
            except httpx.TransportError:
                self.failed += 1
            self.milliseconds.append(1e3 * (time.perf_counter() - started))


CASE = Case(
    name="chaos",
    what="the engine aborts, hangs, stops, is killed, raises, leaks; /health is asked 50 times a second meanwhile",
    rounds=100,
    reduced=_UNLIKE,
    bars={
        "failed_polls": "== 0",
        "wrong_ends": "== 0",
        "next_s_max": "<= 5",
        "unfinished_jobs": "== 0",
        "engines": "== 1",
    },
    run=run,
)
