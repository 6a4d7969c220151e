"""Sizes in bytes, and paths, as people write them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bonsai_mlx.units import byte_size, parse_bytes, user_path


@pytest.mark.parametrize(
    ("text", "count"),
    [("1.2GB", 1_200_000_000), ("900 MB", 900_000_000), ("2GiB", 2**31), ("12345", 12345), ("5kb", 5000), ("7B", 7)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text) == byte_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1.2 pints", "nan", "1e9", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_bytes(text)
    with pytest.raises(argparse.ArgumentTypeError, match="write it like"):
        byte_size(text)


def test_paths_begin_at_home_where_they_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert user_path("~/pictures") == user_path(Path("~/pictures")) == Path("/home/ada/pictures")
    assert user_path("pictures/a~b") == Path("pictures/a~b")
    assert user_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
