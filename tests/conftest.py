"""Checkpoints that tests share: the embedded seedlings, and tiny random ones made on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bonsai_mlx
from bonsai_mlx.synthesis import make_checkpoint

VARIANTS = ("ternary", "binary")


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Runs a test once for each variant."""
    return str(request.param)


@pytest.fixture
def seedling(variant: str) -> Path:
    """The embedded checkpoint of each variant in turn."""
    return Path(bonsai_mlx.__file__).parent / "seedling" / variant


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function of make_checkpoint's arguments, `out` excepted. Equal arguments share a folder: do not write into it."""
    made: dict[str, Path] = {}

    def tiny(variant: str = "ternary", seed: int = 0, **overrides: Any) -> Path:
        key = repr((variant, seed, sorted(overrides.items())))
        if key not in made:
            made[key] = make_checkpoint(tmp_path_factory.mktemp("tiny"), "tiny", variant, seed, **overrides)
        return made[key]

    return tiny
