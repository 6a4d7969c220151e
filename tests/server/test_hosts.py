# ruff: noqa: S104  (addresses are what this is about)
import re
import socket
import subprocess
import sys
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from server.edge.security import security_stack
from server.hosts import in_url, is_loopback, own_names, parse_host, plain_host
from server.settings import Settings


@given(st.text(max_size=80))
def test_no_host_header_breaks_the_parser(value: str) -> None:
    host = parse_host(value)
    assert host is None or re.fullmatch(r"[a-z0-9._-]*|\[[0-9a-f:.]+\]", host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_everything_else_is_reachable_by_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("studio.local", "studio.local"),
        ("Studio.Local.", "studio.local"),
        ("host.docker.internal", "host.docker.internal"),
        ("192.168.1.20", "192.168.1.20"),
        ("FE80::1", "[fe80::1]"),
        ("[fe80::1]", "[fe80::1]"),
    ],
)
def test_names_that_a_host_header_can_have(given: str, host: str) -> None:
    assert plain_host(given) == host
    assert parse_host(f"{in_url(given)}:8000") == host


@pytest.mark.parametrize(
    "value",
    ["", "studio.local:8000", "[::1]:80", "http://studio.local", "studio.local/", "a b", "*", "*.local", "ä.de"],
)
def test_what_no_host_header_ever_is(value: str) -> None:
    with pytest.raises(ValueError, match="leave out http://, port and path"):
        plain_host(value)


@pytest.mark.parametrize("name", ["Ada-Mini", "ada-mini.local", "Ada-Mini.Lan."])
def test_the_names_of_this_computer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    monkeypatch.setattr(sys, "platform", "linux")
    assert own_names() >= {name.lower().rstrip("."), "ada-mini", "ada-mini.local"}


@pytest.mark.parametrize("name", ["", "größe", "192.168.1.5", "a b"])
def test_what_cannot_be_a_name_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    monkeypatch.setattr(sys, "platform", "linux")
    assert own_names() <= {"192", "192.local"}


def test_the_announced_name_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 0, "Adas-Mac-mini\n", "")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(socket, "gethostname", lambda: "dhcp-17.example.org")
    assert own_names() >= {"adas-mac-mini", "adas-mac-mini.local", "dhcp-17.example.org"}


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("0.0.0.0", "studio.local", 401),  # asked for the token: it is known by that name
        ("0.0.0.0", "STUDIO:8000", 401),
        ("192.168.1.5", "studio.local", 401),
        ("0.0.0.0", "evil.example", 421),
        ("127.0.0.1", "studio.local", 421),  # nobody in the network can come here
    ],
)
def test_own_names_reach_a_server_for_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, host: str, name: str, status: int
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "studio")
    monkeypatch.setattr(sys, "platform", "linux")
    settings = Settings(host=host, token="0123456789abcdef")  # noqa: S106

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nobody comes this far")

    client = TestClient(security_stack(app, settings, deque()))
    answers = [client.get("/health", headers={"Host": name}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {status}
    hints = [record.getMessage() for record in caplog.records if "--allowed-host" in record.getMessage()]
    if status == 421:
        assert {answer.content for answer in answers} == {b""}
        assert hints == [hints[0]]  # once
        assert f"--allowed-host {name}" in hints[0]
    else:
        assert hints == []
