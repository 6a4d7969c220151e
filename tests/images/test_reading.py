"""Every picture of the table gives its settings, however its bytes arrive; hostile ones cost little."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from bonsai_mlx.images.metadata import FoundMetadata, found_in_texts, read
from bonsai_mlx.images.scan import Scanner
from tests.images.pictures import CASES, HOSTILE, Case


def agrees(found: FoundMetadata | None, case: Case) -> None:
    if case.settings is None:
        assert found is None
        return
    assert found is not None
    assert {name: getattr(found, name) for name in case.settings} == case.settings
    assert case.extra.items() <= found.extra.items()


@pytest.mark.parametrize("name", CASES)
def test_the_settings_of_a_picture(name: str, tmp_path: Path) -> None:
    data = CASES[name].build()
    agrees(read(data), CASES[name])
    path = tmp_path / name
    path.write_bytes(data)
    agrees(read(path), CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_bytes_may_arrive_in_any_pieces(name: str) -> None:
    data = CASES[name].build()
    for size in (1, 7, 4096):
        scanner = Scanner()
        for start in range(0, len(data), size):
            scanner.feed(data[start : start + size])
        agrees(found_in_texts(scanner.finish().texts), CASES[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_cost_little(name: str) -> None:
    tracemalloc.start()
    try:
        read(HOSTILE[name])
    except ValueError as error:
        assert str(error)  # noqa: PT017  (either outcome is right)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_what_was_left_out_is_told() -> None:
    scanner = Scanner()
    scanner.feed(HOSTILE["bomb.png"])
    texts = scanner.finish()
    assert (texts.texts, texts.left_out) == ({}, ["a text in it is longer than 1 MB"])


def test_pixels_of_a_file_are_not_read(tmp_path: Path) -> None:
    """A picture of 60 MB costs what its texts cost."""
    data = CASES["a1111.png"].build()
    path = tmp_path / "large.png"
    path.write_bytes(data[:-12] + (60 << 20).to_bytes(4) + b"IDAT" + bytes(60 << 20) + bytes(4) + data[-12:])
    tracemalloc.start()
    agrees(read(path), CASES["a1111.png"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
