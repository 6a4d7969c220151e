"""Checkpoint folders that a test damages, and how they are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2.checkpoint import Checkpoint

REPAIR = "bonsai-mlx download ternary"


def refused(folder: Path) -> str:
    """The message with which the folder is refused."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder, repair=f"repair it with: {REPAIR}")
    return str(caught.value)


def change_json(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
