"""A place of one's own to run commands in, and the Hub of the tests, which downloads by command use too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from bonsai_mlx.cli import main as cli
from bonsai_mlx.hub import published
from tests.hub.conftest import *  # noqa: F403

NARROW: dict[str, Any] = {
    "transformer": {"num_layers": 1, "num_single_layers": 1},
    "text_encoder": {"num_hidden_layers": 4},
    "vae": {"block_out_channels": [8] * 4, "norm_num_groups": 4},
    "model_index": {"text_encoder_out_layers": [1, 2, 3], "max_sequence_length": 48, "recommended_size": [128, 128]},
}


@pytest.fixture
def narrow_seedlings(tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process small random checkpoints have the seedlings' names: what is asked is what a command does with a
    model, not what the model has learnt."""
    folders = {f"seedling-{name}": tiny_checkpoint(name, **NARROW) for name in ("ternary", "binary")}
    monkeypatch.setattr(
        published,
        "CATALOG",
        tuple(
            replace(entry, embedded_folder=folders[entry.name]) if entry.name in folders else entry
            for entry in published.CATALOG
        ),
    )


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
