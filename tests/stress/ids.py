"""Whatever is sent in the place of an id is not found, and no file outside the gallery is read, moved or changed."""

from __future__ import annotations

import hashlib
import logging
import random
import string
from collections import Counter
from pathlib import Path

from tests.server.conftest import LiveServer

from ._live import answer_to, live_server, status_of
from .case import Case, Figures

log = logging.getLogger(__name__)

_SECRET = b"a file that is none of the gallery's"
_ROUTES = (
    ("GET", "/images/{}"),
    ("GET", "/images/{}.png"),
    ("GET", "/images/{}.png?metadata=none&download=1"),
    ("GET", "/images/{}/thumbnail"),
    ("PATCH", "/images/{}"),
    ("DELETE", "/images/{}"),
    ("POST", "/images/{}/restore"),
    ("GET", "/i/{}"),
    ("GET", "/jobs/{}"),
    ("DELETE", "/jobs/{}"),
    ("GET", "/jobs/{}/preview"),
    ("GET", "/v1/images/{}.png"),
    ("GET", "/v1/images/{}.webp"),
    ("GET", "/models/{}"),
    ("DELETE", "/models/{}"),
    ("GET", "/static/{}"),
    ("DELETE", "/jobs?group={}"),
    ("GET", "/images?cursor={}"),
)
_PIECES = [
    "..",
    "%2e%2e",
    "%2E.",
    "%252e",
    "/",
    "%2f",
    "%5c",
    "\\",
    "%00",
    "%0d%0a",
    "~",
    "C:",
    "//",
    "é",
    "%c0%af",
    ".png",
    "%ff",
    "secret",
    "outside",
    ".bonsai.sqlite3",
    ".trash",
    "?",
    "#",
    ";",
    "*",
    "%u002e",
    "file:",
    "00000000000000000000000000000000",
]
_REFUSED = {400, 404, 405, 422}  # 400: no HTTP at all; 405: the slashes led to another route
_SLASH = b"location: http://127.0.0.1/"  # 307: the same address without the slash at its end


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """`rounds` strings at random addresses that take an id, in a folder full of things that must stay as they are."""
    canaries = _canaries(folder)
    before = {path: _digest(path) for path in canaries}
    statuses: Counter[int] = Counter()
    told = 0
    with live_server(folder) as server:
        planted = _planted(server, folder)
        for i in range(rounds):
            name = planted if i % 50 == 0 else _name(rng, folder)
            status, answer = _ask(server, *rng.choice(_ROUTES), name)
            statuses[404 if status == 307 and _SLASH in answer else status] += 1
            told += _SECRET in answer
        alive = server.client.get("/health").status_code == 200
    strange = {status: count for status, count in statuses.items() if status not in _REFUSED}
    if strange:
        log.warning("answered with %s", strange)
    return {
        "refused": sum(statuses[status] for status in _REFUSED),
        "other_answers": sum(strange.values()),
        "secrets_told": told,
        "canaries_changed": sum(_digest(path) != digest for path, digest in before.items()),
        "alive": float(alive),
    }


def _canaries(folder: Path) -> list[Path]:
    names = ("secret", "outside.png", f"{'0' * 32}.png", "models/secret", "out/.trash/secret")
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_SECRET)
    return paths


def _planted(server: LiveServer, folder: Path) -> str:
    """The id of a link in the gallery that leads out of it."""
    name = "f" * 32
    (server.settings.output / f"{name}.png").symlink_to(folder / "secret")
    return name


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "gone"


def _name(rng: random.Random, folder: Path) -> str:
    match rng.randrange(5):
        case 0:
            return "".join(rng.choices(_PIECES, k=rng.randint(1, 8)))
        case 1:
            return "../" * rng.randint(1, 12) + str(rng.choice(("secret", "etc/passwd", folder / "secret")))
        case 2:
            return "".join(rng.choices(string.hexdigits, k=rng.choice((31, 32, 33, 64))))
        case 3:
            return rng.choice(("x", "%2e%2e%2f", "0")) * rng.randint(500, 4_000)
        case _:
            return "".join(f"%{rng.randrange(256):02x}" for _ in range(rng.randint(1, 40)))


def _ask(server: LiveServer, method: str, route: str, name: str) -> tuple[int, bytes]:
    path = route.format(name)
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n{{}}"
    answer = answer_to(server.port, request.encode("latin-1"))
    return status_of(answer), answer


CASE = Case(
    name="ids",
    what="strings in the place of an id, at every address that takes one",
    rounds=10_000,
    reduced=400,
    bars={"other_answers": "== 0", "secrets_told": "== 0", "canaries_changed": "== 0", "alive": "== 1"},
    run=run,
)
