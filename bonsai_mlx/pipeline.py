"""Prompt -> prompt embeddings -> denoising -> picture, and what is in memory when.

    encode   the text encoder streams through, layer by layer; nothing of it stays but the embeddings
    load     the packed transformer, once; it stays between pictures
    denoise  modulation and context are computed first, from weights that are dropped; then `steps` Euler steps
    decode   the VAE's decoder is loaded, used strip by strip and dropped

Everything here belongs to the thread that uses it first: MLX arrays cannot cross threads.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from PIL import Image

from .errors import RequestError
from .flux2 import preview, scheduler, text_encoder, vae
from .flux2.checkpoint import SCHEDULER_CLASS, TOKENIZER, Checkpoint
from .flux2.plan import CACHED_CONTEXTS, Plan, choose
from .flux2.text_encoder import EmbeddingCache
from .flux2.transformer import StepModulation, Transformer, modulation_schedule, project_context, rotary_embedding
from .hub import api as hub
from .hub.catalog import Entry, resolve
from .images.recipe import Recipe
from .request import Event, GenerationRequest, GenerationResult, Phase
from .runtime import device
from .runtime.memory import RunMemory
from .runtime.startup import prepare
from .text.tokenizer import TokenizedPrompt, Tokenizer
from .version import __version__


class Pipeline:
    """Makes pictures from one checkpoint. See the package's docstring for how it is used."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        name: str | None = None,
        entry: Entry | None = None,
        memory_limit_bytes: int | None = None,
        embeddings: EmbeddingCache | None = None,
        dtype: mx.Dtype | None = None,
    ) -> None:
        """`dtype` is that of the activations; the device's own by default."""
        prepare()  # late where MLX is there already, which is then said
        self.checkpoint = checkpoint
        self.name = name or checkpoint.root.name
        self.entry = entry
        self.memory_limit_bytes = memory_limit_bytes
        self.embeddings = embeddings or EmbeddingCache()
        self.dtype = dtype or device.activation_dtype()
        self._tokenizer = Tokenizer.from_folder(checkpoint.folders[TOKENIZER])
        self._transformer: Transformer | None = None
        self._contexts = EmbeddingCache(CACHED_CONTEXTS)
        self._modulations: dict[tuple[int, int], list[StepModulation]] = {}
        self._preview: preview.LatentPreview | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        memory_limit_bytes: int | None = None,
        embeddings: EmbeddingCache | None = None,
        dtype: mx.Dtype | None = None,
    ) -> Pipeline:
        """Open a checkpoint by catalog name, Hub id (downloaded before) or folder. Loads no weights yet.

        A catalog name wins over a folder of that name, which is written ./ternary or given as a Path. Raises
        CheckpointError if it is missing, incomplete or damaged. `memory_limit_bytes` bounds what MLX may hold (see
        plan.choose); passing another pipeline's `embeddings` shares its encoded prompts.
        """
        folder = hub.as_folder(name_or_path)
        entry = None if folder else resolve(str(name_or_path))
        path = folder or hub.find(name_or_path)
        checkpoint = Checkpoint.open(path, repair=entry.remedy if entry else None)
        return cls(
            checkpoint,
            name=entry.name if entry else None,
            entry=entry,
            memory_limit_bytes=memory_limit_bytes,
            embeddings=embeddings,
            dtype=dtype,
        )

    def generate(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        latents: Any = None,
    ) -> GenerationResult:
        """Make one picture. What is left None is the checkpoint's recommendation, and a random seed."""
        request = GenerationRequest(prompt, seed=seed, steps=steps, width=width, height=height, latents=latents)
        *_, last = self.run(request)
        assert last.result is not None  # noqa: S101  the last event carries the result
        return last.result

    def run(self, request: GenerationRequest, *, memory: RunMemory | None = None) -> Generator[Event, None, None]:
        """Make one picture, an event at a time; the last event carries the result.

        Closing the generator at any event stops the work and frees what the run took. Raises RequestError for a bad
        request, OutOfMemory when the memory limit, or the device, is too small, and DeviceError when the device stopped
        the work. `memory` is a meter of the caller's that already runs.
        """
        checkpoint = self.checkpoint
        request = request.resolved(steps=checkpoint.recommended_steps, size=checkpoint.recommended_size)
        latents = self._initial_latents(request)
        plan = self.plan(request)
        self.drop_other_transformer(streamed=plan.streamed)  # the plan has no room for it while encoding
        goal = device.memory_goal(
            plan.peak_bytes,
            resident_bytes=plan.resident_bytes if self._transformer else 0,
            small_cache=self.memory_limit_bytes is not None,
        )
        try:
            with goal, nullcontext(memory) if memory else RunMemory() as meter:
                yield from _Run(self, request, latents, plan, meter).events()
        except (RuntimeError, MemoryError) as error:
            device.raise_failure(error, f"{request.width}x{request.height}")
            raise
        finally:
            device.release_cache()

    def plan(self, request: GenerationRequest) -> Plan:
        """How this request will use memory under the pipeline's limit; OutOfMemory if no way fits."""
        filled = request.resolved(steps=self.checkpoint.recommended_steps, size=self.checkpoint.recommended_size)
        width, height = filled.width or 0, filled.height or 0
        return choose(
            self.checkpoint,
            width,
            height,
            device=device.backend(),
            item_bytes=self.dtype.size,
            limit_bytes=self.memory_limit_bytes,
            fits_preview=request.preview and self._preview is None and not preview.is_fitted(self.checkpoint),
        )

    def unload(self) -> None:
        """Drop every weight; the next run loads them again. Prompt embeddings stay."""
        self._transformer = None
        self._modulations.clear()
        self._contexts = EmbeddingCache(CACHED_CONTEXTS)
        self._preview = None
        gc.collect()
        device.release_cache()

    def recipe(self, result: GenerationResult) -> Recipe:
        """What to write into the picture's file so that it can be made again."""
        tokens = result.image.width * result.image.height // 256
        return Recipe(
            prompt=result.request.prompt,
            seed=result.seed,
            steps=result.steps,
            width=result.image.width,
            height=result.image.height,
            variant=self.checkpoint.variant,
            model=self.name,
            repo=self.entry.repo if self.entry else None,
            revision=self.entry.revision if self.entry and self.entry.repo else None,
            scheduler=SCHEDULER_CLASS,
            shift=round(scheduler.empirical_mu(tokens, result.steps), 6),
            truncated=result.truncated or None,
            app_version=__version__,
            mlx=device.mlx_version(),
            timings=result.timings,
            peak_memory_bytes=int(result.memory["peak_bytes"]),
        )

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
        self.drop_other_transformer(streamed=streamed)  # never two at once
        if self._transformer is None:
            self._transformer = Transformer(self.checkpoint, self.dtype, streamed=streamed)
        return self._transformer

    def drop_other_transformer(self, *, streamed: bool) -> None:
        """Free a transformer of the other kind, which a run under another plan has left."""
        if self._transformer is not None and self._transformer.streamed != streamed:
            self.drop_transformer()

    def drop_transformer(self) -> None:
        """Free the transformer; the next run loads it again."""
        self._transformer = None
        device.release_cache()

    def preview(self) -> Generator[tuple[int, int], None, preview.LatentPreview]:
        """The map from latents to a small picture; yields (pictures done, pictures needed) while it is fitted."""
        if self._preview is None:
            self._preview = yield from preview.load(self.checkpoint, self.dtype)
        return self._preview

    def _initial_latents(self, request: GenerationRequest) -> mx.array:
        """Noise of the seed, or the request's own latents: float32 [1, in_channels, height/16, width/16]."""
        width, height, seed = request.width or 0, request.height or 0, request.seed or 0  # all set: it is resolved
        shape = (1, self.checkpoint.transformer.in_channels, height // 16, width // 16)
        if request.latents is None:
            # Rounded to bfloat16, so that a seed gives the picture that it gives in mflux and PrismML's studio.
            noise = mx.random.normal(shape, key=mx.random.key(seed))
            return noise.astype(mx.bfloat16).astype(mx.float32)
        try:
            given = np.asarray(request.latents, dtype=np.float32)
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
        self, pipe: Pipeline, request: GenerationRequest, latents: mx.array, plan: Plan, memory: RunMemory
    ) -> None:
        self.pipe, self.request, self.plan, self.memory = pipe, request, plan, memory
        self.seed, self.steps = request.seed or 0, request.steps or 1  # both set: the request is resolved
        self.grid = latents.shape[2:]  # rows and columns of tokens
        self.tokens = latents.reshape(1, latents.shape[1], -1).transpose(0, 2, 1)  # [1, rows * columns, channels]
        self.started = time.perf_counter()
        self.truncated = pipe.tokenize(request.prompt).truncated  # also of a prompt that was encoded before
        self.phase: Phase = "load"
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
            seed=self.seed,
            steps=self.steps,
            request=self.request,
            truncated=self.truncated,
            timings={name: round(seconds, 4) for name, seconds in self.timings.items()},
            memory=self.memory.summary(),
        )
        yield self._event("done", 1, 1, result=result)

    def _encode(self) -> Generator[Event, None, mx.array]:
        self._enter("encode")
        encoding = self.pipe.context(self.request.prompt)
        while True:
            try:
                done, total = next(encoding)
            except StopIteration as stop:
                context: mx.array = stop.value
                return context
            yield self._event("encode", done, total)

    def _preview(self) -> Generator[Event, None, tuple[preview.LatentPreview | None, int]]:
        """What makes previews, if they are wanted, and in how many parts it was fitted."""
        if not self.request.preview:
            return None, 0
        done, fitting = 0, self.pipe.preview()
        while True:
            try:
                done, total = next(fitting)
            except StopIteration as stop:
                return stop.value, done
            yield self._event("load", done, total + 1)

    def _denoise(self, context: mx.array) -> Iterator[Event]:
        self._enter("load")
        show, parts = yield from self._preview()  # as the plan has it, before the transformer is loaded
        pipe, rows, columns = self.pipe, *self.grid
        sigmas = scheduler.sigmas(rows * columns, self.steps)
        modulation = pipe.modulation(sigmas, rows * columns)
        transformer = pipe.transformer(streamed=self.plan.streamed)
        rope = rotary_embedding(pipe.checkpoint.transformer, context.shape[1], [(0, rows, columns)])
        yield self._event("load", parts + 1, parts + 1)
        self._enter("denoise")
        yield self._event("denoise", 0, self.steps)
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            velocity = transformer(self.tokens, context, modulation[step], rope)
            clean = self.tokens - sigma * velocity if show else None
            self.tokens = self.tokens + (following - sigma) * velocity
            del velocity
            mx.eval(self.tokens)
            image = show(self._as_map(clean)) if show and clean is not None else None
            yield self._event("denoise", step + 1, self.steps, preview=image)

    def _decode(self) -> Generator[Event, None, vae.Image8]:
        if self.plan.drops_transformer:
            self.pipe.drop_transformer()
        device.release_cache()
        self._enter("decode")
        pipe, plan = self.pipe, self.plan
        latents = self._as_map(self.tokens)
        decoding = vae.decode(
            pipe.checkpoint, latents, pipe.dtype, strip_values=plan.strip_values, recompute=plan.recompute
        )
        while True:
            try:
                done, total = next(decoding)
            except StopIteration as stop:
                pixels: vae.Image8 = stop.value
                return pixels
            yield self._event("decode", done, total)

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
