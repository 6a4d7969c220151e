"""The seedlings' own writer: what it was taught on, and that what it writes is what they can draw."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from bonsai_mlx.cli.main import main
from bonsai_mlx.hub import api as hub
from bonsai_mlx.writing.files import writer_of
from bonsai_mlx.writing.survival import survival
from bonsai_mlx.writing.writer import Writer
from seedling.draw import words
from seedling.writer.pairs import inside, pair

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_pairs_say_the_same_in_more_words_and_stay_in_the_world() -> None:
    rng = random.Random(3)
    for _ in range(300):
        short, long = pair(rng)
        assert inside(long), long
        assert survival(short, long).missing == ()
        assert short != long


def test_they_tell_of_landscapes_alone_and_of_three_things() -> None:
    rng = random.Random(8)
    longs = [pair(rng)[1] for _ in range(400)]
    views = tuple(name for names in words.VIEWS.values() for name in names)
    assert sum(text.startswith(views) for text in longs) > 5
    assert sum(len(re.split(", | and ", text)) == 3 for text in longs) > 5


def test_what_is_outside_of_the_world() -> None:
    for text in (
        "a red house at night",
        "three green stars",
        "a cherry blossom bonsai in a blue pot at dawn",
        "mountains by a lake at dawn",
        "rain over the sea",
        "a snowy night in the mountains",
        "a cat, a flower and a house",
        "a big old tree beside a cat",
    ):
        assert inside(text), text
    for text in (
        "",
        "a cat in space",
        "a red house made of glass",
        "house red a",
        "a fox in oil",
    ):
        assert not inside(text), text


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    made = Writer(writer_of(hub.find("seedling-ternary")))
    yield made
    made.close()


def test_what_is_shipped_writes_what_the_seedlings_draw(writer: Writer) -> None:
    """At least 95 % of its texts: of these none but one may be outside."""
    rng, outside, lost = random.Random(11), [], []
    for place in range(20):
        short, _ = pair(rng)
        *_, last = writer.write(short, seed=place, count=1)
        outside += [] if inside(last.text) else [(short, last.text)]
        assert last.kept is not None
        lost += [(short, last.text)] if last.kept.missing else []
    assert len(outside) <= 1, outside
    assert len(lost) <= 1, lost


def test_the_command_writes_on_a_fresh_machine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    assert main(["write", "bonsai", "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(inside(line) and "bonsai" in line for line in lines)
