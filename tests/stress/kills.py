"""kill -9 of the whole server at any moment: pictures are whole or not there, and none that was told of is lost.

Every other round draws with the embedded checkpoint; the others with an engine that saves a hundred plain pictures a
second, so that many of the kills fall into a write. Each server goes on with what the one before has left.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from pathlib import Path

import httpx

from tests.server.conftest import EventStream, ServerProcess

from ._world import (
    NO_BLAS,
    REAL_ENGINE,
    SEEDLING,
    is_picture,
    orphans,
    pictures,
    server_process,
    temporary_files,
    within,
)
from .case import Case, Figures

_REAL = {"BONSAI_ENGINE": REAL_ENGINE}
_LONGEST_S = {True: 4.0, False: 1.5}  # until the kill; starting the engine is in it
_BATCHES = {True: 3, False: 12}
_QUEUE = 120


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Start, ask for pictures, kill; `rounds` times. Each start looks at what the kill before has left."""
    output = folder / "out"
    told: set[str] = set()  # the ids of all pictures that a page has heard to be done
    whole: set[Path] = set()
    sums = dict.fromkeys(("interrupted_writes", "corrupt", "lost", "temporary_files", "orphans"), 0)
    for number in range(rounds + 1):
        real = number % 2 == 0
        left = temporary_files(output)
        sums["interrupted_writes"] += len(left)
        with server_process(output, "--queue-size", str(_QUEUE), **(_REAL if real else NO_BLAS)) as server:
            sums["temporary_files"] += sum(path.exists() for path in left)
            if number == rounds:
                sums["lost"] = _lost(server, told)
                break
            heard = _work_and_kill(server, rng, real, sums, told)
        told |= heard
        fresh = set(pictures(output)) - whole
        whole |= {path for path in fresh if is_picture(path)}
        sums["corrupt"] += len(fresh - whole)
    return {"pictures": len(whole), "acknowledged": len(told), **sums}


def _work_and_kill(
    server: ServerProcess, rng: random.Random, real: bool, sums: dict[str, int], told: set[str]
) -> set[str]:
    """Have it draw until it is killed; returns the ids of the pictures that a page has heard to be done."""
    heard: set[str] = set()
    listening = threading.Thread(target=_listen, args=(server, heard))
    listening.start()
    for _ in range(_BATCHES[real]):
        body = {"prompt": "a red circle", "count": 8, "steps": rng.choice((1, 4)), "model": SEEDLING}
        server.client.post("/jobs", json=body)  # refused while enough is left from the life before
    time.sleep(rng.uniform(0.0, _LONGEST_S[real]))
    if not real and not told:
        within(30, lambda: heard)  # a busy machine may not have drawn anything yet, and then nothing could be lost
    children = server.children()
    server.end(signal.SIGKILL)
    listening.join()
    sums["orphans"] += orphans(children)
    return heard


def _listen(server: ServerProcess, heard: set[str]) -> None:
    """Note every picture that a page hears to be done, up to the very end."""
    with (
        contextlib.suppress(httpx.TransportError),
        httpx.stream("GET", server.client.base_url.join("/events"), timeout=60) as page,
    ):
        for event in EventStream(page):
            if event["event"] == "job" and event["data"]["status"] == "done":
                heard.add(event["data"]["image_id"])


def _lost(server: ServerProcess, told: set[str]) -> int:
    """Pictures that somebody was told of, and that are not in the gallery or not in the folder."""
    lost = 0
    for image_id in told:
        answer = server.client.get(f"/images/{image_id}.png")
        lost += answer.status_code != 200 or not answer.content.endswith(b"IEND\xaeB`\x82")
    return lost


CASE = Case(
    name="kills",
    what="kill -9 of the whole server at random moments under load, and the next start",
    rounds=200,
    reduced=2,
    bars={
        "acknowledged": ">= 1",
        "corrupt": "== 0",
        "lost": "== 0",
        "temporary_files": "== 0",
        "orphans": "== 0",
    },
    run=run,
)
