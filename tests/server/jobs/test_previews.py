"""How many previews are kept, and what is said of those that are not there."""

from __future__ import annotations

import pytest

from server.errors import ApiError
from server.jobs import previews
from server.jobs.previews import Previews


def test_the_latest_counts_with_its_bits() -> None:
    kept = Previews()
    kept.keep("a", b"first", b"bits")
    assert (kept.png("a"), kept.bits("a")) == (b"first", b"bits")
    kept.keep("a", b"second")
    assert kept.png("a") == b"second"
    with pytest.raises(ApiError, match="no such bits"):
        kept.bits("a")
    with pytest.raises(ApiError, match="no such preview"):
        kept.png("b")


@pytest.mark.parametrize(
    ("size", "left"), [(1, previews.MOST), (previews.MOST_BYTES // 4, 2), (previews.MOST_BYTES, 1)]
)
def test_the_oldest_go_but_one(size: int, left: int) -> None:
    kept = Previews()
    names = [str(number) for number in range(12)]
    for name in names:
        kept.keep(name, b"p" * size, b"b" * size)
    for name in names[:-left]:
        with pytest.raises(ApiError):
            kept.png(name)
    assert all(kept.png(name) for name in names[-left:])
