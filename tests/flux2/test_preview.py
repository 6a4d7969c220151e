"""Previews: colours one recognises, fitted once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from bonsai_mlx.flux2 import preview, vae
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.preview import LatentPreview
from bonsai_mlx.weights.layout import VAE

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def variant() -> str:
    """Both have the same VAE."""
    return "ternary"


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path]) -> Checkpoint:
    """Its VAE is quick: what is asked here is what becomes of a fit, not how good it is."""
    return Checkpoint.open(tiny_checkpoint(vae={"block_out_channels": [8] * 4, "norm_num_groups": 4}))


def held_out_picture() -> Image.Image:
    """Nothing like the pictures of the fit: a tree on a meadow."""
    picture = Image.new("RGB", (128, 96), (170, 205, 240))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 60, 128, 96], fill=(90, 160, 60))
    draw.rectangle([58, 40, 70, 80], fill=(120, 80, 40))
    draw.ellipse([36, 8, 92, 56], fill=(200, 60, 50))
    return picture


def test_colours_are_recognisable(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    picture = held_out_picture()
    latents = vae.PixelEncoder(checkpoint, mx.float32)(np.asarray(picture))
    small = loaded(checkpoint)[0](latents)
    assert (small.mode, small.size) == ("RGB", (16, 12))
    expected = np.asarray(picture.resize((16, 12), Image.Resampling.BOX), dtype=float)
    error = np.abs(np.asarray(small, dtype=float) - expected).mean()
    flat = np.abs(expected.mean(axis=(0, 1)) - expected).mean()
    assert error < 24
    assert error < flat / 2  # far better than a picture of one colour


def loaded(checkpoint: Checkpoint) -> tuple[LatentPreview, list[tuple[int, int]]]:
    """A preview, and what was told while it was fitted."""
    loading, events = preview.load(checkpoint, mx.float32), []
    while True:
        try:
            events.append(next(loading))
        except StopIteration as stop:
            return stop.value, events


def test_it_is_fitted_once(checkpoint: Checkpoint, cache: Path) -> None:
    assert not preview.is_fitted(checkpoint)
    first, events = loaded(checkpoint)
    total = events[0][1]
    assert events == [(done, total) for done in range(1, total + 1)]
    assert preview.is_fitted(checkpoint)
    (file,) = cache.iterdir()
    assert np.allclose(json.loads(file.read_text()), first._matrix)
    again, events = loaded(checkpoint)
    assert events == []
    assert np.array_equal(first._matrix, again._matrix)


def test_the_vae_is_read_once_to_fit_it(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    load = Checkpoint.load
    monkeypatch.setattr(Checkpoint, "load", lambda self, component: opened.append(component) or load(self, component))
    loaded(checkpoint)
    assert opened == [VAE, VAE]  # the encoder; then the statistics of the latents, which are all that stays
    opened.clear()
    loaded(checkpoint)
    assert opened == [VAE]


def test_fitting_can_be_stopped(checkpoint: Checkpoint) -> None:
    before = mx.get_active_memory()
    loading = preview.load(checkpoint, mx.float32)
    next(loading)
    assert mx.get_active_memory() > before
    loading.close()
    assert mx.get_active_memory() == before
    assert not preview.is_fitted(checkpoint)


Fitted = tuple[Checkpoint, str, np.ndarray]


@pytest.fixture(scope="module")
def fitted(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The checkpoint, the name of the file that a fit leaves in the cache, and what is fitted."""
    cache = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BONSAI_CACHE", str(cache))
        good = loaded(checkpoint)[0]._matrix
    (file,) = cache.iterdir()
    assert np.allclose(json.loads(file.read_text()), good)
    return checkpoint, file.name, good


@pytest.mark.parametrize("content", ["", "[[1, 2], [3]]", "[[1, 2, 3]]", "{}", "{", '"x"', "[" * 100_000, "\xff"])
def test_a_damaged_file_is_replaced(fitted: Fitted, cache: Path, content: str) -> None:
    checkpoint, name, good = fitted
    file = cache / name
    file.parent.mkdir()
    file.write_bytes(content.encode("latin-1"))
    assert np.allclose(loaded(checkpoint)[0]._matrix, good)
    assert np.allclose(json.loads(file.read_text()), good)
    assert list(cache.iterdir()) == [file]


def test_values_that_are_no_numbers_are_replaced(fitted: Fitted, cache: Path) -> None:
    checkpoint, name, good = fitted
    cache.mkdir()
    (cache / name).write_text(json.dumps(np.full(good.shape, np.nan).tolist()))
    assert np.allclose(loaded(checkpoint)[0]._matrix, good)


def test_it_works_without_a_place_for_a_cache(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "file"))
    assert np.isfinite(loaded(checkpoint)[0]._matrix).all()


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"BONSAI_CACHE": "/chosen", "XDG_CACHE_HOME": "/xdg"}, "/chosen"),
        ({"BONSAI_CACHE": "~/chosen"}, "/home/ada/chosen"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/bonsai-mlx"),
        ({"XDG_CACHE_HOME": "~/xdg"}, "/home/ada/xdg/bonsai-mlx"),
        ({"BONSAI_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/ada/.cache/bonsai-mlx"),
        ({}, "/home/ada/.cache/bonsai-mlx"),
        ({"XDG_CACHE_HOME": "~nobody-of-this-name"}, "~nobody-of-this-name/bonsai-mlx"),
    ],
)
def test_the_cache_s_place(variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BONSAI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (variables | {"HOME": "/home/ada"}).items():
        monkeypatch.setenv(name, value)
    assert preview.cache_folder() == Path(place)
