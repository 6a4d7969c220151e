"""A model whose latents are bits: the networks are FLUX.2's, the process is Bernoulli diffusion (see `process`).

Its folder is in FLUX.2's layout; model_index.json says `"latents": {"kind": "bernoulli"}`. The autoencoder's latents
are logits, of which the signs are drawn.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from PIL import Image

from ..errors import RequestError
from ..flux2.checkpoint import Checkpoint
from ..flux2.model import Flux2
from ..flux2.text_encoder import EmbeddingCache
from ..flux2.tokens import as_tokens
from ..model import Description
from ..request import Request, ResolvedRequest
from ..weights.layout import NOWHERE, TRANSFORMER, VAE, Elsewhere
from .autoencoder import cells_of, check_draws, code_of, digest_of
from .process import Bernoulli, levels, signs

_MORPH = 0x6D6F727068  # what is drawn by the seed itself stays as it is


def open_model(
    folder: Path,
    *,
    repair: str | None = None,
    embeddings: EmbeddingCache | None = None,
    dtype: mx.Dtype | None = None,
    elsewhere: Elsewhere = NOWHERE,
) -> Bits:
    """The model in a folder; loads no weights yet. CheckpointError."""
    check_draws(folder)
    checkpoint = Checkpoint.open(folder, repair=repair, elsewhere=elsewhere)
    return Bits(checkpoint, embeddings=embeddings, dtype=dtype)


class Bits(Flux2):
    """One checkpoint; see `bonsai_mlx.model.Model` for what a pipeline asks of it."""

    _digest: bytes | None = None  # of the autoencoder, once it is known

    def describe(self) -> Description:
        checkpoint = self.checkpoint
        return Description(
            "bits",
            checkpoint.precision,
            checkpoint.recommended_steps,
            checkpoint.recommended_size,
            checkpoint.recommended_guidance,
        )

    def sampler(self, request: ResolvedRequest) -> dict[str, Any]:  # noqa: ARG002  the same for all
        return {"scheduler": self.checkpoint.scheduler_class}

    def resolve(self, request: Request) -> ResolvedRequest:
        own = self.checkpoint
        resolved = request.resolved(
            steps=own.recommended_steps, size=own.recommended_size, guidance=own.recommended_guidance, bits=True
        )
        if resolved.init is not None:
            levels(resolved.steps, resolved.strength, resolved.strength_rule)  # which may leave no step
        return resolved

    def process(self, request: ResolvedRequest, latents: Any, *, changes: bool, size: tuple[int, int]) -> Bernoulli:
        """See Flux2. `latents` are the bits to start from, -1 and +1: [1, in_channels, height/16, width/16]."""
        shape = (1, (size[0] // 16) * (size[1] // 16), self.checkpoint.transformer.in_channels)
        coins = None if latents is None else self._coins(request, latents, size)
        spread = levels(request.steps, request.strength if changes else 1.0, request.strength_rule)
        key = mx.random.key(request.seed)
        return Bernoulli(shape, spread, key, temperature=request.temperature or 1.0, coins=coins)

    def as_drawn(self, latents: mx.array) -> mx.array:
        return signs(latents)

    def morphed(self, request: ResolvedRequest, clean: mx.array, other: mx.array) -> mx.array:
        """See Flux2: each bit is one picture's or the other's, by a chance that belongs to the seed."""
        chance = mx.random.uniform(shape=clean.shape, key=mx.random.key(request.seed ^ _MORPH))
        return mx.where(chance < request.morph_weight, other, clean)

    def marks(self, drawn: mx.array) -> mx.array | None:
        """See Flux2: what the transformer was trained to find on tokens that are kept."""
        if not self.checkpoint.transformer.known_tokens:
            return None
        embedding = self.checkpoint.load(TRANSFORMER)["known_embedder.weight"]
        marks = ((1 - drawn) * embedding.astype(mx.float32)).astype(self.dtype)
        mx.eval(marks)
        return marks

    def code(self, latents: mx.array) -> str | None:
        """See Flux2; none with another decoder, whose pictures no other program could make of it."""
        if self.checkpoint.other_decoder:
            return None
        self._digest = self._digest or digest_of(self.checkpoint.sources[VAE])
        return code_of(latents, self._digest).as_text()

    def shown_bits(self, latents: mx.array) -> Image.Image:
        """See Flux2: a tile [height/8, width/8] for each channel, as many beside each other as below, +1 white."""
        cells = cells_of(latents) > 0
        rows, columns, channels = cells.shape
        across = math.isqrt(channels - 1) + 1
        down = -(-channels // across)
        tiles = np.zeros((down * across, rows, columns), bool)
        tiles[:channels] = cells.transpose(2, 0, 1)
        whole = tiles.reshape(down, across, rows, columns).transpose(0, 2, 1, 3).reshape(down * rows, across * columns)
        return Image.fromarray(whole)

    def _coins(self, request: ResolvedRequest, latents: Any, size: tuple[int, int]) -> mx.array:
        given = self._noise(request, latents, size)
        if not np.isin(np.asarray(given), (-1.0, 1.0)).all():
            raise RequestError("latents", "holds values other than -1 and +1; this model's latents are bits")
        return as_tokens(given)
