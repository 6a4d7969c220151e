"""What a user is told to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bonsai_mlx import program


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
    assert program.command() == "'my project/.venv/bin/bonsai-mlx'"
    monkeypatch.chdir(environment.parents[1])
    assert program.command() == ".venv/bin/bonsai-mlx"
    monkeypatch.chdir("/usr")
    assert program.command() == f"'{environment / 'bonsai-mlx'}'"


def test_it_is_called_by_its_name_where_a_shell_finds_it(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/usr/bin:{environment}")
    assert program.command() == "bonsai-mlx"


def test_another_one_of_its_name_does_not_count(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bonsai-mlx").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program.command() == "'my project/.venv/bin/bonsai-mlx'"


def test_what_is_not_installed_keeps_its_name(environment: Path) -> None:
    assert program.command("pip") == "pip"
