"""Where pictures go: names, folders, formats, and what cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.cli.output import Output, free_name
from bonsai_mlx.images.metadata import SaveError


@pytest.mark.parametrize(
    ("given", "wanted", "suffix", "kind"),
    [
        (None, None, ".png", "png"),
        (None, "jpeg", ".jpg", "jpeg"),
        ("folder", "webp", ".webp", "webp"),
        ("a.png", None, ".png", "png"),
        ("a.JPG", None, ".JPG", "jpeg"),
        ("a.webp", "webp", ".webp", "webp"),
        ("a", "jpeg", "", "jpeg"),
    ],
)
def test_formats_and_names(
    given: str | None, wanted: Any, suffix: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    output = Output.choose(Path(given) if given else None, wanted, 1)
    output.check()
    assert output.format == kind
    path = output.save(b"data", 7)
    assert path is not None
    assert path.suffix == suffix
    assert path.read_bytes() == b"data"
    assert path.stem == ("bonsai-7" if given in (None, "folder") else "a")


def test_names_that_are_taken_stay_as_they_are(tmp_path: Path) -> None:
    output = Output(tmp_path, "png")
    names = [output.save(bytes([n]), 7) for n in range(3)]
    assert [path.name for path in names if path] == ["bonsai-7.png", "bonsai-7-2.png", "bonsai-7-3.png"]
    assert [path.read_bytes() for path in names if path] == [b"\0", b"\1", b"\2"]


def test_several_pictures_under_one_name_have_their_seeds(tmp_path: Path) -> None:
    output = Output.choose(tmp_path / "fox.png", None, 2)
    assert [path.name for seed in (7, 8) if (path := output.save(b"", seed))] == ["fox-7.png", "fox-8.png"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    Output(tmp_path / "link.png", "png").save(b"new", 7)
    assert (tmp_path / "real.png").read_bytes() == b"new"
    assert (tmp_path / "link.png").is_symlink()


@pytest.mark.parametrize(
    ("name", "wanted", "count", "words"),
    [
        ("-", None, 2, "standard output takes one picture"),
        ("a.gif", None, 1, "PNG, JPEG and WebP files are written"),
        ("a.png", "jpeg", 1, "its name says png, --format says jpeg"),
    ],
)
def test_what_the_options_cannot_mean(name: Any, wanted: Any, count: int, words: str) -> None:
    with pytest.raises(SaveError, match=words):
        Output.choose("-" if name == "-" else Path(name), wanted, count)


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="there is no such folder"):
        Output(tmp_path / "none" / "a.png", "png").check()
    (tmp_path / "circle.png").symlink_to("circle.png")
    with pytest.raises(SaveError, match="circle"):
        Output(tmp_path / "circle.png", "png").check()


def test_a_name_that_was_claimed_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object, **_options: object) -> None:
        raise SaveError("no space is left there")

    monkeypatch.setattr("bonsai_mlx.cli.output.save_picture", full)
    with pytest.raises(SaveError):
        Output(tmp_path, "png").save(b"data", 7)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="cannot save"):
        free_name(tmp_path / "none", 7, ".png")
