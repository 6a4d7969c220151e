"""What turns numbers into bits, written as -1 and +1, and lets gradients through."""

from __future__ import annotations

import torch
from torch import Tensor

PENALTY_GAIN = 4.0  # logits of deviation 1 times this are log odds, where indecision is measured


def binarised(logits: Tensor, gain: float | None = None) -> Tensor:
    """Bits of normalised logits; gradients are those of tanh.

    With `gain` each bit is drawn with probability sigmoid(gain * logit); without it is the sign. A logit of exactly 0
    is +1.
    """
    if gain is None:
        hard = torch.where(logits >= 0, 1.0, -1.0)
    else:
        hard = torch.where(torch.rand_like(logits) < torch.sigmoid(gain * logits), 1.0, -1.0)
    soft = torch.tanh(logits)
    return soft + (hard - soft).detach()


def indecision(logits: Tensor) -> Tensor:
    """Mean p (1 - p) of the bits' probabilities: 1/4 for coins, 0 where all is decided."""
    probabilities = torch.sigmoid(PENALTY_GAIN * logits)
    return (probabilities * (1 - probabilities)).mean()


def flipped(bits: Tensor, share: Tensor) -> Tensor:
    """The bits [batch, ...] with a share [batch] of each sample's turned over."""
    at = torch.rand_like(bits) < share.view(-1, *[1] * (bits.ndim - 1))
    return torch.where(at, -bits, bits)
