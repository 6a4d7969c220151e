"""Bernoulli diffusion for training: noise, loss, the step of a drawing, and a bound on what a picture costs in bits.

Bits are -1 and +1; at noise level sigma a bit is the picture's with probability k = 1 - sigma and a coin otherwise. The
network's output is, for each bit, the logit of it being flipped as all OTHER bits have it (leave-one-out). What the bit
shows itself shifts that by the known log odds (`evidence`), so the loss is plain cross-entropy on output - evidence:
its best answer is the one that the engine's step asks for (bonsai_mlx/bits/process.py).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

CERTAIN = 1 - 1e-6
LEAST_LEVEL = 1e-4  # below it a flip would be worth more than float32 can weigh


def noised(clean: Tensor, sigmas: Tensor) -> Tensor:
    """Bits [batch, tokens, channels] at noise levels [batch]."""
    flips = torch.rand_like(clean) < (sigmas / 2).view(-1, 1, 1)
    return torch.where(flips, -clean, clean)


def evidence(sigmas: Tensor) -> Tensor:
    """How much less likely than one half a flip is before anything is seen: log((1 - f) / f), f = sigma / 2."""
    flipped = sigmas.clamp_min(LEAST_LEVEL) / 2
    return torch.log1p(-flipped) - torch.log(flipped)


def loss(output: Tensor, clean: Tensor, noisy: Tensor, sigmas: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the flips in nats; `counted` [batch, tokens, 1] is 0 where tokens are known."""
    target = (clean != noisy).float()
    logits = output - evidence(sigmas).view(-1, 1, 1)
    if counted is None:
        return binary_cross_entropy_with_logits(logits, target)
    each = binary_cross_entropy_with_logits(logits, target, reduction="none") * counted
    return each.sum() / (counted.sum() * clean.shape[-1]).clamp_min(1)


def balanced_loss(output: Tensor, clean: Tensor, noisy: Tensor, sigmas: Tensor) -> Tensor:
    """The published loss: cross-entropy on the output itself, flips and the others weighted to count the same.

    It has the same best answer as `loss`.
    """
    target = (clean != noisy).float()
    flipped = (sigmas / 2).view(-1, 1, 1)
    weights = torch.where(target > 0, 1 - flipped, flipped)
    return (binary_cross_entropy_with_logits(output, target, reduction="none") * weights).mean()


def posterior(tokens: Tensor, flips: Tensor, here: Any, there: Any) -> Tensor:
    """Logits of bits at level `there` being +1, from those at `here`: the twin of bonsai_mlx.bits.process.posterior.

    Levels are numbers or tensors that broadcast.
    """
    kept_here, kept_there = 1 - torch.as_tensor(here), 1 - torch.as_tensor(there)
    mean = torch.tanh(-tokens * flips / 2)
    share = (kept_there * mean).clamp(-CERTAIN, CERTAIN)
    ratio = (kept_here / kept_there).clamp_max(CERTAIN)
    return torch.log1p(share) - torch.log1p(-share) + tokens * 2 * torch.atanh(ratio)


def drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """+1 where a uniform number is below the probability, else -1."""
    return torch.where(uniform < torch.sigmoid(logits), 1.0, -1.0)


def bound(output: Tensor, clean: Tensor, noisy: Tensor, sigmas: Tensor) -> Tensor:
    """What each sample [batch] adds to the mean that bounds the bits of a picture, at a level drawn evenly in 0..1.

    The continuous-time likelihood bound: flips happen backwards at the true rate r; the model's rate for it is s, and
    each bit costs s - r ln s + r (ln r - 1). Divide by the density of the levels where they are drawn otherwise.
    """
    kept = (1 - sigmas).view(-1, 1, 1)
    mean = (kept * noisy * torch.tanh(-noisy * output / 2)).clamp(-CERTAIN, CERTAIN)
    true = (kept * noisy * clean).clamp(-CERTAIN, CERTAIN)
    expected, actual = (1 - mean) / (1 + mean), (1 - true) / (1 + true)
    cost = expected - actual * torch.log(expected) + actual * (torch.log(actual) - 1)
    return cost.sum((1, 2)) / (2 * (1 - sigmas)) / math.log(2)
