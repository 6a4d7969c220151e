"""What others put into the folder of the pictures: bombs of pixels and of text, pipes, broken files, links.

The server's own memory and its answers to `/health` are watched while pages, thumbnails and conversions are asked for.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import httpx

from tests.hostile_pictures import pixel_bomb, plain_png, prompt_bomb
from tests.server.conftest import ServerProcess

from ._watch import watched
from ._world import server_process, within
from .case import Case, Figures

_PROMPT_BOMBS = 60
_REFUSED = (404, 422)


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Plant everything, start a server, and ask `rounds` times for all that touches the files."""
    output = folder / "out"
    output.mkdir()
    bomb, fox, *bad = _plant(output, rng)
    sums = {"wrong_answers": 0, "page_mb": 0.0}
    with server_process(output) as server:
        sums["entered"] = float(within(60, lambda: _entered(server)) or 0)
        server.client.get("/gallery")  # what the first page needs to be written is not the pictures' doing
        with watched(server) as figures:
            for _ in range(rounds):
                _ask_for_bombs(server, bomb, bad, sums)
                _look_at_pages(server, sums)
                sums["wrong_answers"] += server.client.get(f"/images/{fox}/thumbnail").status_code != httpx.codes.OK
        sums["alive"] = float(server.client.get("/health").status_code == httpx.codes.OK)
    return sums | figures


def _plant(output: Path, rng: random.Random) -> list[str]:
    """The ids of a bomb, of a good picture, and of what is no picture at all."""

    def new(data: bytes) -> str:
        name = f"{rng.getrandbits(128):032x}"
        (output / f"{name}.png").write_bytes(data)
        return name

    bomb, fox, broken = new(pixel_bomb()), new(plain_png(256, 256)), new(b"\x89PNG\r\n\x1a\nbroken")
    for size in range(_PROMPT_BOMBS):
        new(prompt_bomb(990_000 - size))
    pipe, link = (f"{rng.getrandbits(128):032x}" for _ in range(2))
    os.mkfifo(output / f"{pipe}.png")
    (output / f"{link}.png").symlink_to("/dev/zero")
    return [bomb, fox, broken, pipe, link]


def _entered(server: ServerProcess) -> int | None:
    total = int(server.client.get("/images", params={"limit": 1}).json()["total"])
    return total if total >= _PROMPT_BOMBS + 2 else None


def _ask_for_bombs(server: ServerProcess, bomb: str, bad: list[str], sums: dict[str, float]) -> None:
    conversions = [f"/v1/images/{bomb}.{kind}" for kind in ("jpeg", "webp", "jpeg?output_compression=10")]
    refusals = dict.fromkeys(conversions, httpx.codes.BAD_REQUEST)  # as OpenAI's callers know it
    refusals[f"/images/{bomb}/thumbnail"] = httpx.codes.UNPROCESSABLE_ENTITY
    for path, status in refusals.items():
        sums["wrong_answers"] += server.client.get(path).status_code != status
    for name in bad:
        for path in (f"/images/{name}/thumbnail", f"/images/{name}.png", f"/i/{name}"):
            sums["wrong_answers"] += server.client.get(path).status_code not in _REFUSED


def _look_at_pages(server: ServerProcess, sums: dict[str, float]) -> None:
    for path in ("/", "/gallery", "/images", "/images?q=aaa&limit=200"):
        answer = server.client.get(path)
        sums["wrong_answers"] += answer.status_code != httpx.codes.OK
        sums["page_mb"] = max(sums["page_mb"], len(answer.content) / 1e6)


CASE = Case(
    name="folder",
    what="bombs, pipes, links and broken files in the folder of the pictures, looked at so many times",
    rounds=20,
    reduced=1,
    bars={
        "wrong_answers": "== 0",
        "server_growth_mib": "<= 30",
        "page_mb": "<= 5",
        "health_p99_ms": "<= 50",
        "health_max_ms": "<= 500",
        "alive": "== 1",
    },
    run=run,
)
