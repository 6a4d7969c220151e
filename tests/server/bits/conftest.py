"""Servers whose catalog has a tiny model of bits with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub import published
from bonsai_mlx.hub.entry import Entry
from server.settings import Settings
from tests.server.conftest import QUICK, LiveServer

SIDE = 64


def bits_entry(folder: Path) -> Entry:
    return Entry(
        "seedling-bits",
        "Seedling of bits",
        "Draws in bits.",
        "binary",
        embedded_folder=folder,
        recommended_steps=4,
        recommended_size=(SIDE, SIDE),
        family="bits",
        resident_bytes=2_000_000,
    )


@pytest.fixture(scope="package", autouse=True)
def bits_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In the catalog while these tests run."""
    folder = make_checkpoint(tmp_path_factory.mktemp("bits") / "tiny", "tiny-bits", "binary")
    with pytest.MonkeyPatch.context() as patch:
        others = tuple(one for one in published.CATALOG if one.family != "bits")
        patch.setattr(published, "CATALOG", (*others, bits_entry(folder)))
        yield folder


@pytest.fixture(scope="package")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server with the real engine for all these tests."""
    patient = {"progress_floor_s": 60.0, "progress_unknown_s": 120.0, "heartbeat_kill_s": 30.0}
    own: dict[str, Any] = {"engine": "server.engine.backend:mlx_backend", "output": tmp_path_factory.mktemp("drawn")}
    with LiveServer(Settings(**(QUICK | patient | own))) as server:
        server.client.timeout = 120
        yield server
