"""Damaged pictures, to the two addresses that take any."""

from __future__ import annotations

import base64
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from ._live import live_server
from ._pictures import mutated, seeds
from .case import Case, Figures


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """`rounds` mutations of each of three files, all of them sent twice: in base64, and as they are."""
    files = [mutated(data, rng) for data in seeds().values() for _ in range(rounds)]
    with live_server(folder) as server:
        before = psutil.Process().memory_info().rss
        figures = _sent(files, lambda data: server.client.post("/sdapi/v1/png-info", json=_in_base64(data)))
        raw = _sent(files, lambda data: server.client.post("/metadata", content=data))
        figures |= {f"raw_{name}": value for name, value in raw.items()}
        figures["rss_growth_mib"] = (psutil.Process().memory_info().rss - before) / 2**20
        figures["alive"] = float(server.client.get("/health").status_code == 200)
    return figures


def _in_base64(data: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(data).decode()}


def _sent(files: list[bytes], send: Callable[[bytes], httpx.Response]) -> Figures:
    statuses: Counter[int] = Counter()
    slowest = 0.0
    for data in files:
        started = time.perf_counter()
        statuses[send(data).status_code] += 1
        slowest = max(slowest, time.perf_counter() - started)
    return {
        "read": statuses[200],
        "refused": statuses[422],
        "other_answers": len(files) - statuses[200] - statuses[422],
        "slowest_ms": 1e3 * slowest,
    }


CASE = Case(
    name="uploads",
    what="damaged PNG, JPEG and WebP files, each kind so many times, to both addresses that take any",
    rounds=5_000,
    reduced=60,
    bars={
        "other_answers": "== 0",
        "slowest_ms": "<= 1000",
        "rss_growth_mib": "<= 64",
        "alive": "== 1",
        "raw_other_answers": "== 0",
        "raw_slowest_ms": "<= 1000",
    },
    run=run,
)
