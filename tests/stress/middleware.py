"""Every address, asked by everybody: each Host, Origin and Sec-Fetch header over a real socket, against the rule.

The server has a token and the requests have none, so whatever passes the rest of the middleware is answered with 401
and changes nothing.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.server.conftest import LiveServer
from tests.server.edge.test_security import HOSTS
from tests.server.walk import walk

from ._live import answer_to, live_server, status_of
from .case import Case, Figures

log = logging.getLogger(__name__)

_TOKEN = "a-token-that-nobody-sends"  # noqa: S105
_PASSED = 401
_OWN = "127.0.0.1:{port}"
_ORIGINS = (None, "http://127.0.0.1:{port}", "null", "http://evil.example", "http://127.0.0.1:1", "file://", "", "?")
_SITES = (None, "none", "same-origin", "same-site", "cross-site", "surprise")
_MODES = (None, "navigate", "cors", "no-cors", "websocket")
_DESTINATIONS = (None, "document", "iframe", "image", "script", "empty", "object")
_PAGES = ("/", "/gallery", "/gallery/deleted", "/model-manager", "/connect", "/preferences", "/docs", "/i/" + "0" * 32)


class Visit(NamedTuple):
    method: str
    path: str
    hosts: tuple[tuple[str, int], ...]  # each with what the table of hosts answers to it
    origin: str | None = None
    site: str | None = None
    mode: str | None = None
    destination: str | None = None

    def expected(self) -> int:
        """The rule as people state it, in the order in which the middleware asks."""
        if len(self.hosts) != 1:
            return 400
        if self.hosts[0][1] != 200:
            return self.hosts[0][1]
        if self.origin is not None and self.origin != _ORIGINS[1]:
            return 403
        if self.site in (None, "none", "same-origin"):
            return _PASSED
        link = self.mode == "navigate" and self.destination == "document" and self.method in ("GET", "HEAD")
        return _PASSED if link and self.path in _PAGES else 403

    def request(self, port: int) -> bytes:
        headers = [("Host", host) for host, _ in self.hosts]
        headers += [("Origin", self.origin), ("Sec-Fetch-Site", self.site), ("Sec-Fetch-Mode", self.mode)]
        headers += [("Sec-Fetch-Dest", self.destination), ("Connection", "close")]
        lines = [f"{name}: {value}" for name, value in headers if value is not None]
        text = "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""])
        return text.replace("{port}", str(port)).encode("latin-1")


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """Every address with every attack in turn, then `rounds` random combinations of address and headers."""
    with live_server(folder, token=_TOKEN) as server:
        addresses = walk(server.app)
        visits = [*_each(addresses), *(_any(addresses, rng) for _ in range(rounds))]
        seen: Counter[str] = Counter()
        for visit in visits:
            seen.update(_wrongs(server, visit))
        leaked = _TOKEN in repr(list(server.app.recent_requests))  # type: ignore[attr-defined]
    wrongs = {name: seen[name] for name in ("wrong", "told_too_much", "bare_answers")}
    return {"addresses": len(addresses), "requests": len(visits), **wrongs, "token_seen": float(leaked)}


def _each(addresses: list[tuple[str, str]]) -> Iterator[Visit]:
    own, evil = ((_OWN, 200),), (("evil.example:{port}", 421),)
    for method, path in addresses:
        yield Visit(method, path, own)
        yield Visit(method, path, evil, "http://evil.example:{port}", "same-origin", "cors", "empty")  # rebound
        yield Visit(method, path, (*own, *evil))
        yield from (Visit(method, path, own, origin) for origin in _ORIGINS[1:])
        yield from (Visit(method, path, own, None, site, "no-cors", "image") for site in _SITES[3:])
        yield Visit(method, path, own, None, "cross-site", "navigate", "document")
        yield Visit(method, path, own, None, "cross-site", "navigate", "iframe")


def _any(addresses: list[tuple[str, str]], rng: random.Random) -> Visit:
    host = (_OWN, 200) if rng.random() < 0.7 else rng.choice(HOSTS)
    hosts = (host,) if rng.random() < 0.95 else (host, rng.choice(HOSTS))
    choices = (rng.choice(values) for values in (_ORIGINS, _SITES, _MODES, _DESTINATIONS))
    # another name of this server is another origin: only our own one is judged here
    origin, *fetch = choices
    return Visit(*rng.choice(addresses), hosts, origin if host[0] == _OWN or origin != _ORIGINS[1] else None, *fetch)


def _wrongs(server: LiveServer, visit: Visit) -> Iterator[str]:
    answer = answer_to(server.port, visit.request(server.port))
    head, _, body = answer.partition(b"\r\n\r\n")
    if status_of(answer) != visit.expected():
        log.warning("%d, not %d: %s", status_of(answer), visit.expected(), visit)
        yield "wrong"
    if visit.expected() in (400, 421) and len(visit.hosts) == 1 and body:
        yield "told_too_much"
    if len(visit.hosts) == 1 and b"content-security-policy" not in head.lower():
        yield "bare_answers"


CASE = Case(
    name="middleware",
    what="every address with every Host, Origin and Sec-Fetch header, then so many random combinations",
    rounds=10_000,
    reduced=400,
    bars={"wrong": "== 0", "told_too_much": "== 0", "bare_answers": "== 0", "token_seen": "== 0"},
    run=run,
)
