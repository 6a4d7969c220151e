"""The structure of the sources: rooms that a reader can take in, arrows that go one way, a page that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import architecture


@pytest.mark.slow
def test_every_rule_is_kept() -> None:
    assert architecture.faults() == []


def test_what_the_page_says_to_touch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(architecture.named_and_missing()) == []
    monkeypatch.setattr(architecture, "TEMPLATE", "1. `bonsai_mlx/moved.py`, or `bonsai_mlx/request/draw.py`")
    assert list(architecture.named_and_missing()) == ["the page names bonsai_mlx/moved.py, which is not there"]


@pytest.mark.slow
def test_the_page_is_up_to_date() -> None:
    assert architecture.PAGE.read_text("utf-8") == architecture.page(), "run scripts/architecture.py"


@pytest.fixture
def sketch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the real rooms' rules."""
    monkeypatch.setattr(architecture, "ROOT", tmp_path)
    for package in ("bonsai_mlx", "bonsai_mlx/nn", "bonsai_mlx/flux2", "server"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    return tmp_path / "bonsai_mlx"


def test_an_arrow_up_is_found_wherever_it_stands(sketch: Path) -> None:
    (sketch / "flux2" / "plan.py").touch()
    (sketch / "nn" / "linear.py").write_text("def late():\n    from ..flux2 import plan\n")
    assert architecture.faults() == [
        "bonsai_mlx.nn.linear imports bonsai_mlx.flux2.plan: bonsai_mlx.nn stands below bonsai_mlx.flux2"
    ]


def test_a_circle_is_found(sketch: Path) -> None:
    (sketch / "nn" / "linear.py").write_text("import bonsai_mlx.nn.attention\n")
    (sketch / "nn" / "attention.py").write_text("from .linear import Linear\n")
    (found,) = architecture.faults()
    assert found.startswith("a circle of imports: ")


def test_a_crowded_room_and_one_without_a_sentence_are_found(sketch: Path) -> None:
    for number in range(15):
        (sketch / "nn" / f"layer{number}.py").touch()
    (sketch / "misc").mkdir()
    (sketch / "misc" / "__init__.py").touch()
    assert architecture.faults() == [
        "bonsai_mlx/nn has 15 files; a room has at most 14",
        "bonsai_mlx.misc is a room without a sentence in ROOMS",
    ]


def test_the_transformer_reads_as_the_paper() -> None:
    text = (architecture.ROOT / "bonsai_mlx" / "flux2" / "transformer.py").read_text("utf-8")
    assert "share" not in text.lower()
    assert "shard" not in text.lower()
