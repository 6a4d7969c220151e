"""Pipelines, and small pictures of theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from tests.cli.conftest import NARROW, narrow_seedlings  # noqa: F401  a fixture

NARROWER = {name: NARROW[name] for name in ("text_encoder", "vae", "model_index")}
SMALL: dict[str, Any] = {"seed": 7, "steps": 2, "width": 64, "height": 80}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pipe(seedling: Path) -> Pipeline:
    return Pipeline.from_pretrained(seedling)


@pytest.fixture
def tiny(tiny_checkpoint: Callable[..., Path]) -> Pipeline:
    return Pipeline.from_pretrained(tiny_checkpoint(**NARROWER))


def pixels(pipe: Pipeline, prompt: str = "a red house", **changes: Any) -> np.ndarray[Any, Any]:
    return np.asarray(pipe.generate(prompt, **SMALL | changes).image)


def active() -> int:
    """Bytes MLX holds, without a collection: nothing that is over may be kept alive by a cycle."""
    return mx.get_active_memory()
