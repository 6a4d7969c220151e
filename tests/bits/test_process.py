"""Bernoulli diffusion against simulation and enumeration."""

from __future__ import annotations

import itertools
import math

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.bits.process import MOST_SIGNED_STEPS, Bernoulli, levels, posterior
from bonsai_mlx.errors import RequestError

from . import toy


def test_levels_fall_evenly_to_zero() -> None:
    assert levels(4, 1.0, "sigma") == [1, 0.75, 0.5, 0.25, 0]
    assert levels(16, 0.5, "sigma") == [number / 16 for number in range(8, -1, -1)]
    assert levels(16, 0.3, "sigma")[0] == 0.3
    assert len(levels(16, 0.3, "sigma")) == 6  # of width 0.06
    assert levels(4, 0.6, "steps") == [0.75, 0.5, 0.25, 0]
    with pytest.raises(RequestError, match="leaves no step of 4"):
        levels(4, 1e-17, "steps")


def test_a_step_is_bayes_rule_for_all_bits_and_levels() -> None:
    for k_t, k_s, z_t, p in itertools.product((0.0, 0.1, 0.5, 0.9), (0.2, 0.6, 0.95, 1.0), (-1, 1), (0.02, 0.5, 0.97)):
        if k_t >= k_s:
            continue
        weights = {
            z_s: sum(
                prior * (1 + k_s * z_s * z_0) / 2 * (1 + k_t / k_s * z_t * z_s) / 2
                for z_0, prior in ((1, p), (-1, 1 - p))
            )
            for z_s in (-1, 1)
        }
        flips = mx.array([[[-z_t * math.log(p / (1 - p))]]])
        found = float(posterior(mx.array([[[float(z_t)]]]), flips, 1 - k_t, 1 - k_s).item())
        assert found == pytest.approx(math.log(weights[1] / weights[-1]), abs=2e-4)


def test_a_chain_of_steps_has_the_marginals_of_the_noise() -> None:
    """From a picture that is known (certain logits), every level keeps the share of bits that it should."""
    clean = mx.ones((1, 200, 100))
    spread = levels(10, 1.0, "sigma")
    process = Bernoulli((1, 200, 100), spread, mx.random.key(3))
    tokens = process.start(None)
    for number in range(9):
        tokens = process.step(tokens, -tokens * clean * 40, number)
        kept = float(mx.mean(tokens * clean).item())
        assert kept == pytest.approx(1 - spread[number + 1], abs=5 / math.sqrt(20_000))


@pytest.mark.slow
def test_with_the_leave_one_out_logit_samples_are_true_and_with_all_evidence_they_are_not() -> None:
    truth, count, random = toy.distribution(0), 40_000, np.random.default_rng(0)
    found = {}
    for counted_twice in (False, True):
        tokens = random.choice([-1.0, 1.0], (count, toy.BITS))
        for here, there in itertools.pairwise(levels(16, 1.0, "sigma")):
            logits = toy.leave_one_out(1 - here, truth)[toy.places(tokens)]
            if counted_twice:  # what plain cross-entropy teaches: the bit's own value is part of the answer
                logits = logits + tokens * 2 * math.atanh(1 - here)
            follow = np.array(posterior(mx.array(tokens), mx.array(-tokens * logits), here, there))
            tokens = np.where(random.random(tokens.shape) < 1 / (1 + np.exp(-follow)), 1.0, -1.0)
        found[counted_twice] = toy.variation(tokens, truth)
    assert found[False] < 0.1
    assert found[True] > 2 * found[False]


def test_the_same_key_gives_the_same_bits_and_each_level_its_own() -> None:
    def run(seed: int, steps: int) -> list[np.ndarray]:
        process = Bernoulli((1, 64, 64), levels(steps, 1.0, "sigma"), mx.random.key(seed))
        tokens = process.start(None)
        found = [np.array(tokens)]
        for number in range(steps):
            tokens = process.step(tokens, mx.zeros((1, 64, 64)), number)
            found.append(np.array(tokens))
        return found

    first, again, other = run(7, 4), run(7, 4), run(8, 4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert len({bits.tobytes() for bits in first[:-1]}) == 4
    assert set(np.unique(first[-1])) == {-1.0, 1.0}


def test_the_last_step_is_a_sign_while_the_grid_is_coarse() -> None:
    """Half-decided bits follow their logit in a coarse grid, and are drawn in a fine one."""
    tokens, flips = mx.ones((1, 100, 100)), mx.full((1, 100, 100), -1.0)
    for steps, all_alike in ((MOST_SIGNED_STEPS, True), (MOST_SIGNED_STEPS + 1, False)):
        spread = [1.0] * steps + [0.0]  # only the last step counts
        last = Bernoulli((1, 100, 100), spread, mx.random.key(0)).step(tokens, flips, steps - 1)
        assert (float(mx.mean(last).item()) == 1.0) is all_alike


def test_temperature_sharpens_what_the_network_says_and_not_what_a_bit_shows() -> None:
    tokens, flips = mx.ones((1, 200, 100)), mx.zeros((1, 200, 100))
    shares = []
    for temperature, output in ((1.0, -1.0), (0.5, -1.0), (1.0, 0.0), (0.5, 0.0)):
        process = Bernoulli((1, 200, 100), [0.9, 0.5, 0.0], mx.random.key(1), temperature=temperature)
        shares.append(float(mx.mean(process.step(tokens, flips + output, 0) > 0).item()))
    assert shares[1] > shares[0] + 0.03
    assert shares[2] == shares[3]


def test_a_picture_starts_with_as_many_coins_as_its_level_says() -> None:
    clean = mx.ones((1, 200, 100))
    start = Bernoulli((1, 200, 100), [0.4, 0.0], mx.random.key(0)).start(clean)
    assert float(mx.mean(start).item()) == pytest.approx(0.6, abs=0.03)


def test_known_tokens_stay_and_the_clean_estimate_is_a_mean() -> None:
    process = Bernoulli((1, 4, 8), [1.0, 0.5, 0.0], mx.random.key(0))
    clean, drawn = -mx.ones((1, 4, 8)), mx.array([[[0.0], [1.0], [1.0], [0.0]]])
    kept = process.kept(mx.ones((1, 4, 8)), clean, drawn, 0)
    assert np.array(kept)[0, :, 0].tolist() == [-1, 1, 1, -1]
    mean = np.array(process.clean(mx.ones((1, 4, 8)), mx.full((1, 4, 8), 1.0), 0))
    assert np.allclose(mean, math.tanh(-0.5))  # at pure noise a bit shows nothing itself
