"""Flow matching: where the noise levels of a run lie, and the Euler step between two of them.

Reference: `diffusers.FlowMatchEulerDiscreteScheduler` with dynamic exponential shifting, and `compute_empirical_mu` of
its Flux2 pipelines. The "shift" in scheduler_config.json is not used: dynamic shifting replaces it by e^mu.
"""

from __future__ import annotations

import math

import numpy as np


def empirical_mu(image_tokens: int, steps: int) -> float:
    """How far the schedule is shifted towards noise, for (height/16) * (width/16) tokens."""
    at_200_steps = 0.00016927 * image_tokens + 0.45666666
    if image_tokens > 4300:
        return at_200_steps
    at_10_steps = 8.73809524e-05 * image_tokens + 1.89833333
    slope = (at_200_steps - at_10_steps) / 190.0
    return slope * steps + (at_200_steps - 200.0 * slope)


def sigmas(image_tokens: int, steps: int) -> list[float]:
    """The noise levels of a run: steps + 1 values falling from 1 to 0, rounded to float32 as the reference does."""
    linear = np.linspace(1.0, 1.0 / steps, steps, dtype=np.float64).astype(np.float32)
    shift = math.exp(empirical_mu(image_tokens, steps))
    shifted = shift / (shift + (1.0 / linear - 1.0))
    return [float(value) for value in shifted.astype(np.float32)] + [0.0]
