# ruff: noqa: S104, S105  (addresses and tokens are what this is about)
"""The security stack, as functions and over a real socket: who comes in, and that no route forgets to ask."""

from __future__ import annotations

import ast
import asyncio
import itertools
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.responses import Response

import server
from server.app import create_app
from server.edge.pages import is_page
from server.edge.security import SECURITY_HEADERS, HostAllowlist, allowed_by_metadata, security_stack
from server.settings import Settings
from tests.server.conftest import LiveServer
from tests.server.walk import ID, filled, status_of, walk

TOKEN = "a-token-for-this-test"


def raw(port: int, request: str) -> tuple[int, str]:
    """Status and whole text of the answer to bytes that no client library would send; 0 when there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    text = answer.decode("latin-1")
    return (int(text.split(" ")[1]), text) if text else (0, "")


# hosts

HOSTS = [
    ("127.0.0.1:{port}", 200),
    ("127.0.0.1", 200),
    ("localhost:{port}", 200),
    ("LocalHost:{port}", 200),
    ("LOCALHOST", 200),
    ("localhost.", 200),
    ("[::1]:{port}", 200),
    ("[::1]", 200),
    ("localhost:9999", 200),  # a forwarded port
    ("evil.example", 421),
    ("evil.example:{port}", 421),
    ("127.0.0.1.evil.example", 421),
    ("localhost.evil.example", 421),
    ("evil-localhost", 421),
    ("0.0.0.0:{port}", 421),
    ("127.0.0.2", 421),
    ("192.168.1.10:{port}", 421),
    ("[::]:{port}", 421),
    ("[::ffff:127.0.0.1]", 421),
    ("2130706433", 421),
    ("0x7f000001", 421),
    ("127.1", 421),
    ("", 400),
    (" ", 400),
    ("localhost:8000@evil.example", 400),
    ("evil.example@localhost", 400),
    ("localhost:99999", 400),
    ("localhost:", 400),
    ("localhost:80:80", 400),
    ("localhost/evil", 400),
    ("::1", 400),
    ("localhost,evil.example", 400),
    ("http://localhost", 400),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_only_our_own_names_are_answered(shared: LiveServer, host: str, status: int) -> None:
    name = host.format(port=shared.port)
    found, text = raw(shared.port, f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
    assert found == status
    if status != 200:
        assert text.endswith("\r\n\r\n"), "a refusal says nothing"


@pytest.mark.parametrize(
    ("request_text", "statuses"),
    [
        ("GET /health HTTP/1.0\r\n\r\n", {400}),  # no Host at all
        ("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", {400}),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {400}),
        ("GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {400, 421}),
        ("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {200, 400, 404}),
    ],
)
def test_malformed_addresses_are_refused(shared: LiveServer, request_text: str, statuses: set[int]) -> None:
    assert raw(shared.port, request_text)[0] in statuses


def test_websockets_are_refused(shared: LiveServer) -> None:
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    )
    status, _ = raw(shared.port, f"GET /events HTTP/1.1\r\nHost: evil.example\r\n{upgrade}\r\n")
    assert status in (400, 403, 421)


def test_websockets_never_get_to_the_application() -> None:
    sent: list[Any] = []

    async def app(*_arguments: Any) -> None:
        pytest.fail("the application was called")

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(HostAllowlist(app, ["localhost"])({"type": "websocket", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("host", "called", "status"),
    [
        ("127.0.0.2", "127.0.0.2", 200),
        ("127.0.0.2", "localhost", 200),
        ("127.0.0.2", "127.0.0.3", 421),
        ("::1", "[::1]", 200),
        ("127.0.0.1", "127.0.0.2", 421),
    ],
)
def test_the_address_that_is_listened_on_is_answered(host: str, called: str, status: int) -> None:
    guarded = security_stack(Response(), Settings(host=host), deque())

    async def ask() -> int:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(guarded), base_url=f"http://{called}:8000"
        ) as client:
            return (await client.get("/")).status_code

    assert asyncio.run(ask()) == status


# every route asks

APP = create_app(Settings())
WALK = walk(APP)


@pytest.mark.slow
def test_the_walk_covers_the_interface() -> None:
    documented = {
        (method.upper(), filled(path)) for path, methods in APP.openapi()["paths"].items() for method in methods
    }
    assert documented <= {*WALK}
    pages = ("/", "/gallery", f"/i/{ID}", "/docs", "/openapi.json", "/static/favicon.svg")
    assert {("GET", path) for path in pages} <= {*WALK}
    assert len(WALK) > 90


def test_every_route_asks_the_door(shared: LiveServer) -> None:
    """The middleware knows no routes: every route meets two attacks in turn, and every attack many routes."""
    attacks: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{shared.port + 1}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ]
    for (method, path), attack in zip(WALK, itertools.cycle(attacks), strict=False):
        assert status_of(shared, method, path, {"Host": "evil.example"}) == 421, (method, path)
        assert status_of(shared, method, path, attack) == 403, (method, path, attack)


# the fetch metadata rule

OWN = {"host": "localhost:8000"}
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
METADATA = [
    ("GET", "/", {}, True),
    ("POST", "/generate", {}, True),  # curl
    ("POST", "/generate", {"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"}, True),
    ("GET", "/", {"sec-fetch-site": "none", **NAVIGATION}, True),  # typed, or a bookmark
    ("GET", "/", {"sec-fetch-site": "cross-site", **NAVIGATION}, True),  # a link in a note
    ("GET", f"/i/{ID}", {"sec-fetch-site": "cross-site", **NAVIGATION}, True),
    ("GET", "/gallery", {"sec-fetch-site": "same-site", **NAVIGATION}, True),
    ("POST", "/", {"sec-fetch-site": "cross-site", **NAVIGATION}, False),
    ("GET", "/images", {"sec-fetch-site": "cross-site", **NAVIGATION}, False),
    ("GET", f"/images/{ID}.png", {"sec-fetch-site": "cross-site", **NAVIGATION}, False),
    ("GET", "/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
    ("GET", "/", {"sec-fetch-site": "cross-site"}, False),
    ("GET", "/", {"sec-fetch-site": "surprise"}, False),
    ("POST", "/generate", {"sec-fetch-site": "same-origin", "origin": "null"}, False),
    ("POST", "/generate", {"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False),
    ("POST", "/generate", {"origin": "http://localhost:8000"}, True),  # a browser without fetch metadata
    ("POST", "/generate", {"origin": "https://localhost:8000"}, True),  # behind a proxy that does TLS
    ("POST", "/generate", {"origin": "http://LOCALHOST:8000"}, True),
    ("POST", "/generate", {"origin": "http://localhost"}, False),
    ("POST", "/generate", {"origin": "http://localhost:8001"}, False),
    ("POST", "/generate", {"origin": "http://localhost:8000.evil.example"}, False),
    ("POST", "/generate", {"origin": "http://localhost:port"}, False),
    ("POST", "/generate", {"origin": "file://"}, False),
    ("POST", "/generate", {"origin": ""}, False),
    ("POST", "/generate", {"origin": "chrome-extension://localhost:8000"}, False),
]


@pytest.mark.parametrize(("method", "path", "headers", "allowed"), METADATA)
def test_the_rule_in_a_table(method: str, path: str, headers: dict[str, str], allowed: bool) -> None:
    assert allowed_by_metadata(method, path, Headers(OWN | headers)) is allowed


def test_a_default_port_may_be_left_out() -> None:
    assert allowed_by_metadata("POST", "/jobs", Headers({"host": "localhost", "origin": "http://localhost:80"}))
    assert allowed_by_metadata("POST", "/jobs", Headers({"host": "localhost:443", "origin": "https://localhost"}))


def test_doubled_headers_are_refused() -> None:
    doubled = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")]
    assert not allowed_by_metadata("GET", "/", Headers(raw=doubled))


SITES = st.sampled_from([None, "none", "same-origin", "same-site", "cross-site", "x"])
ORIGINS = st.sampled_from([None, "http://localhost:8000", "null", "http://evil.example", "http://localhost:8001", "?"])


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    path=st.sampled_from(["/", "/gallery", "/generate", "/jobs", "/events", f"/i/{ID}", "/static/x"]),
    site=SITES,
    origin=ORIGINS,
    mode=st.sampled_from([None, "navigate", "cors", "no-cors"]),
    dest=st.sampled_from([None, "document", "iframe", "image", "empty"]),
)
def test_no_combination_lets_another_site_act(
    method: str, path: str, site: str | None, origin: str | None, mode: str | None, dest: str | None
) -> None:
    values = {"sec-fetch-site": site, "origin": origin, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    headers = Headers(OWN | {name: value for name, value in values.items() if value is not None})
    if allowed_by_metadata(method, path, headers):
        assert origin in (None, "http://localhost:8000")
        if site in ("cross-site", "same-site", "x"):
            assert method in ("GET", "HEAD")
            assert is_page(path)
            assert (mode, dest) == ("navigate", "document")


# the token


def test_in_a_network_addresses_are_accepted_and_names_are_not(serve: Callable[..., LiveServer]) -> None:
    lan = serve(host="0.0.0.0", token=TOKEN, allowed_host=("studio.local",))
    for host, status in [
        ("192.168.1.20:8000", 200),
        ("[fe80::1]:8000", 200),
        ("studio.local", 200),
        ("localhost", 200),
        ("0.0.0.0", 421),
        ("[::]", 421),
        ("evil.example", 421),
    ]:
        auth = f"Host: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close"
        assert raw(lan.port, f"GET /health HTTP/1.1\r\n{auth}\r\n\r\n")[0] == status


# headers


@pytest.mark.parametrize("path", ["/", "/health", "/nowhere", "/static/favicon.svg", "/images/x", "/openapi.json"])
def test_every_answer_carries_the_headers(shared: LiveServer, path: str) -> None:
    headers = shared.client.get(path).headers
    for name, value in SECURITY_HEADERS.items():
        assert headers[name] == value
    assert not [name for name in headers if name.lower().startswith("access-control-")]
    assert "server" not in headers


def test_the_policy_allows_nothing_inline_or_foreign() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src 'self' blob:; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy


def test_the_code_never_rebuilds_an_address_from_the_host_header() -> None:
    for path in Path(server.__file__).parent.rglob("*.py"):
        source = path.read_text()
        assert not re.search(r"request\.url(?!\.scheme)", source), path
        assert "BaseHTTPMiddleware" not in source, path
        assert "@app.middleware" not in source, path


@pytest.mark.slow
def test_only_the_hub_module_can_fetch_addresses() -> None:
    """No route can be made to call out: nothing in the server imports an HTTP client but mcp.py, a client."""
    clients = {"requests", "httpx", "httpx2", "aiohttp", "urllib3", "http.client", "urllib.request"}
    for path in set(Path(server.__file__).parent.rglob("*.py")) - {Path(server.__file__).with_name("mcp.py")}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not clients & set(names), path


# bodies


def test_a_large_body_is_refused_before_it_is_sent(shared: LiveServer) -> None:
    head = (
        f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {1 << 30}\r\n\r\n"
    )
    status, text = raw(shared.port, head)
    assert status == 413
    assert '"too_large"' in text


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_is_refused_while_it_arrives(shared: LiveServer, declared: bool) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 16_384

    content = b"x" * (64 * 16_384) if declared else body()
    response = shared.client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert shared.client.get("/health").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/api/generate"])
def test_a_body_that_drips_is_not_waited_for(serve: Callable[..., LiveServer], path: str) -> None:
    """The connection ends with the answer: whatever still came would be taken for the next request."""
    impatient = serve(body_timeout_s=0.3)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    status, answer = raw(impatient.port, head + "{")
    assert status == 408
    assert "connection: close" in answer.lower()
    assert "did not arrive in time" in answer


def test_the_longest_prompt_fits_into_the_body_limit(shared: LiveServer) -> None:
    response = shared.client.post("/jobs", json={"prompt": "\U0001f98a" * 16_000, "model": "nonsense"})
    assert response.json()["error"]["field"] == "model"
