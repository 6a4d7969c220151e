"""FLUX.2 [klein] as a model that a pipeline draws with: what is computed when, what is kept, what is dropped.

encode   the text encoder streams through, layer by layer; nothing of it stays but the embeddings
load     the packed transformer, once; it stays between pictures
denoise  modulation and context are computed first, from weights that are dropped; then `steps` Euler steps
decode   the VAE's decoder is loaded, used strip by strip and dropped
"""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np
from PIL import Image

from ..errors import RequestError
from ..model import Description
from ..request import Request, ResolvedRequest
from ..result import Event, GenerationResult, Phase
from ..runtime import device
from ..runtime.memory import RunMemory
from ..text.tokenizer import TokenizedPrompt, Tokenizer
from ..weights.layout import TOKENIZER
from . import preview as previews
from . import scheduler, text_encoder, vae
from .checkpoint import SCHEDULER_CLASS, Checkpoint
from .plan import CACHED_CONTEXTS, Plan, choose
from .text_encoder import EmbeddingCache
from .transformer import StepModulation, Transformer, modulation_schedule, project_context, rotary_embedding

T = TypeVar("T")


def open_model(
    folder: Path, *, repair: str | None = None, embeddings: EmbeddingCache | None = None, dtype: mx.Dtype | None = None
) -> Flux2:
    """The model in a folder of the published layout; loads no weights yet. CheckpointError."""
    return Flux2(Checkpoint.open(folder, repair=repair), embeddings=embeddings, dtype=dtype)


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
        self._modulations: dict[tuple[int, int], list[StepModulation]] = {}
        self._preview: previews.LatentPreview | None = None

    def describe(self) -> Description:
        """See Model."""
        checkpoint = self.checkpoint
        return Description("flux2", checkpoint.precision, checkpoint.recommended_steps, checkpoint.recommended_size)

    def sampler(self, request: ResolvedRequest) -> dict[str, Any]:
        """See Model: the scheduler, and the shift of its sigmas at this size."""
        tokens = request.width * request.height // 256
        shift = round(scheduler.empirical_mu(tokens, request.steps), 6)
        return {"scheduler": SCHEDULER_CLASS, "shift": shift}

    def resolve(self, request: Request) -> ResolvedRequest:
        """See Model."""
        return request.resolved(steps=self.checkpoint.recommended_steps, size=self.checkpoint.recommended_size)

    def plan(self, request: ResolvedRequest, limit_bytes: int | None, *, preview: bool = False) -> Plan:
        """See Model."""
        return choose(
            self.checkpoint,
            request.width,
            request.height,
            device=device.backend(),
            item_bytes=self.dtype.size,
            limit_bytes=limit_bytes,
            fits_preview=preview and self._preview is None and not previews.is_fitted(self.checkpoint),
        )

    def prepare(self, plan: Plan) -> int:
        """See Model: a transformer of another kind of plan goes."""
        self._drop_other_transformer(streamed=plan.streamed)
        return plan.resident_bytes if self._transformer else 0

    def run(
        self, request: ResolvedRequest, plan: Plan, memory: RunMemory, *, latents: Any = None, preview: bool = False
    ) -> Generator[Event, None, None]:
        """See Model. `latents`, a float array [1, in_channels, height/16, width/16], replace the seed's noise."""
        yield from _Run(self, request, self._noise(request, latents), plan, memory, preview=preview).events()

    def unload(self) -> None:
        """See Model. Prompt embeddings stay."""
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
        """The prompt's tokens, padded to the checkpoint's length."""
        return self._tokenizer.encode_prompt(prompt, self.checkpoint.max_sequence_length)

    def context(self, prompt: str) -> Generator[tuple[int, int], None, mx.array]:
        """The projected prompt [1, tokens, dim]; yields as `prompt_embeddings` does if those are needed for it."""
        found = self._contexts.get((prompt,))
        if found is None:
            embeddings = yield from self.prompt_embeddings(prompt)
            found = project_context(self.checkpoint, embeddings, self.dtype)
            self._contexts.put((prompt,), found)
        return found

    def modulation(self, sigmas: list[float], image_tokens: int) -> list[StepModulation]:
        """The modulation of every step; the schedule depends on the size and the number of steps alone."""
        key = (len(sigmas), image_tokens)
        if key not in self._modulations:
            timesteps = [1000 * sigma for sigma in sigmas[:-1]]
            self._modulations = {key: modulation_schedule(self.checkpoint, timesteps, self.dtype)}
        return self._modulations[key]

    def transformer(self, *, streamed: bool) -> Transformer:
        """The transformer, loaded on first use."""
        self._drop_other_transformer(streamed=streamed)  # never two at once
        if self._transformer is None:
            self._transformer = Transformer(self.checkpoint, self.dtype, streamed=streamed)
        return self._transformer

    def _drop_other_transformer(self, *, streamed: bool) -> None:
        """Free a transformer of the other kind, which a run under another plan has left."""
        if self._transformer is not None and self._transformer.streamed != streamed:
            self.drop_transformer()

    def drop_transformer(self) -> None:
        """Free the transformer; the next run loads it again."""
        self._transformer = None
        device.release_cache()

    def preview(self) -> Generator[tuple[int, int], None, previews.LatentPreview]:
        """The map from latents to a small picture; yields (pictures done, pictures needed) while it is fitted."""
        if self._preview is None:
            self._preview = yield from previews.load(self.checkpoint, self.dtype)
        return self._preview

    def _noise(self, request: ResolvedRequest, latents: Any = None) -> mx.array:
        """Noise of the seed, or the caller's own latents: float32 [1, in_channels, height/16, width/16]."""
        shape = (1, self.checkpoint.transformer.in_channels, request.height // 16, request.width // 16)
        if latents is None:
            # Rounded to bfloat16, so that a seed gives the picture that it gives in mflux and PrismML's studio.
            noise = mx.random.normal(shape, key=mx.random.key(request.seed))
            return noise.astype(mx.bfloat16).astype(mx.float32)
        try:
            given = np.asarray(latents, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise RequestError("latents", f"is no array of numbers ({error})") from error
        if not np.isfinite(given).all():
            raise RequestError("latents", "holds values that are not finite")
        if given.shape != shape:
            raise RequestError("latents", f"has shape {given.shape}; this size needs {shape}")
        return mx.array(given)


class _Run:
    """One generation: the phases in order, each a generator of events."""

    def __init__(
        self,
        model: Flux2,
        request: ResolvedRequest,
        latents: mx.array,
        plan: Plan,
        memory: RunMemory,
        *,
        preview: bool,
    ) -> None:
        self.model, self.request, self.plan, self.memory, self.preview = model, request, plan, memory, preview
        self.grid = latents.shape[2:]  # rows and columns of tokens
        self.tokens = latents.reshape(1, latents.shape[1], -1).transpose(0, 2, 1)  # [1, rows * columns, channels]
        self.started = time.perf_counter()
        self.truncated = model.tokenize(request.prompt).truncated  # also of a prompt that was encoded before
        self.phase: Phase = "load"
        self.done = 0  # parts of the phase
        self.phase_started = self.started
        self.timings: dict[str, float] = {}

    def events(self) -> Iterator[Event]:
        """All of it."""
        yield self._event("load", 0, 1)
        context = yield from self._encode()
        yield from self._denoise(context)
        del context
        pixels = yield from self._decode()
        self._enter("done")
        self.timings["total"] = self.phase_started - self.started  # the sum of the phases, by the same clock readings
        result = GenerationResult(
            image=Image.fromarray(pixels),
            request=self.request,
            truncated=self.truncated,
            timings={name: round(seconds, 4) for name, seconds in self.timings.items()},
            memory=self.memory.summary(),
        )
        yield self._event("done", 1, 1, result=result)

    def _encode(self) -> Generator[Event, None, mx.array]:
        self._enter("encode")
        return (yield from self._told("encode", self.model.context(self.request.prompt)))

    def _told(
        self, phase: Phase, work: Generator[tuple[int, int], None, T], later: int = 0
    ) -> Generator[Event, None, T]:
        """The work with an event for each (done, total) that it yields; `later` parts of the phase follow it."""
        while True:
            try:
                done, total = next(work)
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.done = done
            yield self._event(phase, done, total + later)

    def _denoise(self, context: mx.array) -> Iterator[Event]:
        self._enter("load")
        show, self.done = None, 0
        if self.preview:  # before the transformer is loaded, as the plan has it
            show = yield from self._told("load", self.model.preview(), later=1)
        model, rows, columns = self.model, *self.grid
        sigmas = scheduler.sigmas(rows * columns, self.request.steps)
        modulation = model.modulation(sigmas, rows * columns)
        transformer = model.transformer(streamed=self.plan.streamed)
        rope = rotary_embedding(model.checkpoint.transformer, context.shape[1], [(0, rows, columns)])
        yield self._event("load", self.done + 1, self.done + 1)
        self._enter("denoise")
        yield self._event("denoise", 0, self.request.steps)
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            velocity = transformer(self.tokens, context, modulation[step], rope)
            clean = self.tokens - sigma * velocity if show else None
            self.tokens = self.tokens + (following - sigma) * velocity
            del velocity
            mx.eval(self.tokens)
            image = show(self._as_map(clean)) if show and clean is not None else None
            yield self._event("denoise", step + 1, self.request.steps, preview=image)

    def _decode(self) -> Generator[Event, None, vae.Image8]:
        if self.plan.drops_transformer:
            self.model.drop_transformer()
        device.release_cache()
        self._enter("decode")
        model, plan = self.model, self.plan
        latents = self._as_map(self.tokens)
        decoding = vae.decode(
            model.checkpoint, latents, model.dtype, strip_values=plan.strip_values, recompute=plan.recompute
        )
        return (yield from self._told("decode", decoding))

    def _as_map(self, tokens: mx.array) -> mx.array:
        """[1, rows * columns, channels] -> packed latents [1, channels, rows, columns]."""
        return tokens.transpose(0, 2, 1).reshape(1, tokens.shape[2], *self.grid)

    def _enter(self, phase: Phase) -> None:
        now = time.perf_counter()
        self.timings[self.phase] = self.timings.get(self.phase, 0.0) + now - self.phase_started
        self.phase, self.phase_started = phase, now
        self.memory.phase(phase)

    def _event(
        self,
        phase: Phase,
        step: int,
        steps: int,
        *,
        preview: Image.Image | None = None,
        result: GenerationResult | None = None,
    ) -> Event:
        elapsed = time.perf_counter() - self.started
        return Event(phase, step, steps, elapsed, truncated=self.truncated, preview=preview, result=result)
