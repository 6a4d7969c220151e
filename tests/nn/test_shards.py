"""Work in shares: nothing of it is lost or done twice, whoever does it and whatever goes wrong."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.plan import shares_of
from bonsai_mlx.nn.shards import WHOLE, Share, summed
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
    y, z = summed(lambda share: [x * (share.index + 1), x + share.count], count, [x])
    assert np.array_equal(np.array(y), np.arange(4) * sum(range(count + 1)))
    assert np.array_equal(np.array(z), count * (np.arange(4) + count))


@pytest.mark.skipif(blas.threads() == 1, reason="needs a BLAS whose threads can be limited, and two cores")
def test_shares_are_computed_at_the_same_time_by_a_blas_of_one_thread() -> None:
    both = threading.Barrier(2, timeout=30)
    seen = []

    def term(share: Share) -> list[mx.array]:
        both.wait()  # passes only if two shares are under way
        seen.append(blas.threads())
        return [mx.ones(1)]

    before = blas.threads()
    assert summed(term, 2, [])[0].item() == 2
    assert (seen, blas.threads()) == ([1, 1], before)


def test_a_failure_in_a_share_is_the_caller_s() -> None:
    before = blas.threads()

    def term(share: Share) -> list[mx.array]:
        raise MemoryError(f"share {share.index}")

    with pytest.raises(MemoryError, match="share 0"):
        summed(term, 4, [])
    assert blas.threads() == before


def test_the_4b_model_s_blocks_are_cut_between_heads_and_groups() -> None:
    full = SimpleNamespace(dim=3072, mlp_dim=9216, num_attention_heads=24, group_size=128)
    assert shares_of(full) == 12
    uneven = SimpleNamespace(dim=1920, mlp_dim=5760, num_attention_heads=15, group_size=128)
    assert shares_of(uneven) == 5  # seven would be wide enough


def test_a_small_model_s_blocks_are_not_cut(seedling) -> None:
    assert shares_of(Pipeline.from_pretrained(seedling).checkpoint.transformer) == WHOLE.count


@pytest.mark.skipif(device.backend() != "cpu", reason="a GPU's blocks are not cut")
def test_a_picture_is_the_same_in_any_number_of_shares(seedling, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for count in (2, WHOLE.count):
        monkeypatch.setattr("bonsai_mlx.flux2.transformer.shares", lambda config, count=count: count)
        image = Pipeline.from_pretrained(seedling).generate("a red circle", seed=1, steps=2).image
        pictures.append(np.asarray(image, dtype=int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
