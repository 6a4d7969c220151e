"""`POST /metadata` reads every picture of the table as the reader itself does, and bounds what hostile ones cost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.images.pictures import CASES, HOSTILE, RECIPE, Case
from tests.server.conftest import LiveServer

MIB = 1 << 20


@pytest.mark.parametrize("name", CASES)
def test_the_settings_of_a_picture(shared: LiveServer, name: str) -> None:
    case: Case = CASES[name]
    answer = shared.client.post("/metadata", content=case.build())
    assert answer.status_code == 200, answer.text
    settings = answer.json()["settings"]
    if case.settings is None:
        assert settings is None
        return
    expected = {key: value for key, value in case.settings.items() if key != "recipe"}
    assert {key: settings[key] for key in expected} == expected
    assert case.extra.items() <= settings["extra"].items()
    assert settings["seed_text"] == (None if settings["seed"] is None else str(settings["seed"]))
    assert (settings["recipe"] is not None) == ("recipe" in case.settings)
    if settings["recipe"]:
        assert settings["recipe"]["model"] == RECIPE.model


def test_hostile_pictures_are_answered(shared: LiveServer) -> None:
    for name, data in HOSTILE.items():
        answer = shared.client.post("/metadata", content=data)
        assert answer.status_code in (200, 422), name
        assert "alert(1)" not in answer.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bomb.png", "Its settings cannot be read: a text in it is longer than 1 MB."),
        ("truncated.png", "This picture cannot be read: the PNG image is cut off."),
        ("not-an-image.png", "This picture cannot be read: the file is not a PNG, JPEG or WebP image."),
    ],
)
def test_what_cannot_be_read_is_said(shared: LiveServer, name: str, words: str) -> None:
    answer = shared.client.post("/metadata", content=HOSTILE[name])
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_picture")
    assert answer.json()["error"]["message"] == words
    assert answer.json()["error"]["remedy"]


def _large(bytes_of_pixels: int) -> bytes:
    data = CASES["a1111.png"].build()
    return data[:-12] + bytes_of_pixels.to_bytes(4) + b"IDAT" + bytes(bytes_of_pixels + 4) + data[-12:]


@pytest.mark.slow
def test_pixels_are_passed_over_and_never_held(shared: LiveServer) -> None:
    """Files of 60 MB, two at once, cost the server next to nothing."""
    data = _large(60 * MIB)

    def pieces() -> Iterator[bytes]:  # the client's own memory is part of what is measured
        yield from (data[start : start + MIB] for start in range(0, len(data), MIB))

    before = psutil.Process().memory_info().rss
    with ThreadPoolExecutor(2) as pool:
        headers = {"Content-Length": str(len(data))}
        answers = list(pool.map(lambda _: shared.client.post("/metadata", content=pieces(), headers=headers), range(2)))
    assert [answer.json()["settings"]["seed"] for answer in answers] == [1234567890] * 2
    assert psutil.Process().memory_info().rss - before < 48 * MIB


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(shared: LiveServer) -> None:
    head = f"POST /metadata HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nContent-Length: {65 * MIB}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.slow
def test_no_body_is_no_picture(shared: LiveServer) -> None:
    assert shared.client.post("/metadata").status_code == 422
    assert shared.client.get("/metadata").status_code == 405
