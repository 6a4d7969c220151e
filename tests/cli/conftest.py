"""A place of one's own to run commands in, and the Hub of the tests, which downloads by command use too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from bonsai_mlx.cli import main as cli
from tests.hub.conftest import *  # noqa: F403


@pytest.fixture
def nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty Hugging Face cache, and a folder of one's own to be in."""
    cache, here = tmp_path / "hub", tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command here; gives its exit status, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(words)
        except SystemExit as end:  # argparse: help, version, wrong usage
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run
