"""Damaged pictures, to the one address that takes any and to the page's own reader of dropped files."""

from __future__ import annotations

import base64
import json
import logging
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.server.conftest import ROOT, LiveServer

from ._live import live_server
from ._pictures import mutated, seeds
from .case import Case, Figures

log = logging.getLogger(__name__)


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """`rounds` mutations of each of three files, all of them read twice: in Python and in JavaScript."""
    files = [mutated(data, rng) for data in seeds().values() for _ in range(rounds)]
    with live_server(folder) as server:
        before = psutil.Process().memory_info().rss
        figures = _by_server(server, files)
        figures["rss_growth_mib"] = (psutil.Process().memory_info().rss - before) / 2**20
        figures["alive"] = float(server.client.get("/health").status_code == 200)
    return figures | _by_page(files, folder)


def _by_server(server: LiveServer, files: list[bytes]) -> Figures:
    statuses: Counter[int] = Counter()
    slowest = 0.0
    for data in files:
        body = {"image": base64.b64encode(data).decode()}
        started = time.perf_counter()
        statuses[server.client.post("/sdapi/v1/png-info", json=body).status_code] += 1
        slowest = max(slowest, time.perf_counter() - started)
    return {
        "read": statuses[200],
        "refused": statuses[422],
        "other_answers": len(files) - statuses[200] - statuses[422],
        "slowest_ms": 1e3 * slowest,
    }


def _by_page(files: list[bytes], folder: Path) -> Figures:
    """Without node, which only the tests of the page need, nothing is reported, and so the bars are missed."""
    node = shutil.which("node")
    if node is None:
        return {}
    pack = folder / "pack"
    pack.write_bytes(b"".join(len(data).to_bytes(4, "little") + data for data in files))
    command = [node, str(ROOT / "tests/js/mutations.mjs"), str(pack)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        log.warning("%s", done.stderr[-2_000:])
        return {"page_exits": 1}
    told = json.loads(done.stdout)
    if told["thrown"]:
        log.warning("%s", told["first"])
    return {"page_exits": 0, **{f"page_{name}": told[name] for name in ("read", "refused", "thrown", "slowest_ms")}}


CASE = Case(
    name="uploads",
    what="damaged PNG, JPEG and WebP files, each kind so many times, to the server and to the page",
    rounds=5_000,
    reduced=150,
    bars={
        "other_answers": "== 0",
        "slowest_ms": "<= 1000",
        "rss_growth_mib": "<= 64",
        "alive": "== 1",
        "page_exits": "== 0",
        "page_thrown": "== 0",
        "page_slowest_ms": "<= 1000",
    },
    run=run,
)
