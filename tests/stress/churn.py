"""Long prompts asked for in eights and given up again, as fast as they go, while a picture is drawn.

One page listens, and another has stopped to. What the server keeps is looked at all the while: the index and its log on
the disk, the server in memory. A round is a second.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from server.store import NAME
from tests.server.conftest import PLAIN, ServerProcess
from tests.server.fake_engine import GATE

from ._world import job, post_job, server_process, within
from .case import Case, Figures, percentile

_PROMPT_CHARS = 30_000
_ALPHABETS = ("abc ", "жщ ", "\N{FOX FACE}\N{SNOWMAN} ")
_POLL_EVERY_S, _SAMPLE_EVERY_S = 0.02, 0.1
_MB = 1e6


@dataclass
class _Seen:
    health_ms: list[float] = field(default_factory=list)
    health_failed: int = 0
    kept_bytes: int = 0  # the most that the index and its log were together
    resident_bytes: int = 0
    answers: Counter[str] = field(default_factory=Counter)


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Ask and give up for so many seconds."""
    gate, seen, ended = folder / "gate", _Seen(), threading.Event()
    gate.touch()
    with server_process(folder / "out", "--no-preview", **{GATE: str(gate)}) as server:
        held = post_job(server, "hold", width=64, height=64)
        within(60, lambda: job(server, held)["phase"] == "denoise")
        watchers = [
            threading.Thread(target=work, args=(server, seen, ended))
            for work in (_poll, _sample, _listen, _stop_reading)
        ]
        for watcher in watchers:
            watcher.start()
        _churn(server, rounds, rng, seen)
        ended.set()
        for watcher in watchers:
            watcher.join()
        gate.unlink()
        drawn = within(60, lambda: job(server, held)["finished_at"]) is not None
        last = post_job(server, "plain", width=64, height=64)
        goes_on = within(60, lambda: job(server, last)["status"] == "done") is not None
    return {
        "accepted": seen.answers["202"],
        "slowed_down": seen.answers["429"],
        "without_retry_after": seen.answers["no Retry-After"],
        "other_answers": seen.answers["other"],
        "index_and_log_mb": seen.kept_bytes / _MB,
        "server_mb": seen.resident_bytes / _MB,
        "polls": len(seen.health_ms),
        "health_failed": seen.health_failed,
        "health_p50_ms": percentile(seen.health_ms, 50),
        "health_p99_ms": percentile(seen.health_ms, 99),
        "health_max_ms": max(seen.health_ms),
        "held_picture_lost": not drawn,
        "stuck_afterwards": not goes_on,
    }


def _churn(server: ServerProcess, seconds: float, rng: random.Random, seen: _Seen) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        prompt = "".join(rng.choices(rng.choice(_ALPHABETS), k=100)) * (_PROMPT_CHARS // 100)
        answer = server.client.post("/jobs", json={"prompt": "x" + prompt, "count": 8})
        seen.answers[str(answer.status_code) if answer.status_code in (202, 429) else "other"] += 1
        if answer.status_code == httpx.codes.ACCEPTED:
            server.client.delete("/jobs", params={"group": answer.json()["group"]}).raise_for_status()
        elif "retry-after" not in answer.headers:
            seen.answers["no Retry-After"] += 1


def _poll(server: ServerProcess, seen: _Seen, ended: threading.Event) -> None:
    with httpx.Client(base_url=server.client.base_url, timeout=30, verify=PLAIN) as client:
        while not ended.wait(_POLL_EVERY_S):
            started = time.perf_counter()
            try:
                client.get("/health").raise_for_status()
            except httpx.HTTPError:
                seen.health_failed += 1
            seen.health_ms.append(1e3 * (time.perf_counter() - started))


def _sample(server: ServerProcess, seen: _Seen, ended: threading.Event) -> None:
    process, index = psutil.Process(server.process.pid), server.output / NAME
    while not ended.wait(_SAMPLE_EVERY_S):
        files = [path for path in (index, index.with_name(f"{NAME}-wal")) if path.exists()]
        seen.kept_bytes = max(seen.kept_bytes, sum(path.stat().st_size for path in files))
        seen.resident_bytes = max(seen.resident_bytes, process.memory_info().rss)


def _listen(server: ServerProcess, _seen: _Seen, ended: threading.Event) -> None:
    """A page that keeps up, and comes back when it is told to."""
    with httpx.Client(base_url=server.client.base_url, timeout=30, verify=PLAIN) as client:
        while not ended.is_set():
            with client.stream("GET", "/events") as events:
                for _ in events.iter_raw():
                    if ended.is_set():
                        break


def _stop_reading(server: ServerProcess, _seen: _Seen, ended: threading.Event) -> None:
    """A page whose computer has gone to sleep."""
    host, _, port = server.url.rstrip("/").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        ended.wait()


CASE = Case(
    name="churn",
    what="long prompts asked for and given up, as fast as they go, beside a picture: what the server keeps",
    rounds=300,
    reduced=2,
    bars={
        "without_retry_after": "== 0",
        "other_answers": "== 0",
        "index_and_log_mb": "<= 64",
        "server_mb": "<= 200",
        "health_failed": "== 0",
        "health_p99_ms": "<= 50",
        "held_picture_lost": "== 0",
        "stuck_afterwards": "== 0",
    },
    run=run,
)
