"""Fixtures of the parity tests: reference pipelines, built once per session, and seeded noise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline

HERE = Path(__file__).parent
# Without the parity extra there is nothing to compare with.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder carries the `parity` marker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("parity")


@pytest.fixture(scope="session")
def reference() -> Callable[[Path], Flux2KleinPipeline]:
    """`reference(folder)` is the float32 torch pipeline of a checkpoint folder, kept for the session."""
    from .reference import load_reference

    built: dict[Path, Flux2KleinPipeline] = {}

    def build(folder: Path) -> Flux2KleinPipeline:
        if folder not in built:
            built[folder] = load_reference(folder)
        return built[folder]

    return build


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """`noise(channels, width, height, seed=0)`: float32 latents [1, channels, height/16, width/16]; sizes in pixels."""

    def draw(channels: int, width: int, height: int, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        return random.standard_normal((1, channels, height // 16, width // 16), dtype=np.float32)

    return draw
