"""A model whose latents are bits, tiny and random, and a folder with no more than its autoencoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.synthesis import make_checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bits") / "tiny", "tiny-bits", "binary")


@pytest.fixture(scope="session")
def autoencoder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which nothing can be drawn."""
    alone = tmp_path_factory.mktemp("autoencoder") / "alone"
    shutil.copytree(folder / "vae", alone / "vae")
    shutil.copy(folder / "model_index.json", alone)
    return alone


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


@pytest.fixture
def photo() -> Image.Image:
    """Of no size that a code may have."""
    small = Image.fromarray(np.random.default_rng(4).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((130, 100), Image.Resampling.BICUBIC)
