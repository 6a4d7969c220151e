"""The noise levels of a run."""

from __future__ import annotations

import itertools
import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.errors import RequestError
from bonsai_mlx.flux2.scheduler import Flow, empirical_mu, from_strength, sigmas


def test_the_seedling_s_four_steps() -> None:
    assert sigmas(64, 4) == pytest.approx([1, 0.9547, 0.8754, 0.7007, 0], abs=5e-5)


def test_mu_is_linear_in_the_steps_below_4300_tokens_and_ignores_them_above() -> None:
    assert empirical_mu(1024, 10) == pytest.approx(8.73809524e-05 * 1024 + 1.89833333)
    assert empirical_mu(1024, 200) == pytest.approx(0.00016927 * 1024 + 0.45666666)
    assert empirical_mu(4301, 4) == empirical_mu(4301, 50) == pytest.approx(0.00016927 * 4301 + 0.45666666)


@given(tokens=st.integers(16, 16384), steps=st.integers(1, 100))
def test_levels_fall_from_1_to_0(tokens: int, steps: int) -> None:
    levels = sigmas(tokens, steps)
    assert len(levels) == steps + 1
    assert (levels[0], levels[-1]) == (1.0, 0.0)
    assert all(before > after for before, after in itertools.pairwise(levels))
    assert all(level == float(np.float32(level)) for level in levels)


@given(tokens=st.integers(16, 16384), steps=st.integers(2, 100))
def test_levels_are_the_shifted_line(tokens: int, steps: int) -> None:
    shift = math.exp(empirical_mu(tokens, steps))
    for index, level in enumerate(sigmas(tokens, steps)[:-1]):
        linear = 1 - index / steps if steps > 1 else 1
        assert level == pytest.approx(shift / (shift + 1 / linear - 1), abs=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 8])
@pytest.mark.parametrize("start", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_a_start_below_one_has_all_steps(start: float, steps: int) -> None:
    found = sigmas(256, steps, start)
    assert len(found) == steps + 1
    assert found[0] == pytest.approx(start, abs=1e-6)
    assert found[-1] == 0
    assert all(before > after for before, after in itertools.pairwise(found))


def test_a_start_at_one_is_the_schedule_itself() -> None:
    for tokens, steps in ((256, 4), (1024, 4), (4096, 8)):
        assert from_strength(tokens, steps, 1.0, "sigma") == sigmas(tokens, steps)
        assert from_strength(tokens, steps, 1.0, "steps") == sigmas(tokens, steps)


@pytest.mark.parametrize(("strength", "left"), [(0.1, 1), (0.25, 1), (0.3, 2), (0.5, 2), (0.8, 4), (1.0, 4)])
def test_the_rule_of_steps_leaves_the_last_of_the_schedule(strength: float, left: int) -> None:
    whole = sigmas(1024, 4)
    assert from_strength(1024, 4, strength, "steps") == whole[4 - left :]


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    with pytest.raises(RequestError, match="leaves no step of 4"):
        from_strength(1024, 4, 1e-17, "steps")


def test_kept_tokens_are_as_noisy_as_the_others_and_always_by_the_same_noise() -> None:
    noise, clean, drawn = mx.random.normal((1, 4, 3)), mx.ones((1, 4, 3)), mx.array([[[0.0], [1.0], [0.0], [1.0]]])
    flow = Flow(noise, [0.5, 0.25, 0.0])
    tokens = flow.start(clean)
    assert mx.allclose(tokens, 0.5 * noise + 0.5)
    stepped = flow.kept(flow.step(tokens, noise - clean, 0), clean, drawn, 0)
    assert mx.allclose(stepped, 0.25 * noise + 0.75)  # the velocity is the true one, so that both kinds agree
    assert mx.array_equal(flow.kept(mx.zeros((1, 4, 3)), clean, drawn, 1), 1 - mx.broadcast_to(drawn, (1, 4, 3)))
