"""The loss's best answer, the step's equality with the engine's, and the bound, on bits that can be enumerated."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonsai_mlx.bits import process  # noqa: E402
from seedling.bits import bernoulli  # noqa: E402
from tests.bits import toy  # noqa: E402


def test_noise_keeps_what_it_should() -> None:
    clean = torch.ones(2, 200, 100)
    kept = bernoulli.noised(clean, torch.tensor([0.3, 1.0])).mean((1, 2))
    torch.testing.assert_close(kept, torch.tensor([0.7, 0.0]), atol=0.03, rtol=0)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_best_answer_to_either_loss_leaves_the_bit_itself_out(*, balanced: bool) -> None:
    """Of a free logit for each pair of other bits' state and own value, trained on two correlated bits."""
    truth = torch.tensor([0.4, 0.1, 0.2, 0.3])  # of (--, -+, +-, ++)
    generator, sigma = torch.Generator().manual_seed(0), 0.6
    states = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    clean = states[torch.multinomial(truth, 100_000, replacement=True, generator=generator)]
    torch.manual_seed(1)
    noisy = bernoulli.noised(clean[None], torch.tensor([sigma]))
    place = ((noisy[0, :, 0] > 0) * 2 + (noisy[0, :, 1] > 0)).long()  # what the network sees
    table = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([table], max_iter=60)
    chosen = bernoulli.balanced_loss if balanced else bernoulli.loss

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = chosen(table[place][None, :, None], clean[None, :, :1], noisy[:, :, :1], torch.tensor([sigma]))
        value.backward()
        return value

    optimizer.step(closure)
    kept = 1 - sigma
    for index, (first, second) in enumerate(states.tolist()):
        ones, zeros = (
            sum(truth[i].item() * (1 + kept * second * b) / 2 for i, (a, b) in enumerate(states.tolist()) if a == own)
            for own in (1.0, -1.0)
        )
        assert table[index].item() == pytest.approx(-first * math.log(ones / zeros), abs=0.05)


def test_a_step_is_the_engines_from_the_same_uniforms() -> None:
    random = np.random.default_rng(0)
    tokens = np.where(random.random((1, 30, 16)) < 0.5, -1.0, 1.0).astype(np.float32)
    flips = random.normal(0, 4, tokens.shape).astype(np.float32)
    uniform = random.random(tokens.shape).astype(np.float32)
    for here, there in ((1.0, 0.9), (0.5, 0.25), (0.0625, 0.0)):
        ours = bernoulli.posterior(torch.from_numpy(tokens), torch.from_numpy(flips), here, there)
        engine = process.posterior(mx.array(tokens), mx.array(flips), here, there)
        np.testing.assert_allclose(ours.numpy(), np.array(engine), atol=1e-3, rtol=1e-4)
        bits = bernoulli.drawn(ours, torch.from_numpy(uniform)).numpy()
        drawn = mx.where(mx.array(uniform) < mx.sigmoid(engine), 1.0, -1.0)
        assert np.array_equal(bits, np.array(drawn))


def test_the_bound_is_the_entropy_where_the_network_is_perfect() -> None:
    truth, each, random = toy.distribution(0), 800, np.random.default_rng(0)
    costs = []
    for u in (np.arange(50) + 0.5) / 50:
        sigma = u**2  # the cost explodes near 0
        clean = toy.STATES[random.choice(len(truth), each, p=truth)]
        noisy = np.where(random.random(clean.shape) < sigma / 2, -clean, clean)
        output = -noisy * toy.leave_one_out(1 - sigma, truth)[toy.places(noisy)]
        parts = [torch.from_numpy(part)[:, None] for part in (output, clean, noisy)]
        levels = torch.full((each,), sigma, dtype=torch.float64)
        costs.append(float(bernoulli.bound(*parts, levels).mean()) * 2 * u)
    assert np.mean(costs) == pytest.approx(toy.entropy(truth), rel=0.06)


def test_known_tokens_do_not_count() -> None:
    clean, noisy = torch.ones(1, 2, 4), torch.tensor([[[1.0] * 4, [-1.0] * 4]])
    output, sigmas = torch.zeros(1, 2, 4), torch.tensor([0.5])
    first = bernoulli.loss(output, clean, noisy, sigmas, torch.tensor([[[1.0], [0.0]]]))
    assert first.item() == pytest.approx(-math.log(0.75), abs=1e-5)  # of a bit that is not flipped, with odds of 3
