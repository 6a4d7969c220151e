"""A request in, a picture out, an event at a time.

What is computed when, and what is in memory when, is for the model to say (flux2/model.py). Runs have what all families
share: the pictures and adapters that a request names, the memory limit, the meter, and what the device's errors mean.

Everything here belongs to the thread that uses it first: MLX arrays cannot cross threads.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import folder as adapter_folder
from .adapters.file import AdapterFile
from .adapters.prompt import with_prompt_adapters
from .bounds import Lora
from .editing import enlarging
from .editing.frame import redrawing
from .editing.inputs import Inputs
from .editing.normalise import laid_on_white
from .errors import OutOfMemory, RequestError
from .hub.entry import Entry
from .images.recipe import Recipe, timestamp
from .model import Adapters, MemoryPlan, Model, Pictures
from .pipelines.styles import styled
from .request import (
    Enlarge,
    Operation,
    Request,
    ResolvedDraw,
    ResolvedEnlarge,
    ResolvedRequest,
)
from .result import Event, GenerationResult
from .runtime import device
from .runtime.memory import RunMemory
from .runtime.startup import prepare
from .upscaling.files import open_upscaler
from .upscaling.tiled import upscaled
from .version import __version__

if TYPE_CHECKING:
    from PIL.Image import Image

    from .editing.canvas import Canvas


class Runs:
    """Carries out requests with one model."""

    def __init__(
        self,
        model: Model,
        *,
        name: str,
        entry: Entry | None = None,
        memory_limit_bytes: int | None = None,
        loras_dir: Path | None = None,
    ) -> None:
        """`name` is what recipes call the model; `entry` is its place in the catalog.

        `loras_dir` is the folder of adapters, the user's own by default.
        """
        prepare()  # late where MLX is there already, which is then said
        self.model = model
        self.name = name
        self.entry = entry
        self.memory_limit_bytes = memory_limit_bytes
        self.loras_dir = loras_dir or adapter_folder.default_folder()
        self.parts: Mapping[str, str | None] = {}  # names for recipes of what takes the place of the model's own

    def run(
        self,
        request: Operation,
        *,
        pictures: Mapping[str, Image] | None = None,
        adapters: Mapping[str, Path] | None = None,
        latents: Any = None,
        preview: bool = False,
        memory: RunMemory | None = None,
        upscaler: Path | None = None,
    ) -> Generator[Event, None, None]:
        """Make one picture, an event at a time; the last event carries the result.

        Closing the generator at any event stops the work and frees what the run took. Raises RequestError for a bad
        request, OutOfMemory when the memory limit, or the device, is too small, and DeviceError when the device stopped
        the work. `pictures` are those that the request names, by digest: RGB, and L for a mask. `adapters` are the only
        files that it may name as loras, by name; None stands for any file, and those in the folder of adapters.
        `preview` asks for a small approximate picture after every step; `memory` is a meter of the caller's. `upscaler`
        is the file whose name the request has.
        """
        if isinstance(request, Enlarge):
            yield from self._enlarged(request, pictures or {}, upscaler, adapters, preview=preview, memory=memory)
            return
        inputs, resolved, chosen, plan = self._prepared(request, pictures or {}, adapters, preview=preview)
        canvas = inputs.canvas()
        given = Pictures(
            inputs.references(resolved.reference_detail),
            canvas.pixels if canvas else None,
            inputs.morph(canvas.pixels.shape[1::-1]) if canvas else None,
            canvas.tokens if canvas else None,
        )
        for event in self._events(resolved, plan, given, chosen, latents=latents, preview=preview, memory=memory):
            yield self._finished(event, canvas, inputs)

    def _events(
        self,
        request: ResolvedRequest,
        plan: MemoryPlan,
        given: Pictures,
        adapters: Adapters = (),
        *,
        latents: Any,
        preview: bool,
        memory: RunMemory | None,
    ) -> Generator[Event, None, None]:
        goal = device.memory_goal(
            plan.peak_bytes,
            resident_bytes=self.model.prepare(plan),
            small_cache=self.memory_limit_bytes is not None,
        )
        try:
            with (
                goal,
                nullcontext(memory) if memory else RunMemory() as meter,
                closing(
                    self.model.run(
                        request, plan, meter, pictures=given, adapters=adapters, latents=latents, preview=preview
                    )
                ) as run,
            ):
                yield from run
        except (RuntimeError, MemoryError) as error:
            device.raise_failure(error, f"{request.width}x{request.height}")
            raise
        finally:
            device.release_cache()

    def _enlarged(
        self,
        request: Enlarge,
        pictures: Mapping[str, Image],
        upscaler: Path | None,
        adapters: Mapping[str, Path] | None,
        *,
        preview: bool,
        memory: RunMemory | None,
    ) -> Generator[Event, None, None]:
        """The picture enlarged and, if that is asked for, redrawn in tiles of what the model draws best."""
        model, source = self.model.describe(), pictures.get(request.source)
        if source is None:
            raise RequestError("source", f"the picture {request.source[:12]}... is not there; give it again")
        request = request.validated()
        if request.method != "exact":
            source = laid_on_white(source)
        if request.method == "refine":
            request = with_prompt_adapters(request)
        asked = request.resolved(size=source.size, steps=model.recommended_steps, guidance=model.recommended_guidance)
        chosen: Adapters = ()
        if asked.method == "refine":  # before anything takes time
            drawing, canvas = self._tile(asked)
            drawing, chosen = self._with_adapters(drawing, adapters)
            asked = replace(asked, loras=drawing.loras)
            plan = self.model.plan(drawing, self.memory_limit_bytes, preview=preview, whole=canvas, adapters=chosen)
        started = time.perf_counter()
        with nullcontext(memory) if memory else RunMemory() as meter:
            larger = yield from self._larger(source, asked, upscaler)
        took = {"enlarge": round(time.perf_counter() - started, 4)}
        yield Event("enlarge", 1, 1, took["enlarge"])
        if asked.method != "refine":
            timings = took | {"total": took["enlarge"]}
            result = GenerationResult(image=larger, request=asked, timings=timings, memory=meter.summary())
            yield Event("done", 1, 1, took["enlarge"], result=replace(result, recipe=self.recipe(result)))
            return
        before = enlarging.on_canvas(larger, canvas)
        given = Pictures(init=before)
        for event in self._events(drawing, plan, given, chosen, latents=None, preview=preview, memory=memory):
            if event.result is None:
                yield event
                continue
            redrawn = enlarging.in_tone(event.result.image, before, (drawing.width, drawing.height))
            image = redrawn.crop((0, 0, asked.width, asked.height))
            timings = took | {**event.result.timings, "total": event.result.timings["total"] + took["enlarge"]}
            result = replace(event.result, image=image, request=asked, timings=timings, code=None)
            yield replace(event, result=replace(result, recipe=self.recipe(result)))

    def _larger(self, source: Image, request: ResolvedEnlarge, upscaler: Path | None) -> Generator[Event, None, Image]:
        yield Event("enlarge", 0, 1, 0.0)
        if request.upscaler is None:
            return enlarging.exactly(source, request.by)
        if upscaler is None:
            raise RequestError("upscaler", f"the file {request.upscaler} is not there")
        started = time.perf_counter()
        try:
            work = upscaled(source, open_upscaler(upscaler), request.by)
            while True:
                done, total = next(work)
                yield Event("enlarge", done, total, time.perf_counter() - started)
        except StopIteration as stop:
            larger: Image = stop.value
            return larger
        except (RuntimeError, MemoryError) as error:
            device.raise_failure(error, f"{request.width}x{request.height}")
            raise
        finally:
            device.release_cache()

    def _tile(self, request: ResolvedEnlarge) -> tuple[ResolvedRequest, tuple[int, int]]:
        tile, canvas = redrawing(request, self.model.describe().recommended_size)
        return self.model.resolve(tile), canvas

    def plan_enlarging(self, request: ResolvedEnlarge, *, preview: bool = False) -> MemoryPlan:
        """How a picture that is redrawn will use memory; OutOfMemory if no way fits the pipeline's limit."""
        drawing, canvas = self._tile(request)
        drawing, chosen = self._with_adapters(drawing, None)
        return self.model.plan(drawing, self.memory_limit_bytes, preview=preview, whole=canvas, adapters=chosen)

    def _prepared(
        self,
        request: Request,
        pictures: Mapping[str, Image],
        adapters: Mapping[str, Path] | None,
        *,
        preview: bool,
    ) -> tuple[Inputs, ResolvedRequest, Adapters, MemoryPlan]:
        """The pictures, the request with nothing left open, its adapters, and its plan.

        The plan has the best references that fit.
        """
        inputs = self._inputs(request, pictures)
        resolved, chosen = self._with_adapters(self.model.resolve(inputs.request), adapters)
        details = [resolved.reference_detail]
        if resolved.references and details == [None]:
            details = [1024, 768, 512, 256] if self.memory_limit_bytes else [1024]
        while True:
            detail = details.pop(0)
            sizes = inputs.reference_sizes(detail)
            try:
                plan = self.model.plan(
                    resolved, self.memory_limit_bytes, preview=preview, references=sizes, adapters=chosen
                )
            except OutOfMemory:
                if not details:
                    raise
            else:
                return inputs, replace(resolved, reference_detail=detail), chosen, plan

    def _with_adapters(
        self, request: ResolvedRequest, files: Mapping[str, Path] | None
    ) -> tuple[ResolvedRequest, Adapters]:
        """The adapters that the request names, and the request with their names as recipes have them, and digests."""
        named, chosen = [], []
        for lora in request.loras:
            file = _adapter_file(lora, files) if files is not None else self._adapter_found(lora)
            adapter = self.model.fit(file)
            named.append(Lora(file.name, lora.strength, adapter.digest))
            chosen.append((adapter, lora.strength))
        return replace(request, loras=tuple(named)), chosen

    def _finished(self, event: Event, canvas: Canvas | None, inputs: Inputs) -> Event:
        if event.result is None:
            return event
        drawn = event.result
        image = canvas.finished(drawn.image) if canvas else drawn.image
        code = drawn.code if image is drawn.image else None  # which says nothing of what is put around it
        recipe = self.recipe(drawn)
        whole = replace(drawn, image=image, mask=inputs.mask, code=code, notes=inputs.notes, recipe=recipe)
        return replace(event, result=whole)

    def _adapter_found(self, lora: Lora) -> AdapterFile:
        return adapter_folder.found(lora, self.loras_dir, paths=True)

    def resolve(self, request: Request, *, pictures: Mapping[str, Image] | None = None) -> ResolvedRequest:
        """The request with nothing left open, but the detail of references, which the plan chooses."""
        return self._with_adapters(self.model.resolve(self._inputs(request, pictures or {}).request), None)[0]

    def _inputs(self, request: Request, pictures: Mapping[str, Image]) -> Inputs:
        checked = with_prompt_adapters(styled(with_prompt_adapters(request.validated())))  # styles may name some too
        return Inputs.of(checked, pictures, self.model.describe().recommended_size)

    def plan(
        self, request: Request, *, pictures: Mapping[str, Image] | None = None, preview: bool = False
    ) -> MemoryPlan:
        """How this request will use memory under the pipeline's limit; OutOfMemory if no way fits."""
        return self._prepared(request, pictures or {}, None, preview=preview)[-1]

    @property
    def embeddings(self) -> Any:
        """The encoded prompts, which another pipeline with the same text encoder may use."""
        return self.model.embeddings

    def unload(self) -> None:
        self.model.unload()

    def recipe(self, result: GenerationResult) -> Recipe:
        return Recipe.of(
            result.request,
            variant=self.model.describe().precision,
            model=self.name,
            repo=self.entry.repo if self.entry else None,
            revision=self.entry.revision if self.entry and self.entry.repo else None,
            **(self.model.sampler(result.request) if isinstance(result.request, ResolvedDraw) else {}),
            **self.parts,
            truncated=result.truncated or None,
            app_version=__version__,
            mlx=device.mlx_version(),
            timings=result.timings,
            peak_memory_bytes=int(result.memory["peak_bytes"]),
            created_at=timestamp(),
        )


def _adapter_file(lora: Lora, files: Mapping[str, Path]) -> AdapterFile:
    if lora.name not in files:
        raise RequestError("loras", f"the adapter {lora.name} is not there; give it again")
    file = AdapterFile.open(files[lora.name])
    if lora.sha256 not in (None, file.verified()):
        raise RequestError("loras", f"the adapter {lora.name} is another file than when it was chosen; ask again")
    return file
