"""Children of the server in a folder whose files have the names of modules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from server.engine import child_process


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files that end whoever imports them."""
    for name in ("server", "bonsai_mlx", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", [None, "", ":", "elsewhere:"])
def test_files_of_the_user_are_not_imported(crowded: Path, monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    command = [*child_process.command("server.checkpoints.transfer_child"), "verify", "seedling-ternary"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # it ends when its input does
    with subprocess.Popen(command, env=child_process.environment(), **pipes) as child:
        assert child.stdout is not None
        assert b'"done": true' in child.stdout.read()


def test_what_the_user_adds_to_the_path_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/one:/two")
    variables = child_process.environment(HF_HUB_OFFLINE="1")
    assert variables["PYTHONPATH"].endswith(":/one:/two")
    assert variables["HF_HUB_OFFLINE"] == "1"
