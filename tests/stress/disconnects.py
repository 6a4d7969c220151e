"""Callers who leave and jobs that are cancelled, at any moment: the engine stops, and the next picture begins."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.settings import Settings
from tests.server.conftest import QUICK, LiveServer

from ._engine import ENGINE, NOTES, Note, notes
from ._world import NO_BLAS, environment, within
from .case import Case, Figures, percentile

_STEPS = 60  # of a picture that is given up: three seconds, more than any round lasts
_LATEST_S = 0.5  # until it is given up
_NEXT = 900_000  # added to a seed: the ordinary picture that waits behind
_LEAVING = {"leave": "/generate", "leave a pair": "/generate/compare"}
_KINDS = (*_LEAVING, "cancel", "cancel a group", "half a request")


@dataclass
class _Round:
    seed: int
    at: float = 0.0  # when it was given up, on the engine's clock
    given_up: list[str] = field(default_factory=list)  # ids
    next_id: str = ""


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """In each round a picture is given up in one of five ways, with another one waiting behind it."""
    path = folder / "notes"
    settings = Settings(**(QUICK | {"engine": ENGINE, "output": folder / "out"}))
    with environment(**NO_BLAS, **{NOTES: str(path)}), LiveServer(settings) as server:
        server.finished(server.post_job("plain", seed=_NEXT - 1)["id"])
        done = [_give_up(server, _KINDS[n % len(_KINDS)], 10 * n, rng) for n in range(rounds)]
        within(60, lambda: server.studio.events.listeners == 0)
        statuses = {name: server.job(name)["status"] for one in done for name in (*one.given_up, one.next_id)}
        figures: Figures = {
            "given_up": sum(len(one.given_up) for one in done),
            "not_cancelled": sum(statuses[name] != "cancelled" for one in done for name in one.given_up),
            "next_failed": sum(statuses[one.next_id] != "done" for one in done),
            "unfinished_jobs": len(server.studio.jobs.active),
            "listeners_left": server.studio.events.listeners,
        }
    return figures | _from_notes(done, notes(path))


def _give_up(server: LiveServer, kind: str, seed: int, rng: random.Random) -> _Round:
    """One round: begin, wait a little, give up, and wait for the next picture."""
    one = _Round(seed)
    body = {"prompt": "slow", "seed": seed, "steps": _STEPS, "width": 64, "height": 64}
    leaving = [_request(server, "GET", "/events")]
    if kind.startswith("cancel"):
        answer = server.client.post("/jobs", json=body | {"count": 3 if kind == "cancel a group" else 1})
        one.given_up = [job["id"] for job in answer.raise_for_status().json()["jobs"]]
    else:
        leaving.append(_request(server, "POST", _LEAVING.get(kind, "/generate"), body, whole=kind in _LEAVING))
        one.given_up = (within(5, lambda: _ids(server, seed)) or []) if kind in _LEAVING else []
    one.next_id = server.post_job("plain", seed=seed + _NEXT, steps=1, width=64, height=64)["id"]
    time.sleep(rng.uniform(0.0, _LATEST_S))
    one.at = time.monotonic()
    if kind == "cancel":
        server.client.delete(f"/jobs/{one.given_up[0]}").raise_for_status()
    elif kind == "cancel a group":
        group = server.job(one.given_up[0])["group"]
        server.client.delete("/jobs", params={"group": group}).raise_for_status()
    for connection in leaving:
        _leave(connection, rng)
    server.finished(one.next_id, 20)
    return one


def _request(
    server: LiveServer, method: str, path: str, body: dict[str, Any] | None = None, *, whole: bool = True
) -> socket.socket:
    """A connection on which a request was sent; not `whole`: without the end of its body."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    text = json.dumps(body) if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    sent = text if whole else text[:-1]
    connection.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n{sent}".encode())
    return connection


def _leave(connection: socket.socket, rng: random.Random) -> None:
    """Close a connection, or, half the time, reset it."""
    if rng.random() < 0.5:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _ids(server: LiveServer, seed: int) -> list[str]:
    listed = server.client.get("/jobs", params={"limit": 4}).json()["jobs"]
    return [job["id"] for job in listed if job["seed"] == seed]


def _from_notes(done: list[_Round], noted: list[Note]) -> Figures:
    """What the engine itself noted: steps begun after the end of interest, runs without an end, and the pauses."""
    late_steps, pauses, unended, late_runs = [], [], 0, 0
    for one in done:
        own = [note for note in noted if one.seed <= note.seed < one.seed + 10]
        begins, ends = ([note.at for note in own if note.what == what] for what in ("begin", "end"))
        late_steps.append(sum(note.what == "step" and note.at > one.at for note in own))
        late_runs += sum(at > one.at for at in begins[1:])  # those behind the first must not begin at all
        unended += len(begins) - len(ends)
        following = [note.at for note in noted if note.seed == one.seed + _NEXT and note.what == "begin"]
        pauses += [1e3 * (at - max([*ends, one.at])) for at in following if one.given_up]
    return {
        "late_steps_max": max(late_steps),
        "late_runs": late_runs,
        "unended_runs": unended,
        "next_start_ms_p50": percentile(pauses, 50),
        "next_start_ms_max": max(pauses),
    }


CASE = Case(
    name="disconnects",
    what="callers leave and jobs are cancelled at random moments, with another picture waiting",
    rounds=100,
    reduced=2 * len(_KINDS),
    bars={
        "not_cancelled": "== 0",
        "next_failed": "== 0",
        "unfinished_jobs": "== 0",
        "listeners_left": "== 0",
        "late_steps_max": "<= 1",
        "late_runs": "== 0",
        "unended_runs": "== 0",
        "next_start_ms_max": "<= 100",
    },
    run=run,
)
