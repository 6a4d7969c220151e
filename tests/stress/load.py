"""Many callers at once while a picture is drawn: the queue takes what it says, refuses the rest, and the page opens."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.server.conftest import ServerProcess
from tests.server.fake_engine import GATE

from ._world import NO_BLAS, is_picture, job, pictures, post_job, server_process, within
from .case import Case, Figures, percentile

_CROWDS = 3  # one, if it is small
_SMALL = 40
_PAGE_EVERY_S = 0.01
_BEFORE_AFTER_S = 0.25  # pages are opened a little longer than the callers wait
_HEAD = "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
_NOTHING = {"running": 0, "waiting": 0, "limit": 0, "paused": False}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int  # 0: the connection ended without one
    head: str  # in lower case
    body: str
    milliseconds: float


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """`rounds` callers come at the same moment, each with a connection of its own; three such crowds."""
    gate = folder / "gate"
    gate.touch()
    with server_process(folder / "out", **NO_BLAS, **{GATE: str(gate)}) as server:
        held = post_job(server, "hold")
        within(60, lambda: job(server, held)["phase"] == "denoise")
        server.client.get("/").raise_for_status()  # templates are read once
        large = rounds > _SMALL
        crowds = [asyncio.run(_attack(_port(server), rounds, rng, large)) for _ in range(_CROWDS if large else 1)]
        gate.unlink()
        within(60, lambda: server.client.get("/jobs").json()["queue"] | {"limit": 0} == _NOTHING)
        drawn = [path for path in pictures(server.output) if is_picture(path)]
        listed = server.client.get("/images", params={"limit": 1}).json()["total"]
    answers = [answer for posts, _ in crowds for answer in posts]
    pages = [page for _, opened in crowds for page in opened]
    statuses = Counter(answer.status for answer in answers)
    waits = [page.milliseconds for page in pages]
    accepted = 1 + statuses[202]
    return {
        "accepted": accepted,
        "refused": statuses[429],
        "without_retry_after": sum(a.status == 429 and "retry-after:" not in a.head for a in answers),
        "server_errors": sum(number for status, number in statuses.items() if status >= 500),
        "resets": statuses[0],
        "other_answers": len(answers) - statuses[202] - statuses[429] - statuses[0],
        "missing_pictures": accepted - len(drawn),
        "missing_in_gallery": accepted - listed,
        "pages": len(pages),
        "pages_failed": sum(page.status != 200 or not page.body.rstrip().endswith("</html>") for page in pages),
        "page_p50_ms": percentile(waits, 50),
        "page_p95_ms": percentile(waits, 95),
        "page_max_ms": max(waits),
    }


def _port(server: ServerProcess) -> int:
    return int(server.url.rsplit(":", 1)[1].rstrip("/"))


async def _attack(port: int, callers: int, rng: random.Random, regular: bool) -> tuple[list[_Answer], list[_Answer]]:
    """The answers to `callers` simultaneous requests for a picture, and to the opening of pages before, during, after.

    A page is opened every few milliseconds; if `regular`, whether or not the ones before have come: waiting for them
    would leave out the very moments in which the server is slow. But a machine that does other things as well may be
    too slow for so many, which says nothing of the server.
    """
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callers)]
    ended = asyncio.Event()
    opening = asyncio.create_task(_open_pages(port, ended, regular))
    await asyncio.sleep(_BEFORE_AFTER_S)
    posts = await asyncio.gather(*(_post(*pair, rng.randrange(1_000_000)) for pair in connections))
    await asyncio.sleep(_BEFORE_AFTER_S)
    ended.set()
    return posts, await opening


async def _open_pages(port: int, ended: asyncio.Event, regular: bool) -> list[_Answer]:
    pages = []
    while not ended.is_set():
        pages.append(asyncio.create_task(_page(port)))
        if not regular:
            await pages[-1]
        await asyncio.sleep(_PAGE_EVERY_S)
    return await asyncio.gather(*pages)


async def _page(port: int) -> _Answer:
    started = time.perf_counter()
    connection = await asyncio.open_connection("127.0.0.1", port)
    return await _ask(*connection, _HEAD.format(method="GET", path="/") + "\r\n", started)


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seed: int) -> _Answer:
    body = json.dumps({"prompt": "plain", "seed": seed, "width": 64, "height": 64})
    head = _HEAD.format(method="POST", path="/jobs")
    text = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    return await _ask(reader, writer, text, time.perf_counter())


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str, started: float) -> _Answer:
    try:
        writer.write(request.encode())
        answer = (await asyncio.wait_for(reader.read(), 30)).decode()
    except (OSError, TimeoutError):
        answer = ""
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return _Answer(int(head.split()[1]) if head else 0, head.lower(), body, 1e3 * (time.perf_counter() - started))


CASE = Case(
    name="load",
    what="200 simultaneous POST /jobs while a picture is held, three times, and the page opened all the while",
    rounds=200,
    reduced=_SMALL,
    bars={
        "accepted": "== 33",
        "without_retry_after": "== 0",
        "server_errors": "== 0",
        "resets": "== 0",
        "other_answers": "== 0",
        "missing_pictures": "== 0",
        "missing_in_gallery": "== 0",
        "pages_failed": "== 0",
        "page_p95_ms": "<= 50",
    },
    run=run,
)
