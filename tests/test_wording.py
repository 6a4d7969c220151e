"""Sizes, times and paths as people write and read them, and what they are told to type."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from bonsai_mlx import wording
from bonsai_mlx.wording import byte_size, parse_bytes, user_path


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


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.2, "0 s"), (59.7, "1 min 0 s"), (80, "1 min 20 s"), (3_700, "1 h 1 min")]
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert wording.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (48_200_000, "48.2 MB"), (3_867_929_824, "3.87 GB")],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert wording.format_bytes(count) == text


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment's programs, which no shell looks into."""
    folder = tmp_path / "my project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "bonsai-mlx").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    return folder


def test_it_is_called_by_its_path(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wording.command() == "'my project/.venv/bin/bonsai-mlx'"
    monkeypatch.chdir(environment.parents[1])
    assert wording.command() == ".venv/bin/bonsai-mlx"
    monkeypatch.chdir("/usr")
    assert wording.command() == f"'{environment / 'bonsai-mlx'}'"


def test_it_is_called_by_its_name_where_a_shell_finds_it(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/usr/bin:{environment}")
    assert wording.command() == "bonsai-mlx"


def test_another_one_of_its_name_does_not_count(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bonsai-mlx").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wording.command() == "'my project/.venv/bin/bonsai-mlx'"


def test_what_is_not_installed_keeps_its_name(environment: Path) -> None:
    assert wording.command("pip") == "pip"
