"""Flow matching: where the noise levels of a run lie, and the Euler step between two of them.

Reference: `diffusers.FlowMatchEulerDiscreteScheduler` with dynamic exponential shifting, and `compute_empirical_mu` of
its Flux2 pipelines. The "shift" in scheduler_config.json is not used: dynamic shifting replaces it by e^mu.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RequestError

if TYPE_CHECKING:
    import mlx.core as mx


def empirical_mu(image_tokens: int, steps: int) -> float:
    """How far the schedule is shifted towards noise, for (height/16) * (width/16) tokens."""
    at_200_steps = 0.00016927 * image_tokens + 0.45666666
    if image_tokens > 4300:
        return at_200_steps
    at_10_steps = 8.73809524e-05 * image_tokens + 1.89833333
    slope = (at_200_steps - at_10_steps) / 190.0
    return slope * steps + (at_200_steps - 200.0 * slope)


def sigmas(image_tokens: int, steps: int, start: float = 1.0) -> list[float]:
    """The noise levels of a run: steps + 1 values falling from `start` to 0, rounded to float32 as the reference does.

    The reference starts at 1. Below it the same steps are spread over what is left, before they are shifted, so that
    the first is `start` itself.
    """
    shift = math.exp(empirical_mu(image_tokens, steps))
    first = start / (start + shift * (1.0 - start))  # what the shift makes `start` of
    linear = np.linspace(first, first / steps, steps, dtype=np.float64).astype(np.float32)
    shifted = shift / (shift + (1.0 / linear - 1.0))
    return [float(value) for value in shifted.astype(np.float32)] + [0.0]


def from_strength(image_tokens: int, steps: int, strength: float, rule: str) -> list[float]:
    """The noise levels of a run that starts from a picture of which `strength` (above 0, up to 1) is noise.

    "sigma" takes `steps` steps from that level. "steps", the reference's rule, leaves out the first of the steps from
    pure noise: with 4 steps there are four starts, at about 1, 0.96, 0.88 and 0.7. RequestError where none is left.
    """
    if rule == "sigma":
        return sigmas(image_tokens, steps, strength)
    left_out = int(max(steps - min(steps * strength, steps), 0))
    if left_out == steps:
        message = f"{strength:g} leaves no step of {steps}; the smallest with as many steps is {1 / steps:g}"
        raise RequestError("strength", message)
    return sigmas(image_tokens, steps)[left_out:]


class Flow:
    """The process of one run: Gaussian noise that becomes latents along a velocity. See `run.Process`."""

    def __init__(self, noise: mx.array, levels: Sequence[float]) -> None:
        """`noise` is float32 [1, tokens, channels]."""
        self.levels = levels
        self._noise: mx.array | None = noise

    def start(self, clean: mx.array | None) -> mx.array:
        """See Process. The noise is kept only where a picture's own is asked for again."""
        noise = self._own_noise()
        if clean is None:
            self._noise = None
            return noise
        return _noised(clean, noise, self.levels[0])

    def step(self, tokens: mx.array, velocity: mx.array, number: int) -> mx.array:
        return tokens + (self.levels[number + 1] - self.levels[number]) * velocity

    def clean(self, tokens: mx.array, velocity: mx.array, number: int) -> mx.array:
        return tokens - self.levels[number] * velocity

    def kept(self, tokens: mx.array, clean: mx.array, drawn: mx.array, number: int) -> mx.array:
        """See Process: with the picture's tokens as noisy as the others, always by the same noise."""
        return drawn * tokens + (1 - drawn) * _noised(clean, self._own_noise(), self.levels[number + 1])

    def _own_noise(self) -> mx.array:
        assert self._noise is not None  # noqa: S101  a run starts once
        return self._noise


def _noised(clean: mx.array, noise: mx.array, sigma: float) -> mx.array:
    return sigma * noise + (1 - sigma) * clean
