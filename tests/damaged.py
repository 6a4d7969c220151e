"""Checkpoint folders that a test damages, and how they are refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER, VAE

REPAIR = "bonsai-mlx download ternary"
WEIGHTS = {component: PACKED.weights(component) for component in (TRANSFORMER, TEXT_ENCODER, VAE)}


def refused(folder: Path) -> str:
    """The message with which the folder is refused."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder, repair=f"repair it with: {REPAIR}")
    return str(caught.value)


def change_json(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_header(path: Path, header: str, data: bytes, length: int | None = None) -> None:
    text = header.encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the header's entries, leaving the data as it is."""
    header, data = header_of(path)
    edit(header)
    write_header(path, json.dumps(header), data)
