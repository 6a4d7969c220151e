"""Tiles cover a map, share what they should, and their weights add up to 1."""

from __future__ import annotations

import numpy as np
import pytest

from bonsai_mlx.editing.tiles import Spans, tiling


@pytest.mark.parametrize(
    ("length", "tile", "overlap"),
    [(64, 16, 4), (17, 16, 4), (31, 16, 4), (256, 64, 16), (16, 16, 4), (9, 16, 4), (33, 4, 1)],
)
def test_tiles_cover_a_side_evenly(length: int, tile: int, overlap: int) -> None:
    spans, size = Spans(length, tile, overlap), min(tile, length)
    assert (spans.starts[0], spans.starts[-1] + size) == (0, length)
    shared = [before + size - after for before, after in zip(spans.starts, spans.starts[1:], strict=False)]
    assert all(one >= overlap for one in shared)
    whole = np.zeros(length)
    for start, weights in zip(spans.starts, spans.weights, strict=True):
        whole[start : start + size] += weights
    assert np.allclose(whole, 1, atol=1e-6)
    assert all(np.abs(np.diff(weights)).max(initial=0) <= 2.02 / min(shared or [1]) for weights in spans.weights)
    outside = min(shared, default=0) // 4  # what a network makes of the nothing behind a tile's edge is left out
    assert all(not weights[:outside].any() for weights in spans.weights[1:])
    assert all(not weights[size - outside :].any() for weights in spans.weights[:-1])


@pytest.mark.parametrize("size", [(24, 10), (7, 33), (8, 8), (9, 15)])
def test_what_is_the_same_in_all_tiles_comes_back(size: tuple[int, int]) -> None:
    """Of a picture cut and put together, and of a map."""
    width, height = size
    picture = np.random.default_rng(1).integers(0, 256, (height * 4, width * 4, 3), dtype=np.uint8)
    tiles = tiling(size, (8, 8), 2)
    strips = list(tiles.strips(4, lambda r, c: picture[r.start * 4 : r.stop * 4, c.start * 4 : c.stop * 4]))
    together = np.concatenate([strip for strip in strips if strip is not None])
    assert (np.round(together).astype(np.uint8) == picture).all()
    assert sum(strip is None for strip in strips) == tiles.count
    whole = np.zeros((height, width))
    for rows, columns, weights in tiles.places():
        whole[rows, columns] += weights
    assert np.allclose(whole, 1, atol=1e-6)
