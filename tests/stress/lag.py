"""How late the server's event loop gets around to things while pictures are drawn, followed and looked at."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import httpx

from tests.server.conftest import PLAIN, EventStream

from ._probed_server import EVERY_S, probed_server
from ._world import REAL_ENGINE, SEEDLING, within
from .case import Case, Figures, percentile

_LOOK_EVERY_S = 0.1
_LOOKED_AT = ("/", "/gallery", "/images", "/memory", "/models", "/sizes", "/jobs")
_BATCH = 8


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Draw `rounds` pictures with previews, while one page listens and another is opened ten times a second."""
    options = {"engine": REAL_ENGINE, "output": folder / "out", "browser": False, "queue_size": max(32, rounds)}
    with probed_server(options) as probed:
        ended = threading.Event()
        pages = [threading.Thread(target=work, args=(probed.url, ended)) for work in (_listen, _look)]
        with httpx.Client(base_url=probed.url, timeout=30, verify=PLAIN) as client:
            within(60, lambda: _answers(client))
            for page in pages:
                page.start()
            drawn = _draw(client, rounds, rng)
            ended.set()
        for page in pages:
            page.join()
    late = probed.late_ms
    return {
        "drawn": drawn,
        "missing": rounds - drawn,
        "samples": len(late),
        "every_ms": 1e3 * EVERY_S,
        "lag_p50_ms": percentile(late, 50),
        "lag_p99_ms": percentile(late, 99),
        "lag_max_ms": max(late),
    }


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/health").status_code == httpx.codes.OK
    return False


def _draw(client: httpx.Client, count: int, rng: random.Random) -> int:
    """Ask for pictures in batches; returns how many were drawn."""
    for begin in range(0, count, _BATCH):
        body = {"prompt": f"a blue circle, {rng.random()}", "model": SEEDLING, "count": min(_BATCH, count - begin)}
        client.post("/jobs", json=body).raise_for_status()
    within(120 + 30 * count, lambda: _is_idle(client))
    return int(client.get("/images", params={"limit": 1}).json()["total"])


def _is_idle(client: httpx.Client) -> bool:
    queue = client.get("/jobs").json()["queue"]  # one answer: between two of them the last job may begin
    return not queue["running"] and not queue["waiting"]


def _listen(url: str, ended: threading.Event) -> None:
    with contextlib.suppress(httpx.TransportError), httpx.stream("GET", f"{url}/events", timeout=30) as page:
        for _ in EventStream(page):
            if ended.is_set():
                return


def _look(url: str, ended: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=30, verify=PLAIN) as client:
        number = 0
        while not ended.wait(_LOOK_EVERY_S):
            client.get(_LOOKED_AT[number % len(_LOOKED_AT)]).raise_for_status()
            number += 1


CASE = Case(
    name="lag",
    what="lateness of the event loop, sampled every 10 ms, while pictures are drawn and pages opened",
    rounds=50,
    reduced=1,
    bars={"missing": "== 0", "lag_p99_ms": "<= 20"},
    run=run,
)
