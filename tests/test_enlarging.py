"""Enlarged pictures: exact ones, and those that are redrawn in tiles without seams, in the memory of one tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.editing.pictures import PictureSet
from bonsai_mlx.editing.tiles import tiling
from bonsai_mlx.errors import OutOfMemory, RequestError
from bonsai_mlx.images.metadata import read
from bonsai_mlx.request import Enlarge, as_json, from_json
from tests.cli.conftest import NARROW

SEAM = 1.05  # of the steps inside of tiles
TONE, FLAT = 2.0, 4.0  # levels of 255: apart at most, and the deviation within a square of paper
OF_FOUR_TILES = (24, 24, 232, 232)  # of a picture of 256x256: twice as large, two by two of the seedling's tiles
TILE = 64  # pixels: what the tiny checkpoint draws best


@pytest.fixture
def pipe(tiny_checkpoint: Callable[..., Path]) -> Pipeline:
    sizes = NARROW["model_index"] | {"recommended_size": [TILE, TILE]}
    return Pipeline.from_pretrained(tiny_checkpoint(**NARROW | {"model_index": sizes}))


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def request_of(picture: Image.Image, **fields: Any) -> tuple[Enlarge, dict[str, Image.Image]]:
    pictures = PictureSet()
    request = Enlarge(pictures.keep(picture), **fields)
    return request, pictures.by_digest


@pytest.mark.parametrize("by", [2, 4])
def test_exact_is_lanczos_and_says_so(by: int, pipe: Pipeline, tmp_path: Path) -> None:
    result = pipe.enlarge(photo((48, 40)), by)
    assert (
        np.asarray(result.image) == np.asarray(photo((48, 40)).resize((48 * by, 40 * by), Image.Resampling.LANCZOS))
    ).all()
    result.save(tmp_path / "large.png")
    found = read(tmp_path / "large.png")
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.parameters == {
        "operation": "enlarge",
        "source": result.request.source,
        "by": by,
        "method": "exact",
    }
    assert (found.recipe.width, found.recipe.steps) == (48 * by, 0)


@pytest.mark.slow
def test_what_is_redrawn_has_no_transparent_parts(pipe: Pipeline) -> None:
    clear = photo((48, 40)).convert("RGBA")
    clear.putalpha(0)
    request, pictures = request_of(clear, method="refine", prompt="a star", seed=3, steps=1)
    *_, last = pipe.run(request, pictures=pictures)
    white, given = request_of(Image.new("RGB", (48, 40), "white"), method="refine", prompt="a star", seed=3, steps=1)
    *_, wanted = pipe.run(white, pictures=given)
    assert last.result is not None
    assert wanted.result is not None
    assert last.result.image.tobytes() == wanted.result.image.tobytes()


def test_what_is_redrawn_takes_its_picture_s_words(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(tiny_checkpoint(**NARROW))  # in one tile
    pipe.generate("a red fox", seed=1, steps=1, width=64, height=64).save(tmp_path / "fox.png")
    result = pipe.enlarge(tmp_path / "fox.png", method="refine", seed=3, steps=1)
    assert (result.image.size, result.request.prompt, result.steps) == ((128, 128), "a red fox", 1)
    assert from_json(as_json(result.request)) == result.request
    again = pipe.enlarge(tmp_path / "fox.png", method="refine", seed=3, steps=1)
    other = pipe.enlarge(tmp_path / "fox.png", method="refine", seed=4, steps=1)
    assert (np.asarray(result.image) == np.asarray(again.image)).all()
    assert (np.asarray(result.image) != np.asarray(other.image)).any()


@pytest.mark.slow
def test_any_size_can_be_redrawn(pipe: Pipeline) -> None:
    for size in ((50, 33), (100, 36)):
        result = pipe.enlarge(photo(size), method="refine", prompt="a fox", seed=1, steps=1)
        assert result.image.size == (2 * size[0], 2 * size[1])


def test_a_picture_of_one_tile_is_redrawn_as_edit_does(pipe: Pipeline) -> None:
    small = photo((32, 32))
    large = pipe.enlarge(small).image
    refined = pipe.enlarge(small, method="refine", prompt="a fox", seed=1, steps=2, strength=0.4)
    edited = pipe.edit(large, "a fox", seed=1, steps=2, strength=0.4, width=64, height=64)
    assert (np.asarray(refined.image) == np.asarray(edited.image)).all()


def unevenness(pixels: np.ndarray[Any, Any], borders: list[int]) -> float:
    """Steps from row to row and column to column at these places against all others."""
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(float), axis=axis)).mean(axis=(1 - axis, 2))
        across = np.isin(np.arange(1, len(steps) + 1), borders)
        found.append(steps[across].mean() / steps[~across].mean())
    return float(np.mean(found))


@pytest.fixture(scope="module")
def redrawn_and_exact() -> tuple[np.ndarray[Any, Any], ...]:
    """A picture of the seedling that was enlarged in four tiles, and the same enlarged exactly."""
    seedling = Pipeline.from_pretrained("seedling")
    source = seedling.generate("three green stars", seed=7, steps=2).image.crop(OF_FOUR_TILES)
    refined = seedling.enlarge(source, method="refine", prompt="three green stars", seed=7, steps=1)
    return np.asarray(refined.image), np.asarray(seedling.enlarge(source).image)


@pytest.mark.slow
def test_tiles_have_no_seams(redrawn_and_exact: tuple[np.ndarray[Any, Any], ...]) -> None:
    """At their borders the redrawn picture has no larger steps than the one that it was drawn from has there."""
    starts = tiling((26, 26), (16, 16), 4).rows.starts
    borders = sorted({16 * edge for start in starts for edge in (start, start + 16)} - {0, 416})
    assert borders == [160, 256]
    redrawn, exact = redrawn_and_exact
    assert unevenness(redrawn, borders) <= SEAM * unevenness(exact, borders)


@pytest.mark.slow
def test_tiles_keep_the_tone_of_the_picture(redrawn_and_exact: tuple[np.ndarray[Any, Any], ...]) -> None:
    """Flat paper stays as light as it is, though each tile by itself makes it lighter or darker."""
    redrawn, exact = (one.astype(float).reshape(8, 52, 8, 52, 3) for one in redrawn_and_exact)
    flat = exact.std(axis=(1, 3)).max(axis=2) < FLAT
    assert flat.sum() > 20
    assert np.abs(redrawn.mean(axis=(1, 3)) - exact.mean(axis=(1, 3)))[flat].max() < TONE


@pytest.mark.slow
def test_memory_is_that_of_a_tile_and_as_planned(held_by_others: int, pipe: Pipeline) -> None:
    peaks = {}
    for side in (64, 128):
        request, pictures = request_of(photo((side // 2, side // 2)), method="refine", prompt="a fox", seed=1, steps=1)
        result = list(pipe.run(request, pictures=pictures))[-1].result
        assert result is not None
        planned = pipe.plan_enlarging(request.resolved(size=(side // 2, side // 2), steps=1)).peak_bytes
        peaks[side] = result.memory["peak_bytes"] - held_by_others
        assert peaks[side] == pytest.approx(planned, rel=0.1)
    assert peaks[128] < 1.2 * peaks[64]


@pytest.mark.slow
def test_progress_is_told_tile_by_tile_and_can_be_stopped(pipe: Pipeline) -> None:
    request, pictures = request_of(photo((48, 64)), method="refine", prompt="a fox", seed=1, steps=2)
    told: dict[str, list[tuple[int, int]]] = {}
    for event in pipe.run(request, pictures=pictures, preview=True):
        told.setdefault(event.phase, []).append((event.step, event.steps))
    assert list(told) == ["enlarge", "load", "encode", "encode image", "denoise", "decode", "done"]
    assert told["denoise"] == [(done, 12) for done in range(13)]
    assert told["decode"] == [(done, 6) for done in range(1, 7)]
    run = pipe.run(request, pictures=pictures)
    assert any(event.phase == "denoise" and event.step == 4 for event in run)
    run.close()


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"by": 3}, "by", "give one of 2, 4"),
    ({"by": True}, "by", "give one of 2, 4"),
    ({"method": "magic"}, "method", "exact, refine, learned"),
    ({"method": "refine", "prompt": " "}, "prompt", "is empty"),
    ({"method": "refine", "prompt": "a fox", "strength": 0}, "strength", "out of range"),
    ({"method": "learned"}, "upscaler", "is missing"),
    ({"upscaler": "x.safetensors"}, "upscaler", "not used"),
    ({"source": "../x"}, "source", "names no picture"),
    ({"seed": -1}, "seed", "out of range"),
]


@pytest.mark.parametrize(("fields", "field", "words"), FAULTS)
def test_what_cannot_be_done_is_refused(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        Enlarge(**{"source": "a" * 64} | fields).validated()
    assert caught.value.field == field


def test_what_is_too_large_too_small_or_gone_is_refused(pipe: Pipeline) -> None:
    with pytest.raises(RequestError, match="8192x8192 pixels"):
        Enlarge("a" * 64, by=4).resolved(size=(2048, 2048), steps=4)
    with pytest.raises(RequestError, match="too small"):
        pipe.enlarge(photo((24, 80)), method="refine", prompt="a fox")
    with pytest.raises(RequestError, match="is not there"):
        list(pipe.run(Enlarge("a" * 64)))
    pipe.memory_limit_bytes = 1_000
    with pytest.raises(OutOfMemory, match="too small for 64x64"):
        pipe.enlarge(photo((64, 64)), method="refine", prompt="a fox")
