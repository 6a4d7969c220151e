"""One generation, phase by phase, each a generator of events.

The denoising loop is one for all that a request may ask. What differs is what it starts from (`_start`), what is
appended to the image stream (`_References`), and what is put back after each step (`_Kept`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import mlx.core as mx
from PIL import Image

from ..model import Pictures
from ..request import ResolvedRequest
from ..result import Event, GenerationResult, Phase
from ..runtime import device
from ..runtime.memory import RunMemory
from ..text.tokenizer import TokenizedPrompt
from . import scheduler, vae
from .checkpoint import Checkpoint
from .plan import Plan
from .preview import LatentPreview
from .transformer import Grid, StepModulation, Transformer, rotary_embedding

T = TypeVar("T")
_REFERENCE_T = 10  # the first reference's place in time, and the distance to the next; the picture itself has 0


class Parts(Protocol):
    """What a run asks of the model (see model.Flux2): each is computed or loaded when it is asked for."""

    checkpoint: Checkpoint
    dtype: mx.Dtype

    def tokenize(self, prompt: str) -> TokenizedPrompt: ...
    def context(self, prompt: str) -> Generator[tuple[int, int], None, mx.array]: ...
    def modulation(self, sigmas: list[float]) -> list[StepModulation]: ...
    def transformer(self, *, streamed: bool) -> Transformer: ...
    def drop_transformer(self) -> None: ...
    def preview(self) -> Generator[tuple[int, int], None, LatentPreview]: ...


@dataclass(frozen=True, slots=True)
class _References:
    """Pictures that are looked at: clean latents [1, tokens, channels] and where each one's tokens stand."""

    tokens: mx.array
    grids: Sequence[Grid]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a mask protects: [1, tokens, channels], with the mask [1, tokens, 1], 1 where the picture is drawn anew."""

    clean: mx.array
    noise: mx.array
    mask: mx.array

    def put_back(self, tokens: mx.array, sigma: float) -> mx.array:
        """The tokens, with the protected ones as the picture has them at this noise level: always the same noise."""
        return self.mask * tokens + (1 - self.mask) * _noised(self.clean, self.noise, sigma)


def _noised(clean: mx.array, noise: mx.array, sigma: float) -> mx.array:
    return sigma * noise + (1 - sigma) * clean


def _as_tokens(latents: mx.array) -> mx.array:
    """Packed latents [1, channels, rows, columns] -> [1, rows * columns, channels]."""
    return latents.reshape(1, latents.shape[1], -1).transpose(0, 2, 1)


class Run:
    """One generation; made anew for each."""

    def __init__(
        self,
        model: Parts,
        request: ResolvedRequest,
        noise: mx.array,
        pictures: Pictures,
        plan: Plan,
        memory: RunMemory,
        *,
        preview: bool,
    ) -> None:
        """`noise` is float32 [1, in_channels, height/16, width/16]."""
        self.model, self.request, self.plan, self.memory, self.preview = model, request, plan, memory, preview
        self.pictures = pictures
        self.grid = noise.shape[2:]  # rows and columns of tokens
        self.tokens = _as_tokens(noise)  # as far as they are
        rows, columns = self.grid
        rule = request.strength_rule
        self.sigmas = scheduler.from_strength(rows * columns, request.steps, self._strength(), rule)
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
        kept, references = yield from self._encode_pictures()
        yield from self._denoise(context, kept, references)
        del context, kept, references
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

    def _strength(self) -> float:
        return 1.0 if self.pictures.init is None else self.request.strength

    def _encode_pictures(self) -> Generator[Event, None, tuple[_Kept | None, _References | None]]:
        """Encode what goes in, one picture after the other, and set where the tokens start."""
        pictures = self.pictures
        pixels = [*([] if pictures.init is None else [pictures.init]), *pictures.references]
        if not pixels:
            return None, None
        self._enter("encode image")
        latents = []
        for place, picture in enumerate(pixels):
            latents.append((yield from self._encoded(picture, place, len(pixels))))
            device.release_cache()
        clean = None if pictures.init is None else _as_tokens(latents[0])
        looked_at = latents if clean is None or self.request.source_as_reference else latents[1:]
        return self._start(clean), _appended(looked_at)

    def _encoded(self, pixels: vae.Image8, place: int, count: int) -> Generator[Event, None, mx.array]:
        """Packed latents of one of `count` pictures."""
        model, plan = self.model, self.plan
        work = vae.encode(
            model.checkpoint, pixels, model.dtype, strip_values=plan.strip_values, recompute=plan.recompute
        )
        while True:
            try:
                done, total = next(work)
            except StopIteration as stop:
                latents: mx.array = stop.value
                return latents
            yield self._event("encode image", place * total + done, count * total)

    def _start(self, clean: mx.array | None) -> _Kept | None:
        """Start from the picture, as noisy as the first step expects it; returns what a mask protects of it."""
        if clean is None:
            return None
        noise, self.tokens = self.tokens, _noised(clean, self.tokens, self.sigmas[0])
        if self.pictures.repainted is None:
            return None
        return _Kept(clean, noise, mx.array(self.pictures.repainted).reshape(1, -1, 1))

    def _denoise(self, context: mx.array, kept: _Kept | None, references: _References | None) -> Iterator[Event]:
        self._enter("load")
        show, self.done = None, 0
        if self.preview:  # before the transformer is loaded, as the plan has it
            show = yield from self._told("load", self.model.preview(), later=1)
        model, sigmas, steps, (rows, columns) = self.model, self.sigmas, len(self.sigmas) - 1, self.grid
        modulation = model.modulation(sigmas)
        transformer = model.transformer(streamed=self.plan.streamed)
        grids = [(0, rows, columns), *(references.grids if references else ())]
        rope = rotary_embedding(model.checkpoint.transformer, context.shape[1], grids)
        appended = transformer.embed(references.tokens) if references else None
        yield self._event("load", self.done + 1, self.done + 1)
        self._enter("denoise")
        yield self._event("denoise", 0, steps)
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            velocity = transformer(self.tokens, context, modulation[step], rope, appended)
            clean = self.tokens - sigma * velocity if show else None
            self.tokens = self.tokens + (following - sigma) * velocity
            del velocity
            if kept:
                self.tokens = kept.put_back(self.tokens, following)
            mx.eval(self.tokens)
            image = show(self._as_map(clean)) if show and clean is not None else None
            yield self._event("denoise", step + 1, steps, preview=image)

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
        """Tokens [1, rows * columns, channels] -> packed latents [1, channels, rows, columns]."""
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


def _appended(latents: Sequence[mx.array]) -> _References | None:
    """The references of packed latents [1, channels, rows, columns], in their order."""
    if not latents:
        return None
    tokens = mx.concatenate([_as_tokens(one) for one in latents], axis=1)
    mx.eval(tokens)
    grids = [(_REFERENCE_T * (place + 1), one.shape[2], one.shape[3]) for place, one in enumerate(latents)]
    return _References(tokens, grids)
