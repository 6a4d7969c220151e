"""A request in, a picture out, an event at a time.

    pipe = Pipeline.from_pretrained("ternary")  # finds the checkpoint; a family of models opens it
    for event in pipe.run(request): ...         # plans its memory, draws, and says how far it is

What is computed when, and what is in memory when, is for the model to say (flux2/model.py). The pipeline has what all
families share: where a checkpoint lies, the memory limit, the meter, and what the device's errors mean.

Everything here belongs to the thread that uses it first: MLX arrays cannot cross threads.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import folder as adapter_folder
from .adapters.file import AdapterFile
from .adapters.prompt import with_prompt_adapters
from .bounds import Lora
from .editing import enlarging
from .editing.frame import redrawing
from .editing.inputs import Inputs
from .editing.normalise import PictureSource
from .editing.pictures import PictureSet
from .errors import OutOfMemory, RequestError
from .families import open_model
from .hub import api as hub
from .hub.catalog import Entry, part, resolve
from .images.metadata import read
from .images.recipe import Recipe, timestamp
from .model import Adapters, MemoryPlan, Model, Pictures
from .pipelines.axes import Grid, grid_of
from .pipelines.styles import styled
from .request import (
    EXTEND_STRENGTH,
    REFINE_STRENGTH,
    Enlarge,
    GenerationRequest,
    Operation,
    Request,
    ResolvedDraw,
    ResolvedEnlarge,
    ResolvedRequest,
    refuse_idle,
)
from .result import Event, GenerationResult
from .runtime import device
from .runtime.memory import RunMemory
from .runtime.startup import prepare
from .upscaling.files import open_upscaler
from .upscaling.tiled import upscaled
from .version import __version__
from .weights.layout import Elsewhere

if TYPE_CHECKING:
    import mlx.core as mx
    from PIL.Image import Image

    from .editing.canvas import Canvas


@dataclass(frozen=True, slots=True)
class PictureGrid:
    """The pictures of a grid, in the order of its cells."""

    grid: Grid
    results: list[GenerationResult]

    def sheet(self) -> Image:
        from .pipelines.sheet import contact_sheet

        cells = zip(self.grid.cells, self.results, strict=True)
        return contact_sheet(
            [(cell.column, cell.row, result.image) for cell, result in cells], self.grid.columns, self.grid.rows
        )


class Pipeline:
    """Makes pictures with one model. See the package's docstring for how it is used."""

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

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        memory_limit_bytes: int | None = None,
        embeddings: Any = None,
        dtype: mx.Dtype | None = None,
        companion: str | Path | None = None,
        text_encoder: str | Path | None = None,
        decoder: str | Path | None = None,
        loras_dir: Path | None = None,
    ) -> Pipeline:
        """Open a checkpoint by catalog name, Hub id (downloaded before), folder or file. Loads no weights yet.

        A single file has a transformer alone: its text encoder and VAE are those of the `companion`, named in the same
        way, by default of the first model of the catalog that is here. `text_encoder` and `decoder` take the place of
        the model's own: a name of the catalog's ("ternary-bonsai", "bonsai-1bit"; "small") or a path.

        A catalog name wins over a folder of that name, which is written ./ternary or given as a Path. Raises
        CheckpointError if it is missing, incomplete or damaged. `memory_limit_bytes` bounds what MLX may hold (see
        flux2.plan.choose); passing another model's `embeddings` shares its encoded prompts.
        """
        folder = hub.as_folder(name_or_path)
        entry = None if folder else resolve(str(name_or_path))
        path = folder or hub.find(name_or_path)
        other = hub.find(companion) if companion is not None else hub.companion() if path.is_file() else None
        repair = entry.remedy if entry else None
        elsewhere = Elsewhere(other, _part(text_encoder, "text encoder"), _part(decoder, "decoder"))
        model = open_model(path, repair=repair, embeddings=embeddings, dtype=dtype, elsewhere=elsewhere)
        pipe = cls(
            model,
            name=entry.name if entry else path.stem if path.is_file() else path.name,
            entry=entry,
            memory_limit_bytes=memory_limit_bytes,
            loras_dir=loras_dir,
        )
        pipe.parts = {"text_encoder": _part_name(text_encoder), "decoder": _part_name(decoder)}
        return pipe

    def generate(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        latents: Any = None,
        guidance: float | None = None,
        negative_prompt: str = "",
        variation_amount: float = 0.0,
        variation_seed: int | None = None,
        references: Sequence[PictureSource] = (),
        reference_detail: int | None = None,
        init_image: PictureSource | None = None,
        strength: float = 1.0,
        strength_rule: str = "sigma",
        mask: PictureSource | None = None,
        mask_content: str = "original",
        feather_px: int = 16,
        restore_unmasked: bool = True,
        source_as_reference: bool | None = None,
        only_masked: bool | None = None,
        margin_px: int | None = None,
        extend: Sequence[int] | None = None,
        styles: Sequence[str] = (),
        loras: Sequence[Lora | tuple[str | Path, float]] = (),
    ) -> GenerationResult:
        """Make one picture. What is left None is the checkpoint's recommendation or what suits, and a random seed.

        Pictures are PIL images or paths; `loras` are adapters with strengths, by the path of a file or by a name in
        the folder of adapters; see `Draw` for what each field means. `latents`, a float array
        [1, in_channels, height/16, width/16], replace the seed's noise, whatever else is given.
        """
        pictures = PictureSet()
        request = GenerationRequest(
            prompt,
            seed=seed,
            steps=steps,
            width=width,
            height=height,
            guidance=guidance,
            negative_prompt=negative_prompt,
            variation_amount=variation_amount,
            variation_seed=variation_seed,
            references=tuple(pictures.add(f"references[{i}]", one) for i, one in enumerate(references)),
            reference_detail=reference_detail,
            init=None if init_image is None else pictures.add("init", init_image),
            strength=strength,
            strength_rule=strength_rule,
            mask=None if mask is None else pictures.add_mask("mask", mask),
            mask_content=mask_content,
            feather_px=feather_px,
            restore_unmasked=restore_unmasked,
            source_as_reference=source_as_reference,
            only_masked=only_masked,
            margin_px=margin_px,
            extend=None if extend is None else tuple(extend),
            styles=tuple(styles),
            loras=tuple(loras),  # type: ignore[arg-type]  # pairs become values when the request is checked
        )
        refuse_idle(request)
        return self._drawn(request, pictures=pictures.by_digest, latents=latents)

    def _drawn(self, request: Operation, **how: Any) -> GenerationResult:
        *_, last = self.run(request, **how)
        assert last.result is not None  # noqa: S101  the last event carries the result
        return last.result

    def grid(self, prompt: str, axes: Mapping[str, Sequence[Any]] | None = None, **fields: Any) -> PictureGrid:
        """A picture for every alternative of "a {red|blue} house", over lists of values such as {"seed": [1, 2]}.

        `fields` are those of a `Draw`. Each picture is the very one that `generate` makes of its own values.
        """
        asked = grid_of(GenerationRequest(prompt, **fields), axes or {})
        if any(cell.model is not None for cell in asked.cells):
            raise RequestError("axes.model", "is for `bonsai-mlx grid`; a pipeline has one model")
        return PictureGrid(asked, [self._drawn(cell.request) for cell in asked.cells])

    def edit(
        self,
        image: PictureSource,
        prompt: str,
        *,
        references: Sequence[PictureSource] = (),
        strength: float | None = None,
        mask: PictureSource | None = None,
        extend: Sequence[int] | None = None,
        **others: Any,
    ) -> GenerationResult:
        """Change a picture; `others` are those of `generate`.

        With `strength` it is redrawn, with `mask` repainted there, with `extend` made larger; with none of them the
        prompt is an instruction, and the picture the first of the references.
        """
        if strength is None and mask is None and extend is None:
            return self.generate(prompt, references=[image, *references], **others)
        usual = 1.0 if extend is None else EXTEND_STRENGTH
        asked = usual if strength is None else strength
        return self.generate(
            prompt, init_image=image, references=references, strength=asked, mask=mask, extend=extend, **others
        )

    def enlarge(
        self,
        image: PictureSource,
        by: int = 2,
        *,
        method: str = "exact",
        prompt: str = "",
        seed: int | None = None,
        steps: int | None = None,
        strength: float = REFINE_STRENGTH,
        upscaler: Path | str | None = None,
        loras: Sequence[Lora | tuple[str | Path, float]] = (),
    ) -> GenerationResult:
        """The picture with 2 or 4 times the sides.

        "exact" is Lanczos; "learned" takes the file of an `upscaler`; "refine" redraws what either of them has made,
        and needs a prompt: that of the picture's own recipe, unless another is given. UpscalerError for a file that
        is none.
        """
        pictures = PictureSet()
        request = Enlarge(
            pictures.add("image", image),
            by=by,
            method=method,
            prompt=prompt,
            seed=seed,
            steps=steps,
            strength=strength,
            upscaler=None if upscaler is None else Path(upscaler).name,
            loras=tuple(loras),  # type: ignore[arg-type]  # as in `generate`
        )
        refuse_idle(request)
        request = replace(request, prompt=prompt or _prompt_of(image))
        file = None if upscaler is None else Path(upscaler)
        return self._drawn(request, pictures=pictures.by_digest, upscaler=file)

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
            canvas.tokens if canvas else None,
        )
        for event in self._events(resolved, plan, given, chosen, latents=latents, preview=preview, memory=memory):
            yield self._finished(event, canvas, inputs.mask)

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
        if request.method == "refine":
            request = with_prompt_adapters(request)
        asked = request.resolved(size=source.size, steps=model.recommended_steps)
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
        given = Pictures(init=enlarging.on_canvas(larger, canvas))
        for event in self._events(drawing, plan, given, chosen, latents=None, preview=preview, memory=memory):
            if event.result is None:
                yield event
                continue
            image = event.result.image.crop((0, 0, asked.width, asked.height))
            timings = took | {**event.result.timings, "total": event.result.timings["total"] + took["enlarge"]}
            result = replace(event.result, image=image, request=asked, timings=timings)
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

    def _finished(self, event: Event, canvas: Canvas | None, mask: Image | None) -> Event:
        if event.result is None:
            return event
        image = canvas.finished(event.result.image) if canvas else event.result.image
        return replace(event, result=replace(event.result, image=image, mask=mask, recipe=self.recipe(event.result)))

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


def _part(name: str | Path | None, kind: hub.PartKind) -> Path | None:
    return None if name is None else hub.find_part(name, kind)


def _part_name(name: str | Path | None) -> str | None:
    if name is None:
        return None
    entry = part(str(name)) if isinstance(name, str) else None
    return entry.name if entry else Path(name).name


def _prompt_of(image: PictureSource) -> str:
    if not isinstance(image, Path | str | bytes):
        return ""
    try:
        found = read(image if isinstance(image, bytes) else Path(image))
    except (OSError, ValueError):
        return ""
    return found.prompt if found else ""


def _adapter_file(lora: Lora, files: Mapping[str, Path]) -> AdapterFile:
    if lora.name not in files:
        raise RequestError("loras", f"the adapter {lora.name} is not there; give it again")
    file = AdapterFile.open(files[lora.name])
    if lora.sha256 not in (None, file.verified()):
        raise RequestError("loras", f"the adapter {lora.name} is another file than when it was chosen; ask again")
    return file
