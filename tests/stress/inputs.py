"""Pictures that go in, as nobody should send them: bombs, rests of files, shapes, forms; and the largest that may come.

What they cost is looked at from outside: the server's memory, its children's, its answers to `/health`, and its disk.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from PIL import Image

from tests.hostile_pictures import SIGNATURE, deflated_text, header, pixel_bomb, plain_png
from tests.server.conftest import PLAIN, ServerProcess

from ._pictures import mutated, seeds
from ._watch import watched
from ._world import server_process
from .case import Case, Figures

_AT_ONCE = 4
_EXPECTED = {"good": {201}, "bad": {422}, "damaged": {201, 422}, "form": {201, 422}}


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Send every kind `rounds` times, four at once."""
    folder = folder / "out"
    answers: Counter[tuple[str, int]] = Counter()
    with server_process(folder) as server:
        server.client.post("/inputs", content=plain_png(64, 64)).raise_for_status()  # starts the child
        with watched(server) as figures, ThreadPoolExecutor(_AT_ONCE) as senders:
            for _ in range(rounds):
                answers.update(senders.map(lambda one: _sent(server, *one), list(_pictures(rng, min(rounds, 4)))))
        alive = server.client.get("/health").status_code == httpx.codes.OK
    wrong = sum(count for (kind, status), count in answers.items() if status not in _EXPECTED[kind])
    kept = sum(file.stat().st_size for file in (folder / ".inputs").iterdir())
    return figures | {
        "sent": float(answers.total()),
        "taken": float(sum(count for (_, status), count in answers.items() if status == 201)),
        "wrong_answers": float(wrong),
        "kept_mib": kept / 2**20,
        "alive": float(alive),
    }


def _pictures(rng: random.Random, damages: int) -> Iterator[tuple[str, bytes]]:
    """Kinds and files; of each that is damaged, so many."""
    yield "good", plain_png(8_000, 5_000)
    yield "good", _saved(Image.effect_noise((3_000, 2_000), 90).convert("RGB"), "JPEG")
    yield "good", plain_png(20_000, 10)
    yield "good", plain_png(64, 64, *(deflated_text(f"k{n}", b"a" * 900_000) for n in range(40)))
    yield "good", _saved(Image.new("RGB", (64, 64)), "WEBP", append_images=[Image.new("RGB", (64, 64), "red")] * 500)
    yield "bad", pixel_bomb()
    yield "bad", SIGNATURE + header(40_000, 40_000) + plain_png(64, 64)[33:80] + b"\0" * 1_000
    yield "bad", b""
    yield "bad", rng.randbytes(100_000)
    yield "bad", b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for data in seeds().values():
        yield "bad", data[: len(data) // 3]
        for _ in range(damages):
            yield "damaged", mutated(data, rng)
            yield "form", mutated(data, rng)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    frames = {"save_all": True, **options} if options else {}
    image.save(buffer, kind, **frames)
    return buffer.getvalue()


def _sent(server: ServerProcess, kind: str, data: bytes) -> tuple[str, int]:
    with httpx.Client(base_url=str(server.client.base_url), timeout=120, verify=PLAIN) as client:
        if kind == "form":
            return kind, client.post("/inputs", files={"file": ("../../etc/passwd.png", data)}).status_code
        return kind, client.post("/inputs", content=data).status_code


CASE = Case(
    name="inputs",
    what="bombs, broken and very large pictures that go in, each kind so many times, four at once",
    rounds=20,
    reduced=1,
    bars={
        "wrong_answers": "== 0",
        "server_growth_mib": "<= 64",
        "children_mib": "<= 900",
        "health_p99_ms": "<= 50",
        "health_max_ms": "<= 500",
        "kept_mib": "<= 2048",
        "alive": "== 1",
    },
    run=run,
)
