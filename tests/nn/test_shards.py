"""Work in shares: nothing of it is lost or done twice, whoever does it and whatever goes wrong."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.loading import shares
from bonsai_mlx.nn.limits import share_count
from bonsai_mlx.nn.shards import Sharded, Share, summed
from bonsai_mlx.runtime import blas, device


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_shares_cover_every_channel_once(count: int) -> None:
    pieces = [range(100)[Share(index, count).of(12, 5)] for index in range(count)]
    assert [channel for piece in pieces for channel in piece] == list(range(5, 17))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_sum_is_over_all_shares(count: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "threads", lambda: threads)
    monkeypatch.setattr(blas, "single_threaded", nullcontext)
    x = mx.arange(4) * 1.0  # not computed yet: the threads may not do it
    y, z = summed(lambda index: [x * (index + 1), x + count], count, [x])
    assert np.array_equal(np.array(y), np.arange(4) * sum(range(count + 1)))
    assert np.array_equal(np.array(z), count * (np.arange(4) + count))


def test_shares_are_computed_at_the_same_time_by_a_blas_of_one_thread(two_threads: None) -> None:
    if blas.threads() == 1:
        pytest.skip("needs a BLAS whose threads can be limited")
    both = threading.Barrier(2, timeout=30)
    seen = []

    def term(index: int) -> list[mx.array]:
        both.wait()  # passes only if two shares are under way
        seen.append(blas.threads())
        return [mx.ones(1)]

    before = blas.threads()
    assert summed(term, 2, [])[0].item() == 2
    assert (seen, blas.threads()) == ([1, 1], before)


def test_a_failure_in_a_share_is_the_caller_s() -> None:
    before = blas.threads()

    def term(index: int) -> list[mx.array]:
        raise MemoryError(f"share {index}")

    with pytest.raises(MemoryError, match="share 0"):
        summed(term, 4, [])
    assert blas.threads() == before


@pytest.mark.parametrize("given", [1, 2])
def test_parts_add_up_to_an_array_or_to_several(given: int) -> None:
    class Part(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = mx.array(factor)

        def __call__(self, x: mx.array, pair: tuple[mx.array, mx.array]) -> mx.array | tuple[mx.array, mx.array]:
            out = x * self.factor + pair[0], x * self.factor - pair[1]
            return out if given == 2 else out[0]

    whole = Sharded([Part(1.0), Part(2.0), Part(4.0)])
    whole.read()
    found = whole(mx.array([1.0, 2.0]), (mx.array(1.0), mx.array(10.0)))
    if given == 1:
        assert found.tolist() == [10, 17]
    else:
        assert [array.tolist() for array in found] == [[10, 17], [-23, -16]]


def test_the_4b_model_s_blocks_are_cut_between_heads_and_groups() -> None:
    assert share_count(3072, 9216, 24, 128) == 12
    assert share_count(1920, 5760, 15, 128) == 5  # seven would be wide enough


def test_a_small_model_s_blocks_are_not_cut(seedling) -> None:
    assert shares(Pipeline.from_pretrained(seedling).model.checkpoint.transformer) == 1


@pytest.mark.slow
@pytest.mark.skipif(device.backend() != "cpu", reason="a GPU's blocks are not cut")
def test_a_picture_is_the_same_in_any_number_of_shares(seedling, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for count in (2, 1):
        monkeypatch.setattr("bonsai_mlx.flux2.loading.shares", lambda config, count=count: count)
        image = Pipeline.from_pretrained(seedling).generate("a red circle", seed=1, steps=1, width=128, height=96).image
        pictures.append(np.asarray(image, dtype=int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
