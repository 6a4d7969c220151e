# ruff: noqa: S104  (addresses are what this is about)
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.hosts import in_url, is_loopback, parse_host, plain_host


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
