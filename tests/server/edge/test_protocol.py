"""Connections that say nothing, or not enough, or that never read, are not kept."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from server.edge import protocol
from tests.server.conftest import LiveServer, eventually

pytestmark = pytest.mark.slow

HALF = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "


def answer(connection: socket.socket) -> bytes:
    """One whole answer in JSON."""
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(10_000)
    return received


@pytest.fixture
def impatient(serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setattr(protocol, "UNREAD_TIMEOUT_S", 0.3)
    return serve()


def test_a_silent_connection_ends_without_a_word(impatient: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=5) as connection:
        assert connection.recv(100) == b""


@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_half_a_head_is_not_waited_for(impatient: LiveServer, before: bytes) -> None:
    """Also not after a whole request, nor when it comes a byte at a time."""
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=5) as connection:
        if before:
            connection.sendall(before)
            assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(HALF)
        connection.settimeout(0.05)

        def refusal() -> bytes:
            try:
                return connection.recv(1_000)
            except TimeoutError:
                connection.sendall(HALF[:1])
                return b""

        assert eventually(refusal).startswith(b"HTTP/1.1 408")


def test_neither_a_slow_body_nor_an_idle_pause_counts_as_a_slow_head(impatient: LiveServer) -> None:
    head = b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(head)
            time.sleep(0.6)
            connection.sendall(b"{}")
            assert answer(connection).startswith(b"HTTP/1.1 422")
            time.sleep(0.6)


UNREAD = b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"  # without the token


def test_the_rest_of_a_refused_body_is_not_waited_for(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lacks the token keeps no place by sending a byte now and then."""
    monkeypatch.setattr(protocol, "UNREAD_TIMEOUT_S", 0.3)
    guarded = serve(token="a token of some length")  # noqa: S106
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=0.05) as connection:
        connection.sendall(UNREAD)
        received = [b""]

        def closed() -> bool:
            try:
                connection.sendall(b"x")  # also sooner than a connection ends that sends nothing
                received.append(connection.recv(10_000))
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return not received[-1]

        eventually(closed)
    answers = b"".join(received)
    assert answers.startswith(b"HTTP/1.1 401")
    assert answers.count(b"HTTP/1.1") == 1


def test_a_refused_body_that_arrives_leaves_the_connection_usable(live: LiveServer) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(head + b"ab")
            assert answer(connection).startswith(b"HTTP/1.1 404")
            connection.sendall(b"cd")


@pytest.mark.parametrize(("declared", "most"), [(True, protocol.DECLARED_BYTES), (False, protocol.READ_BYTES)])
def test_a_body_whose_length_was_said_is_read_in_larger_pieces(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, declared: bool, most: int
) -> None:
    """And what comes after it on the same connection in small ones again."""
    pieces: list[int] = []
    receive = protocol.H11Protocol.data_received

    def noted(self: protocol.H11Protocol, data: bytes) -> None:
        pieces.append(len(data))
        receive(self, data)

    monkeypatch.setattr(protocol.H11Protocol, "data_received", noted)
    headers = {"Content-Length": str(1 << 20)} if declared else {}
    assert live.client.post("/metadata", content=iter([b"x" * (1 << 20)]), headers=headers).status_code == 422
    assert max(pieces[1:]) == most
    pieces.clear()
    assert live.client.post("/metadata", content=b"x" * (1 << 20)).status_code == 422
    assert pieces[0] <= protocol.READ_BYTES


def test_more_connections_than_places_do_not_lock_others_out(impatient: LiveServer) -> None:
    crowd = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(520)]
    try:
        eventually(lambda: impatient.client.get("/health").status_code == 200)
    finally:
        for connection in crowd:
            connection.close()


# what leaves


ASKING = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def unread(port: int, request: bytes, count: int) -> socket.socket:
    """A connection whose caller asks for much, with all of its requests in a row, and has taken nothing yet."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", port))
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        connection.sendall(request * count)
    return connection


def places(live: LiveServer) -> list[protocol.Connection]:
    """The connections that the server keeps, beside that of the test's own client."""
    live.client.close()
    return [*live._server.server_state.connections]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("token", "header"), [(None, b""), (None, b"Connection: close\r\n"), ("a token of some length", b"")]
)
def test_a_caller_that_never_reads_keeps_no_place(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch, token: str | None, header: bytes
) -> None:
    """With the token or without, also where the connection was to end with the answer."""
    monkeypatch.setattr(protocol, "LEAVING_TIMEOUT_S", 1.0)
    monkeypatch.setattr(protocol, "SENT_BYTES", 4_096)
    live = serve(token=token)
    with unread(live.port, ASKING.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n"), 20_000):
        eventually(lambda: any(held.transport.get_write_buffer_size() for held in places(live)))
        eventually(lambda: not places(live))


def test_one_answer_waits_for_a_caller_that_does_not_read(live: LiveServer) -> None:
    size = len(live.client.get("/openapi.json").content)
    assert size > 50_000
    with unread(live.port, ASKING, 1_000):
        [held] = eventually(lambda: [c for c in places(live) if c.transport.get_write_buffer_size()])
        assert held.transport.get_write_buffer_size() <= size + 2_000


def test_a_caller_that_reads_slowly_gets_everything(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes several times as long as nothing at all may leave."""
    monkeypatch.setattr(protocol, "LEAVING_TIMEOUT_S", 0.8)
    live = serve()
    size = len(live.client.get("/openapi.json").content)
    answers = 1_600_000 // size
    with unread(live.port, ASKING, answers) as connection:
        connection.settimeout(20)
        received, started = 0, time.monotonic()
        while received < answers * size:
            time.sleep(max(0.0, started + received / 600_000 - time.monotonic()))
            part = connection.recv(16_384)
            assert part, received
            received += len(part)


class Leaving(protocol.Connection):
    """A connection of which only what leaves is seen."""

    def __init__(self, waiting: int) -> None:
        self.waiting, self.watched, self.ended = waiting, 0, ""
        self.transport = self  # type: ignore[assignment]

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def _watch_leaving(self) -> None:
        self.watched += 1


def test_what_leaves_in_time_is_watched_on_and_what_does_not_is_ended() -> None:
    before = 10 * protocol.LEAVING_BYTES
    for left, watched, ended in ((before, 0, "aborted"), (before - protocol.LEAVING_BYTES, 1, "")):
        connection = Leaving(left)
        connection._check_leaving(before)
        assert (connection.watched, connection.ended) == (watched, ended)


def test_a_connection_that_is_closing_is_not_closed_again() -> None:
    connection = Leaving(0)
    connection._give_up()
    assert connection.ended == ""
