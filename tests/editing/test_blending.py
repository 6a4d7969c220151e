"""A part put back: slopes, tones, and a photo of any size in little memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.editing import blending
from bonsai_mlx.editing.blending import Painted, bands, feathered, put_back, weights_of
from bonsai_mlx.editing.frame import Frame
from bonsai_mlx.editing.tone import Tone


def toned(before: Any, after: Any, weights: Any) -> Any:
    height, width = weights.shape
    tone = Tone(width, height)
    for rows in ((0, 32), (32, height)):
        part = slice(*rows)
        tone.note(rows, before[part], after[part], weights[part])
    tone.settle()
    return after + np.concatenate([tone.rows((0, 40)), tone.rows((40, height))])


@pytest.mark.parametrize("feather", [0, 1, 2, 7, 16, 33])
def test_a_slope_is_as_wide_as_it_is_asked_to_be(feather: int) -> None:
    mask = np.zeros((120, 120), np.float32)
    mask[50:70, 50:70] = 1
    found = feathered(mask, feather)
    assert (found[50:70, 50:70] == 1).all()
    rows, columns = np.nonzero(found > 1e-6)
    assert (rows.min(), columns.max()) == (50 - feather, 69 + feather)
    middle = found[60]
    assert (np.diff(middle[:60]) >= -1e-6).all()


def test_soft_brushes_stay_soft() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[20, 20] = 0.4
    assert feathered(mask, 8)[20, 20] == pytest.approx(0.4)
    assert feathered(mask, 8).sum() == pytest.approx(0.4)


def test_a_part_takes_the_tone_of_what_surrounds_it() -> None:
    before = np.full((96, 96, 3), 100, np.uint8)
    weights = feathered(np.pad(np.ones((32, 32), np.float32), 32), 16)
    for shift in (-20, 12):
        found = toned(before, (before.astype(int) + shift).astype(np.uint8), weights)
        assert np.abs(found[32:64, 32:64] - 100).max() < 1


def test_another_thing_is_not_taken_for_another_tone() -> None:
    before = np.full((96, 96, 3), 100, np.uint8)
    weights = feathered(np.pad(np.ones((32, 32), np.float32), 32), 16)
    after = before + 90
    assert (toned(before, after, weights) == after).all()


def a_mask(width: int, height: int) -> Image.Image:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 5 : height // 2, width // 4 : width // 2] = 255
    mask[height - 3 :, : width // 3] = 128
    return Image.fromarray(mask)


@pytest.mark.parametrize("feather", [0, 1, 16, 33])
def test_bands_of_a_mask_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, feather: int) -> None:
    mask = a_mask(90, 131)
    whole = feathered(weights_of(mask), feather)
    monkeypatch.setattr(blending, "_BAND_PX", 90 * 16)
    assert len(list(bands(90, 131))) == 9
    painted = Painted(mask, feather)
    assert (np.concatenate([painted.rows(rows) for rows in bands(90, 131)]) == whole).all()
    assert (np.asarray(painted.touched()) == np.ceil(whole * 255)).all()


@pytest.mark.parametrize("drawn_size", [(60, 70), (110, 150)])
def test_a_part_put_back_in_bands_is_that_put_back_at_once(
    monkeypatch: pytest.MonkeyPatch, drawn_size: tuple[int, int]
) -> None:
    """The box reaches beyond the canvas at the left and the top, and is drawn smaller, or as large as it is."""
    frame = Frame((0, 0), (120, 160), (120, 160), (0, 0), (-20, -19, 90, 131), only_masked=True)
    noise = np.random.default_rng(1).integers(0, 255, (160, 120, 3), dtype=np.uint8)
    whole = Image.fromarray(noise).resize((120, 160))
    drawn = Image.fromarray(noise[: drawn_size[1] // 4, : drawn_size[0] // 4]).resize(drawn_size)
    painted = Painted(a_mask(90, 131), 16)
    at_once = np.asarray(put_back(whole, drawn, painted, frame)).astype(int)
    monkeypatch.setattr(blending, "_BAND_PX", 90 * 16)
    in_bands = np.asarray(put_back(whole, drawn, painted, frame)).astype(int)
    assert np.abs(at_once - in_bands).max() <= 1
    assert (at_once != in_bands).mean() < 0.001
    assert (at_once != noise).any()
    assert (at_once[131:] == noise[131:]).all()
    assert (in_bands[:, 90:] == noise[:, 90:]).all()


@pytest.mark.slow
def test_a_large_photo_needs_little_beside_itself() -> None:
    """Floating-point numbers for all of it would be 30 times as much."""
    width, height = 3000, 2000
    frame = Frame((1200, 800), (width, height), (width, height), (0, 0), (0, 0, width, height), only_masked=False)
    painted = Painted(a_mask(width, height), 16)
    whole, drawn = Image.new("RGB", (width, height)), Image.new("RGB", (1200, 800), "red")
    tracemalloc.start()
    out = put_back(whole, drawn, painted, frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.size == (width, height)
    assert peak < 130e6
