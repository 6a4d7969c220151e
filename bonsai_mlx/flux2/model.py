"""FLUX.2 [klein] as a model that a pipeline draws with: what is computed when, what is kept, what is dropped.

encode   the text encoder streams through, layer by layer; nothing of it stays but the embeddings
encode image  pictures that go in stream through the VAE's encoder; their latents stay
load     the packed transformer, once; it stays between pictures
denoise  modulation and context are computed first, from weights that are dropped; then `steps` Euler steps
decode   the VAE's decoder is loaded, used strip by strip and dropped
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from ..adapters.active import ActiveAdapters
from ..adapters.file import AdapterFile
from ..adapters.fitting import FittedAdapter, fitted
from ..errors import RequestError
from ..model import Adapters, Description, Pictures
from ..nn.noise import between, seeded
from ..request import Request, ResolvedRequest
from ..result import Event
from ..runtime import device
from ..runtime.memory import RunMemory
from ..text.tokenizer import TokenizedPrompt, Tokenizer
from ..weights.layout import NOWHERE, TOKENIZER, Elsewhere
from . import preview as previews
from . import scheduler, text_encoder
from .checkpoint import SCHEDULER_CLASS, Checkpoint
from .plan import CACHED_CONTEXTS, Plan, PreviewKind, adapter_bytes, choose
from .preview import TinyDecoder
from .run import Process, Run, is_guided
from .text_encoder import EmbeddingCache
from .tokens import as_tokens
from .transformer import CONTEXT, MODULATION, StepModulation, Transformer, modulation_schedule, project_context

if TYPE_CHECKING:
    from PIL.Image import Image


def open_model(
    folder: Path,
    *,
    repair: str | None = None,
    embeddings: EmbeddingCache | None = None,
    dtype: mx.Dtype | None = None,
    elsewhere: Elsewhere = NOWHERE,
) -> Flux2:
    """The model in a folder or a file (see `Checkpoint.open`); loads no weights yet. CheckpointError."""
    checkpoint = Checkpoint.open(folder, repair=repair, elsewhere=elsewhere)
    return Flux2(checkpoint, embeddings=embeddings, dtype=dtype)


class Flux2:
    """One checkpoint; see `bonsai_mlx.model.Model` for what a pipeline asks of it."""

    def __init__(
        self, checkpoint: Checkpoint, *, embeddings: EmbeddingCache | None = None, dtype: mx.Dtype | None = None
    ) -> None:
        """`dtype` is that of the activations, the device's own by default; encoded prompts are kept in `embeddings`."""
        self.checkpoint = checkpoint
        self.embeddings = embeddings or EmbeddingCache()
        self.dtype = dtype or device.activation_dtype()
        self._tokenizer = Tokenizer.from_folder(checkpoint.folders[TOKENIZER])
        self._transformer: Transformer | None = None
        self._contexts = EmbeddingCache(CACHED_CONTEXTS)
        self._modulations: dict[tuple[Any, ...], list[StepModulation]] = {}
        self._preview: previews.Show | None = None

    def describe(self) -> Description:
        checkpoint = self.checkpoint
        return Description(
            "flux2",
            checkpoint.precision,
            checkpoint.recommended_steps,
            checkpoint.recommended_size,
            checkpoint.recommended_guidance,
        )

    def sampler(self, request: ResolvedRequest) -> dict[str, Any]:
        tokens = request.width * request.height // 256
        shift = round(scheduler.empirical_mu(tokens, request.steps), 6)
        return {"scheduler": SCHEDULER_CLASS, "shift": shift}

    def resolve(self, request: Request) -> ResolvedRequest:
        own = self.checkpoint
        resolved = request.resolved(
            steps=own.recommended_steps, size=own.recommended_size, guidance=own.recommended_guidance
        )
        if resolved.init is None:
            return resolved
        scheduler.from_strength(1, resolved.steps, resolved.strength, resolved.strength_rule)  # which may leave no step
        if resolved.source_as_reference is None and (resolved.mask or resolved.extend):
            return replace(resolved, source_as_reference=self.checkpoint.learned_references)
        return resolved

    def fit(self, adapter: AdapterFile) -> FittedAdapter:
        return fitted(adapter, self.checkpoint.transformer.linears())

    def plan(
        self,
        request: ResolvedRequest,
        limit_bytes: int | None,
        *,
        preview: bool = False,
        references: Sequence[tuple[int, int]] = (),
        whole: tuple[int, int] | None = None,
        adapters: Adapters = (),
    ) -> Plan:
        changed = [(request.width, request.height)] if request.init else []
        return choose(
            self.checkpoint,
            request.width,
            request.height,
            device=device.backend(),
            item_bytes=self.dtype.size,
            limit_bytes=limit_bytes,
            guided=is_guided(request),
            preview=self._preview_kind() if preview else None,
            pictures=(*changed, *references),
            references=(*(changed if request.source_as_reference else ()), *references),
            whole=whole,
            adapters=adapter_bytes(self.checkpoint.transformer, adapters, self.dtype.size),
        )

    def prepare(self, plan: Plan) -> int:
        """See Model: a transformer of another kind of plan goes."""
        self._drop_other_transformer(streamed=plan.streamed)
        return plan.resident_bytes if self._transformer else 0

    def run(
        self,
        request: ResolvedRequest,
        plan: Plan,
        memory: RunMemory,
        *,
        pictures: Pictures | None = None,
        adapters: Adapters = (),
        latents: Any = None,
        preview: bool = False,
    ) -> Generator[Event, None, None]:
        """See Model. `latents`, a float array [1, in_channels, height/16, width/16], replace the seed's noise."""
        given = pictures or Pictures()
        size = (request.width, request.height) if given.init is None else (given.init.shape[1], given.init.shape[0])
        process = self.process(request, latents, changes=given.init is not None, size=size)
        active = ActiveAdapters.of(adapters, self.dtype)
        if self._transformer:
            self._transformer.let_go_of_others(active)
        yield from Run(self, request, process, given, active, plan, memory, preview=preview).events()

    def process(self, request: ResolvedRequest, latents: Any, *, changes: bool, size: tuple[int, int]) -> Process:
        """How this run's noise becomes latents; `changes` says that it starts from a picture.

        `size` is that of the whole picture, where the request has that of its tiles.
        """
        noise = self._noise(request, latents, size)
        strength = request.strength if changes else 1.0
        tokens = (request.width // 16) * (request.height // 16)
        levels = scheduler.from_strength(tokens, request.steps, strength, request.strength_rule)
        return scheduler.Flow(as_tokens(noise), levels)

    def unload(self) -> None:
        self._transformer = None
        self._modulations.clear()
        self._contexts = EmbeddingCache(CACHED_CONTEXTS)
        self._preview = None
        gc.collect()
        device.release_cache()

    # What a run asks for. Each is computed once and kept while it is likely to be wanted again.

    def prompt_embeddings(self, prompt: str) -> Generator[tuple[int, int], None, mx.array]:
        """Embeddings [1, tokens, joint_attention_dim]; yields (layers done, layers needed) while encoding."""
        key = (self.checkpoint.text_encoder_id(), str(self.dtype), self.checkpoint.prompt_layers, prompt)
        found = self.embeddings.get(key)
        if found is None:
            found = yield from text_encoder.encode(self.checkpoint, self.tokenize(prompt), self.dtype)
            self.embeddings.put(key, found)
        return found

    def tokenize(self, prompt: str) -> TokenizedPrompt:
        return self._tokenizer.encode_prompt(prompt, self.checkpoint.max_sequence_length)

    def context(self, prompt: str, adapters: ActiveAdapters) -> Generator[tuple[int, int], None, mx.array]:
        """The projected prompt [1, tokens, dim]; yields as `prompt_embeddings` does if those are needed for it."""
        key = (prompt, adapters.key(CONTEXT))
        found = self._contexts.get(key)
        if found is None:
            embeddings = yield from self.prompt_embeddings(prompt)
            found = project_context(self.checkpoint, embeddings, self.dtype, adapters)
            self._contexts.put(key, found)
        return found

    def modulation(self, sigmas: Sequence[float], adapters: ActiveAdapters | None = None) -> list[StepModulation]:
        key = (*sigmas, *(adapters.key(MODULATION) if adapters else ()))
        if key not in self._modulations:
            timesteps = [1000 * sigma for sigma in sigmas[:-1]]
            self._modulations = {key: modulation_schedule(self.checkpoint, timesteps, self.dtype, adapters)}
        return self._modulations[key]

    def transformer(self, *, streamed: bool, adapters: ActiveAdapters | None = None) -> Transformer:
        """The transformer, loaded on first use, with these adapters."""
        self._drop_other_transformer(streamed=streamed)  # never two at once
        if self._transformer is None:
            self._transformer = Transformer(self.checkpoint, self.dtype, streamed=streamed)
        self._transformer.adapt(adapters or ActiveAdapters(self.dtype))
        return self._transformer

    def _drop_other_transformer(self, *, streamed: bool) -> None:
        if self._transformer is not None and self._transformer.streamed != streamed:
            self.drop_transformer()

    def drop_transformer(self) -> None:
        self._transformer = None
        device.release_cache()

    def preview(self) -> Generator[tuple[int, int], None, previews.Show]:
        """The map from latents to a small picture; yields (pictures done, pictures needed) while it is fitted."""
        if self._preview is None and self.checkpoint.tiny_preview:
            self._preview = TinyDecoder(self.checkpoint, self.dtype)
        if self._preview is None:
            self._preview = yield from previews.load(self.checkpoint, self.dtype, self.as_drawn)
        return self._preview

    def _preview_kind(self) -> PreviewKind | None:
        if self.checkpoint.tiny_preview:
            return "tiny"
        return None if self._preview or previews.is_fitted(self.checkpoint) else "to be fitted"

    def as_drawn(self, latents: mx.array) -> mx.array:
        """What the transformer draws of a picture's latents [1, channels, rows, columns]: all of it."""
        return latents

    def marks(self, drawn: mx.array) -> mx.array | None:  # noqa: ARG002  for families that are told
        return None

    def morphed(self, request: ResolvedRequest, clean: mx.array, other: mx.array) -> mx.array:  # noqa: ARG002
        """Tokens between those of two pictures, for families that have any: here `resolve` refuses it."""
        return clean

    def code(self, latents: mx.array) -> str | None:  # noqa: ARG002  for families whose latents are bits
        """What stands for the picture of these latents [1, channels, rows, columns] alone, see `images.bitcode`."""
        return None

    def shown_bits(self, latents: mx.array) -> Image | None:  # noqa: ARG002  for the same
        """Latents that are still being drawn, as something to look at."""
        return None

    def _noise(self, request: ResolvedRequest, latents: Any = None, size: tuple[int, int] | None = None) -> mx.array:
        """Noise of the seed or its variation, or the caller's own: float32 [1, in_channels, height/16, width/16]."""
        width, height = size or (request.width, request.height)
        shape = (1, self.checkpoint.transformer.in_channels, height // 16, width // 16)
        if latents is None:
            noise = seeded(shape, request.seed)
            if request.variation_seed is None:
                return noise
            return between(noise, seeded(shape, request.variation_seed), request.variation_amount)
        try:
            given = np.asarray(latents, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise RequestError("latents", f"is no array of numbers ({error})") from error
        if not np.isfinite(given).all():
            raise RequestError("latents", "holds values that are not finite")
        if given.shape != shape:
            raise RequestError("latents", f"has shape {given.shape}; this size needs {shape}")
        return mx.array(given)
