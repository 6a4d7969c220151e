"""Statistics of maps, whatever they are cut into."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bonsai_mlx.flux2.strips import Normalise


@pytest.mark.slow
@pytest.mark.parametrize("rows", [65, 700, 1024])
def test_a_large_map_in_one_piece_is_as_exact_as_in_strips(rows: int) -> None:
    """Against float64: a mean that is large beside the spread is where sums in float32 go wrong."""
    values = np.random.default_rng(0).standard_normal((1, rows, 1024, 8)).astype(np.float32) * 0.05 + 3
    norm = nn.GroupNorm(4, 8, eps=1e-6, pytorch_compatible=True)
    whole = values.astype(np.float64).reshape(-1, 4, 2)
    mean, std = whole.mean(axis=(0, 2)), np.sqrt(whole.var(axis=(0, 2)) + 1e-6)
    expected = np.repeat(1 / std, 2), np.repeat(-mean / std, 2)
    for height in (rows, 4):
        strips = iter([mx.array(values[:, start : start + height]) for start in range(0, rows, height)])
        found = Normalise(strips, norm)
        np.testing.assert_allclose(np.array(found.scale), expected[0], rtol=2e-6)
        np.testing.assert_allclose(np.array(found.shift), expected[1], rtol=2e-6)
