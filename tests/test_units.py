"""Sizes in bytes as people write them."""

from __future__ import annotations

import argparse

import pytest

from bonsai_mlx.units import byte_size, parse_bytes


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
