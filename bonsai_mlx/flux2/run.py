"""One generation, phase by phase, each a generator of events.

The denoising loop is one for all that a request may ask, and for all kinds of latents. What differs is what it starts
from (`_start`), what is appended to the image stream (`References`), what is put back after each step (`_Kept`), and
how one noise level leads to the next (`Process`). A picture that is larger than the request's size is drawn in
overlapping tiles of that size, which are blended in every step.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import mlx.core as mx
import numpy as np
from PIL import Image

from ..adapters.active import ActiveAdapters
from ..editing.tiles import Tiling, tiling
from ..model import Pictures
from ..request import ResolvedRequest
from ..result import Event, GenerationResult, Phase
from ..runtime import device
from ..runtime.memory import RunMemory
from ..text.tokenizer import TokenizedPrompt
from . import vae
from .blocks import Rope
from .checkpoint import Checkpoint
from .plan import Plan
from .preview import Show
from .tokens import References, added, as_map, as_references, as_tokens, blended
from .transformer import StepModulation, Transformer, rotary_embedding

T = TypeVar("T")
_SHARED, _LEAST_SHARED = 4, 2  # a tile shares a fourth of its shorter side with each neighbour, at least two tokens


class Process(Protocol):
    """How noise becomes latents. Tokens are [1, tokens, channels]; `number` counts the steps from 0."""

    levels: Sequence[float]  # noise levels of the run, falling to 0

    def start(self, clean: mx.array | None) -> mx.array:
        """Tokens at the first level, once a run: noise, or as much of it as belongs into a picture's clean tokens."""
        ...

    def step(self, tokens: mx.array, output: mx.array, number: int) -> mx.array:
        """Tokens at the next level, by what the transformer makes of those at this one."""
        ...

    def clean(self, tokens: mx.array, output: mx.array, number: int) -> mx.array: ...

    def kept(self, tokens: mx.array, clean: mx.array, drawn: mx.array, number: int) -> mx.array:
        """Tokens after step `number` that are a picture's where `drawn` [1, tokens, 1] is 0, and not where it is 1."""
        ...


class Parts(Protocol):
    """What a run asks of the model (see model.Flux2): each is computed or loaded when it is asked for."""

    checkpoint: Checkpoint
    dtype: mx.Dtype

    def tokenize(self, prompt: str) -> TokenizedPrompt: ...
    def context(self, prompt: str, adapters: ActiveAdapters) -> Generator[tuple[int, int], None, mx.array]: ...
    def modulation(self, sigmas: Sequence[float], adapters: ActiveAdapters | None = None) -> list[StepModulation]: ...
    def transformer(self, *, streamed: bool, adapters: ActiveAdapters | None = None) -> Transformer: ...
    def drop_transformer(self) -> None: ...
    def preview(self) -> Generator[tuple[int, int], None, Show]: ...
    def as_drawn(self, latents: mx.array) -> mx.array: ...
    def marks(self, drawn: mx.array) -> mx.array | None: ...
    def morphed(self, request: ResolvedRequest, clean: mx.array, other: mx.array) -> mx.array: ...
    def code(self, latents: mx.array) -> str | None: ...
    def shown_bits(self, latents: mx.array) -> Image.Image | None: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a mask protects: [1, tokens, channels], with the mask [1, tokens, 1], 1 where the picture is drawn anew."""

    clean: mx.array
    drawn: mx.array
    marks: mx.array | None  # [1, tokens, dim], for a transformer that is told which tokens are kept


class Run:
    """One generation; made anew for each."""

    def __init__(
        self,
        model: Parts,
        request: ResolvedRequest,
        process: Process,
        pictures: Pictures,
        adapters: ActiveAdapters,
        plan: Plan,
        memory: RunMemory,
        *,
        preview: bool,
    ) -> None:
        """A picture that is changed and larger than the request's size is drawn in tiles of that size."""
        self.model, self.request, self.plan, self.memory, self.preview = model, request, plan, memory, preview
        self.process, self.pictures, self.adapters = process, pictures, adapters
        self.tile = request.height // 16, request.width // 16  # rows and columns of tokens that are drawn at a time
        self.grid = self.tile if pictures.init is None else (pictures.init.shape[0] // 16, pictures.init.shape[1] // 16)
        self.tiles: Tiling | None = None
        if self.tile != self.grid:
            shared = max(_LEAST_SHARED, min(self.tile) // _SHARED)
            self.tiles = tiling(self.grid[::-1], self.tile[::-1], shared)
        self.tokens: mx.array  # as far as they are
        self.started = time.perf_counter()
        self.truncated = model.tokenize(request.words).truncated  # also of a prompt that was encoded before
        self.phase: Phase = "load"
        self.done = 0  # parts of the phase
        self.phase_started = self.started
        self.timings: dict[str, float] = {}

    def events(self) -> Iterator[Event]:
        yield self._event("load", 0, 1)
        contexts = yield from self._encode()
        kept, references = yield from self._encode_pictures()
        yield from self._denoise(contexts, kept, references)
        del contexts, kept, references
        pixels = yield from self._decode()
        self._enter("done")
        self.timings["total"] = self.phase_started - self.started  # the sum of the phases, by the same clock readings
        result = GenerationResult(
            image=Image.fromarray(pixels),
            request=self.request,
            truncated=self.truncated,
            timings={name: round(seconds, 4) for name, seconds in self.timings.items()},
            memory=self.memory.summary(),
            code=None if self.tiles else self.model.code(as_map(self.tokens, self.grid)),
        )
        yield self._event("done", 1, 1, result=result)

    def _encode(self) -> Generator[Event, None, list[mx.array]]:
        """The context of the prompt and, where guidance leads away from another, of that."""
        self._enter("encode")
        contexts = [(yield from self._told("encode", self.model.context(self.request.words, self.adapters)))]
        if is_guided(self.request):
            negative = self.model.context(self.request.negative_prompt, self.adapters)
            contexts.append((yield from self._told("encode", negative)))
        return contexts

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

    def _encode_pictures(self) -> Generator[Event, None, tuple[_Kept | None, References | None]]:
        """Encode what goes in, one picture after the other, and set where the tokens start."""
        pictures = self.pictures
        pixels = [*([] if pictures.init is None else [pictures.init]), *pictures.references]
        if not pixels:
            return self._start(None), None
        self._enter("encode image")
        latents = []
        if self.tiles:
            latents.append(self.model.as_drawn((yield from self._encoded_in_tiles(self.tiles, pixels.pop(0)))))
        pixels += [] if pictures.morph is None else [pictures.morph]
        for place, picture in enumerate(pixels):
            latents.append(self.model.as_drawn((yield from self._encoded(picture, place, len(pixels)))))
            device.release_cache()
        clean = None if pictures.init is None else as_tokens(latents[0])
        if pictures.morph is not None and clean is not None:
            clean = self.model.morphed(self.request, clean, as_tokens(latents.pop()))
        looked_at = latents if clean is None or self.request.source_as_reference else latents[1:]
        return self._start(clean), as_references(looked_at)

    def _encoded(self, pixels: vae.Image8, place: int, count: int) -> Generator[Event, None, mx.array]:
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

    def _encoded_in_tiles(self, tiles: Tiling, pixels: vae.Image8) -> Generator[Event, None, mx.array]:
        whole: mx.array | None = None
        for place, (rows, columns, weights) in enumerate(tiles.places()):
            part = pixels[rows.start * 16 : rows.stop * 16, columns.start * 16 : columns.stop * 16]
            latents = yield from self._encoded(part, place, tiles.count)
            whole = mx.zeros((1, latents.shape[1], *self.grid)) if whole is None else whole
            whole = added(whole, rows, columns, mx.array(weights) * latents)
            del latents
            device.release_cache()
        assert whole is not None  # noqa: S101  there is a tile
        return whole

    def _start(self, clean: mx.array | None) -> _Kept | None:
        """Start from noise, or the picture as noisy as the first step expects it; returns what a mask protects."""
        self.tokens = self.process.start(clean)
        if clean is None or self.pictures.repainted is None:
            return None
        drawn = mx.array(self.pictures.repainted).reshape(1, -1, 1)
        return _Kept(clean, drawn, self.model.marks(drawn))

    def _denoise(
        self, contexts: Sequence[mx.array], kept: _Kept | None, references: References | None
    ) -> Iterator[Event]:
        self._enter("load")
        show, self.done = None, 0
        if self.preview:  # before the transformer is loaded, as the plan has it
            show = yield from self._told("load", self.model.preview(), later=1)
        model, process, (rows, columns) = self.model, self.process, self.tile
        steps, tiles = len(process.levels) - 1, self.tiles.count if self.tiles else 1
        modulation = model.modulation(process.levels, self.adapters)
        transformer = model.transformer(streamed=self.plan.streamed, adapters=self.adapters)
        grids = [(0, rows, columns), *(references.grids if references else ())]
        rope = rotary_embedding(model.checkpoint.transformer, contexts[0].shape[1], grids)
        appended = transformer.embed(references.tokens) if references else None
        yield self._event("load", self.done + 1, self.done + 1)
        self._enter("denoise")
        yield self._event("denoise", 0, steps * tiles)
        marks = kept.marks if kept and not self.tiles else None
        for step in range(steps):
            output_of = partial(self._output, transformer, contexts, modulation[step], rope, appended, marks)
            if self.tiles:
                self.done = step * tiles
                whole = as_map(self.tokens, self.grid)
                output = yield from self._told("denoise", blended(self.tiles, whole, output_of, step, steps))
                del whole
            else:
                output = output_of(self.tokens)
            clean = process.clean(self.tokens, output, step) if show else None
            self.tokens = process.step(self.tokens, output, step)
            del output
            if kept:
                self.tokens = process.kept(self.tokens, kept.clean, kept.drawn, step)
            mx.eval(self.tokens)
            image = show(as_map(clean, self.grid)) if show and clean is not None else None
            bits = model.shown_bits(as_map(self.tokens, self.grid)) if show else None
            yield self._event("denoise", (step + 1) * tiles, steps * tiles, preview=image, bits=bits)

    def _output(
        self,
        transformer: Transformer,
        contexts: Sequence[mx.array],
        modulation: StepModulation,
        rope: Rope,
        appended: mx.array | None,
        marks: mx.array | None,
        tokens: mx.array,
    ) -> mx.array:
        """What the transformer makes of tokens, in as many passes as there are prompts."""
        outputs = [
            _evaluated(transformer(tokens, context, modulation, rope, appended, marks), len(contexts))
            for context in contexts
        ]
        return self._guided(outputs)

    def _guided(self, outputs: Sequence[mx.array]) -> mx.array:
        """The model's output, led away from that for the negative prompt where there is one."""
        if len(outputs) == 1:
            return outputs[0]
        wanted, unwanted = outputs
        return unwanted + (self.request.guidance or 1) * (wanted - unwanted)

    def _decode(self) -> Generator[Event, None, vae.Image8]:
        if self.plan.drops_transformer:
            self.model.drop_transformer()
        device.release_cache()
        self._enter("decode")
        latents = as_map(self.tokens, self.grid)
        if self.tiles:
            return (yield from self._decoded_in_tiles(self.tiles, latents))
        return (yield from self._told("decode", self._decoding(latents)))

    def _decoding(self, latents: mx.array) -> Generator[tuple[int, int], None, vae.Image8]:
        model, plan = self.model, self.plan
        return vae.decode(
            model.checkpoint, latents, model.dtype, strip_values=plan.strip_values, recompute=plan.recompute
        )

    def _decoded_in_tiles(self, tiles: Tiling, latents: mx.array) -> Generator[Event, None, vae.Image8]:
        def pixels(rows: slice, columns: slice) -> vae.Image8:
            made = result_of(self._decoding(latents[:, :, rows, columns]))
            device.release_cache()
            return made

        strips, done = [], 0
        for strip in tiles.strips(16, pixels):
            if strip is None:
                done += 1
                yield self._event("decode", done, tiles.count)
            else:
                strips.append(np.round(strip).astype(np.uint8))
        return np.concatenate(strips)

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
        **more: Any,
    ) -> Event:
        return Event(phase, step, steps, time.perf_counter() - self.started, truncated=self.truncated, **more)


def is_guided(request: ResolvedRequest) -> bool:
    """Whether each step takes two passes, which guidance takes apart (arXiv:2207.12598)."""
    return (request.guidance or 1) > 1


def _evaluated(output: mx.array, passes: int) -> mx.array:
    """The output, computed before another pass begins: MLX might do both at once, in twice the memory."""
    if passes > 1:
        mx.eval(output)
    return output


def result_of(work: Generator[tuple[int, int], None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
