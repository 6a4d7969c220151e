"""Bernoulli diffusion: bits that begin as coins and become a picture's (Wang et al., Binary Latent Diffusion, 2023).

Bits are -1 and +1. At noise level sigma each is the picture's with probability k = 1 - sigma and a coin otherwise. The
transformer says for each bit how likely it is flipped, as a logit that leaves out what the bit itself shows; all that
the bit shows is then added here, once:

    logit P(z_s = +1) = 2 atanh(k_s m) + z_t 2 atanh(k_t / k_s),   m = tanh(l / 2),   l = -z_t flips / temperature

which is Bayes' rule for any two levels, the last one included. With a logit that counts the bit's own value already,
as plain cross-entropy teaches it, this would count it twice; see docs/bits.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx

from ..errors import RequestError

MOST_SIGNED_STEPS = 32  # so many steps leave more noise at the last level than pictures have, and the sign removes it
_CERTAIN = 1 - 1e-6


def levels(steps: int, strength: float, rule: str) -> list[float]:
    """Noise levels from `strength` down to 0, evenly spaced; RequestError where the rule leaves no step.

    From coins there are `steps` steps. From a picture the steps are as wide or a little narrower ("sigma"), or the
    first of `steps` are left out ("steps").
    """
    if rule == "steps":
        count = steps - int(max(steps - min(steps * strength, steps), 0))
        if count == 0:
            message = f"{strength:g} leaves no step of {steps}; the smallest with as many steps is {1 / steps:g}"
            raise RequestError("strength", message)
        return [number / steps for number in range(count, -1, -1)]
    count = math.ceil(steps * strength)
    return [strength * number / count for number in range(count, -1, -1)]


class Bernoulli:
    """The process of one run; see `flux2.run.Process`. Everything random comes from one key, a part for each level."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: Sequence[float],
        key: mx.array,
        *,
        temperature: float = 1.0,
        coins: mx.array | None = None,
    ) -> None:
        """`shape` is that of the tokens, [1, tokens, channels]; `coins` replace those of the key at the start."""
        self.levels = levels
        self._shape, self._temperature = shape, temperature
        self._keys = list(mx.split(mx.random.split(key, len(levels) + 1), len(levels) + 1))
        self._coins = coins

    def start(self, clean: mx.array | None) -> mx.array:
        coins = _bits(mx.array(0.5), self._uniform(-1)) if self._coins is None else self._coins
        if clean is None:
            return coins
        return mx.where(self._uniform(-2) < self.levels[0], coins, clean)

    def step(self, tokens: mx.array, flips: mx.array, number: int) -> mx.array:
        """See Process; the transformer's output is the logit of each bit being flipped, without its own evidence."""
        here, there = self.levels[number : number + 2]
        logits = posterior(tokens, flips / self._temperature, here, there)
        if there == 0 and len(self.levels) - 1 <= MOST_SIGNED_STEPS:
            return signs(logits)
        return _bits(mx.sigmoid(logits), self._uniform(number))

    def clean(self, tokens: mx.array, flips: mx.array, number: int) -> mx.array:
        """See Process: the mean of each bit, from -1 to 1."""
        return mx.tanh(posterior(tokens, flips, self.levels[number], 0.0) / 2)

    def kept(self, tokens: mx.array, clean: mx.array, drawn: mx.array, number: int) -> mx.array:  # noqa: ARG002
        """See Process: known tokens stay clean at every level, and the transformer is told which they are."""
        return mx.where(drawn > 0, tokens, clean)

    def _uniform(self, number: int) -> mx.array:
        return mx.random.uniform(shape=self._shape, key=self._keys[number].reshape(2))


def posterior(tokens: mx.array, flips: mx.array, here: float, there: float) -> mx.array:
    """Logits of the bits at level `there` being +1, given bits and flip logits at the noisier level `here`; float32."""
    kept_here, kept_there = 1 - here, 1 - there
    tokens = tokens.astype(mx.float32)
    mean = mx.tanh(-tokens * flips.astype(mx.float32) / 2)
    share = mx.clip(kept_there * mean, -_CERTAIN, _CERTAIN)
    evidence = 2 * math.atanh(min(kept_here / kept_there, _CERTAIN))
    return mx.log1p(share) - mx.log1p(-share) + tokens * evidence


def signs(values: mx.array) -> mx.array:
    """-1 or +1; 0 is +1."""
    return mx.where(values >= 0, 1.0, -1.0)


def _bits(probabilities: mx.array, uniform: mx.array) -> mx.array:
    return mx.where(uniform < probabilities, 1.0, -1.0)
