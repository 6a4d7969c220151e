"""Bodies that are too large, lie about their length, or never end; and whether anybody else notices meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.server.conftest import ServerProcess, eventually

from ._live import status_of
from ._world import NO_BLAS, server_process
from .case import Case, Figures, percentile

_GIB = 1 << 30
_PIECE = b"x" * 65_536
_DRIP_TIMEOUT_S = 3.0  # of the server under test; 15 by default
_LOOK_EVERY_S = 0.01  # at the memory
_OFTEN, _SELDOM = 1, 5  # so many looks make one question for `/health`; seldom where nobody judges how long it takes

Attack = Callable[[socket.socket], Iterator[bytes]]


def _head(path: str = "/jobs", *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


_JSON = "Content-Type: application/json"
_BOUNDARY = "Content-Type: multipart/form-data; boundary=b"


def _declared() -> Iterator[bytes]:
    """A gibibyte with its length in front."""
    yield _head("/jobs", _JSON, f"Content-Length: {_GIB}")
    yield from (_PIECE for _ in range(_GIB // len(_PIECE)))


def _declared_upload() -> Iterator[bytes]:
    yield _head("/sdapi/v1/png-info", _JSON, f"Content-Length: {_GIB}")
    yield from (_PIECE for _ in range(_GIB // len(_PIECE)))


def _chunked() -> Iterator[bytes]:
    """A gibibyte that does not say how long it is."""
    yield _head("/jobs", _JSON, "Transfer-Encoding: chunked")
    yield from (b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE) for _ in range(_GIB // len(_PIECE)))


def _chunked_upload() -> Iterator[bytes]:
    yield _head("/sdapi/v1/png-info", _JSON, "Transfer-Encoding: chunked")
    yield from (b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE) for _ in range(_GIB // len(_PIECE)))


def _tiny_chunks() -> Iterator[bytes]:
    yield _head("/jobs", _JSON, "Transfer-Encoding: chunked")
    yield from (b"1\r\nx\r\n" * 4_096 for _ in range(1_024))


def _more_than_it_says() -> Iterator[bytes]:
    yield _head("/jobs", _JSON, "Content-Length: 2", "Connection: close")
    yield from (_PIECE for _ in range(_GIB // len(_PIECE)))


def _less_than_it_says() -> Iterator[bytes]:
    yield _head("/jobs", _JSON, "Content-Length: 200") + b'{"prompt":'


def _both_lengths() -> Iterator[bytes]:
    yield _head("/jobs", _JSON, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"


def _negative() -> Iterator[bytes]:
    yield _head("/jobs", _JSON, "Content-Length: -1") + b"{}"


def _parts() -> Iterator[bytes]:
    """Ten thousand parts for a server that takes none."""
    part = b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\nx\r\n'
    body = part * 10_000 + b"--b--\r\n"
    yield _head("/v1/images/generations", _BOUNDARY, f"Content-Length: {len(body)}", "Connection: close")
    yield body


def _deep() -> Iterator[bytes]:
    body = b'{"prompt":' + b"[" * 100_000
    yield _head("/v1/images/generations", _JSON, f"Content-Length: {len(body)}", "Connection: close") + body


def _drip() -> Iterator[bytes]:
    """A byte a second, as if the line were bad."""
    yield _head("/jobs", _JSON, "Content-Length: 200")
    while True:
        time.sleep(1)
        yield b" "


def _head_drip() -> Iterator[bytes]:
    yield b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    for _ in range(3):
        time.sleep(1)
        yield b"X-Slow: 1\r\n"
    yield b"Connection: close\r\n\r\n"


def _long_head() -> Iterator[bytes]:
    yield _head("/jobs", *(f"X-Long-{i}: {'x' * 8_000}" for i in range(64)))


_REFUSALS = {400, 408, 413, 422, 431}
# how each is attacked, and how long the answer may take from the first byte on, in seconds
_ATTACKS: dict[str, tuple[Callable[[], Iterator[bytes]], float]] = {
    "declared": (_declared, 1.0),
    "declared_upload": (_declared_upload, 1.0),
    "chunked": (_chunked, 1.0),
    "chunked_upload": (_chunked_upload, 3.0),  # it takes its time to arrive, up to the limit
    "tiny_chunks": (_tiny_chunks, 5.0),
    "more_than_it_says": (_more_than_it_says, 1.0),
    "less_than_it_says": (_less_than_it_says, _DRIP_TIMEOUT_S + 1),
    "both_lengths": (_both_lengths, 1.0),
    "negative": (_negative, 1.0),
    "parts": (_parts, 1.0),
    "deep": (_deep, 1.0),
    "drip": (_drip, _DRIP_TIMEOUT_S + 2),
    "head_drip": (_head_drip, 5.0),
    "long_head": (_long_head, 1.0),
}


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Every attack `rounds` times, one after the other in any order."""
    quick = {"BONSAI_BODY_TIMEOUT_S": str(_DRIP_TIMEOUT_S)}
    figures: Figures = {"unrefused": 0, "overtime_s_max": 0, "rss_growth_mib": 0}
    with server_process(folder / "out", **NO_BLAS, **quick) as server, _Watch(server, rounds) as watch:
        attacks = [*_ATTACKS] * rounds
        rng.shuffle(attacks)
        for name in attacks:
            make, allowed_s = _ATTACKS[name]
            watch.costly = name == "tiny_chunks"
            status, seconds = _attack(_port(server), make())
            figures[f"{name}_s"] = max(seconds, figures.get(f"{name}_s", 0))
            figures["unrefused"] += status not in _REFUSALS
            figures["overtime_s_max"] = max(seconds - allowed_s, figures["overtime_s_max"])
    disk = sum(file.stat().st_size for file in (folder / "out").rglob("*") if file.is_file())
    return figures | watch.figures() | {"disk_mib": disk / 2**20}


def _port(server: ServerProcess) -> int:
    return int(server.url.rsplit(":", 1)[1].rstrip("/"))


def _attack(port: int, pieces: Iterator[bytes]) -> tuple[int, float]:
    """Status of the answer (0: none) and the seconds until it came, sending all the while."""
    started = time.monotonic()
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        listener = threading.Thread(target=_listen, args=(connection, answer))
        listener.start()
        with contextlib.suppress(OSError):
            for piece in pieces:
                if not listener.is_alive():
                    break
                connection.sendall(piece)
        listener.join(30)
    return status_of(bytes(answer)), time.monotonic() - started


def _listen(connection: socket.socket, answer: bytearray) -> None:
    """Ends with the first bytes of the answer, or with the connection."""
    with contextlib.suppress(OSError):
        answer += connection.recv(65_536)


class _Watch:
    """The memory of the server, and how long `/health` takes on a connection that is kept open."""

    def __init__(self, server: ServerProcess, rounds: int) -> None:
        self._looks = _OFTEN if rounds > 1 else _SELDOM
        self._port = _port(server)
        self._process = psutil.Process(server.process.pid)
        self.costly = False  # the one attack that costs the parser a core for seconds is judged by itself
        self._seconds: dict[bool, list[float]] = {False: [0.0], True: [0.0]}
        self._failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._peak = self._before = 0

    def __enter__(self) -> _Watch:
        eventually(lambda: self._process.is_running())
        self._before = self._peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        looks = itertools.count()
        while not self._stop.wait(_LOOK_EVERY_S):
            self._peak = max(self._peak, self._process.memory_info().rss)
            if next(looks) % self._looks:
                continue
            started = time.perf_counter()
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                answer.read()
                self._failed += answer.status != 200
            except (OSError, http.client.HTTPException):
                self._failed += 1
                connection.close()
            self._seconds[self.costly].append(time.perf_counter() - started)
        connection.close()

    def figures(self) -> Figures:
        milliseconds, costly = ([1e3 * seconds for seconds in self._seconds[kind]] for kind in (False, True))
        return {
            "rss_growth_mib": (self._peak - self._before) / 2**20,
            "health_polls": len(milliseconds),
            "health_failed": self._failed,
            "health_p50_ms": percentile(milliseconds, 50),
            "health_p99_ms": percentile(milliseconds, 99),
            "health_max_ms": max(milliseconds),
            "health_tiny_chunks_max_ms": max(costly),
        }


CASE = Case(
    name="bodies",
    what="bodies of a gibibyte, without an end, with false lengths, in ten thousand parts, a byte a second",
    rounds=5,
    reduced=1,
    bars={
        "unrefused": "== 0",
        "overtime_s_max": "== 0",
        "rss_growth_mib": "<= 32",
        "disk_mib": "<= 1",
        "health_failed": "== 0",
        "health_p99_ms": "<= 50",
        "health_tiny_chunks_max_ms": "<= 1000",
    },
    run=run,
)
