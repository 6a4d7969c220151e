"""What is redrawn in the tone of its source: the smooth part of the difference goes, what was drawn stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.editing.tone import toned_like

CELL_PX = 16


def paper(width: int, height: int, level: int = 200) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("size", [(96, 64), (16, 16), (100, 41), (17, 90)])
@pytest.mark.parametrize("levels", [-12, 9])
def test_another_tone_is_taken_away(size: tuple[int, int], levels: int) -> None:
    out = toned_like(paper(*size), Image.fromarray(paper(*size, 200 + levels)), CELL_PX)
    assert (np.asarray(out) == 200).all()


def test_a_tone_that_rises_slowly_is_taken_away() -> None:
    source, slope = paper(128, 96), np.linspace(-15, 15, 96)[:, None, None]
    redrawn = Image.fromarray((source + slope).astype(np.uint8))
    assert np.abs(np.asarray(toned_like(source, redrawn, CELL_PX), int) - 200)[8:-8].max() <= 1


def test_what_was_drawn_stays() -> None:
    """A dark line and fine strokes are no tone."""
    source = paper(96, 96)
    drawn = source.copy()
    drawn[40:44] = 30
    drawn[::2, 60:] += 6
    drawn[1::2, 60:] -= 6
    out = np.asarray(toned_like(source, Image.fromarray(drawn), CELL_PX))
    assert (out[:, :40] == drawn[:, :40]).all()
    assert np.abs(out.astype(int) - drawn)[:, 60:].max() <= 1
