"""HEAD answers as GET does, without a body."""

from __future__ import annotations

import socket

import pytest

from tests.server.conftest import LiveServer, eventually
from tests.server.walk import walk


@pytest.mark.slow
def test_every_address_that_answers_to_get_answers_to_head(shared: LiveServer) -> None:
    paths = [path for method, path in walk(shared.app) if method == "GET" and path != "/events"]
    assert len(paths) > 40
    for path in paths:
        get, head = shared.client.get(path), shared.client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"], path


@pytest.mark.slow
def test_a_stream_has_a_head_as_well_and_nobody_listens_afterwards(shared: LiveServer) -> None:
    response = shared.client.head("/events")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    eventually(lambda: shared.studio.events.listeners == 0)
    assert shared.client.head("/events").status_code == 200


def test_the_connection_goes_on_after_a_head(shared: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        received = b""
        while received.count(b"\r\n\r\n") < 2:
            received += connection.recv(10_000)
    assert received.count(b"HTTP/1.1 200") == 2
    assert b"{" not in received


@pytest.mark.slow
def test_an_address_without_get_has_no_head(shared: LiveServer) -> None:
    assert shared.client.head("/generate").status_code == 405
    assert shared.client.head("/nowhere").status_code == 404
