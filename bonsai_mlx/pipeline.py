"""Pictures from words and from pictures, in a call each.

pipe = Pipeline.from_pretrained("ternary")  # finds the checkpoint; a family of models opens it
pipe.generate("a red fox").save("fox.png")  # a request, carried out by `run` (runs.py), an event at a time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bounds import Lora
from .editing.normalise import PictureSource, laid_on_white
from .editing.pictures import PictureSet, digest_of
from .errors import RequestError
from .families import open_model
from .hub import api as hub
from .hub.catalog import part, resolve
from .hub.entry import Entry
from .images.metadata import FoundMetadata, read
from .pipelines.axes import Grid, grid_of
from .pipelines.chains import merged, with_chain
from .pipelines.lineage import described, steps_to
from .request import (
    ANYTHING,
    EXTEND_STRENGTH,
    MORPH_STRENGTH,
    REFINE_STRENGTH,
    Enlarge,
    GenerationRequest,
    Operation,
    drawn_with,
    refuse_idle,
)
from .result import GenerationResult
from .runs import Runs
from .weights.layout import Elsewhere

if TYPE_CHECKING:
    import mlx.core as mx
    from PIL.Image import Image


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


_STEPS_KEPT = 256


class Pipeline(Runs):
    """Makes pictures with one model. See the package's docstring for how it is used."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._steps: dict[str, list[dict[str, Any]]] = {}  # that its latest pictures came about by, by their digests

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
        preview_decoder: str | Path | None = None,
        loras_dir: Path | None = None,
    ) -> Pipeline:
        """Open a checkpoint by catalog name, Hub id (downloaded before), folder or file. Loads no weights yet.

        A single file has a transformer alone: its text encoder and VAE are those of the `companion`, named in the same
        way, by default of the first model of the catalog that is here. `text_encoder` and `decoder` take the place of
        the model's own: a name of the catalog's ("ternary-bonsai", "bonsai-1bit"; "small") or a path. Previews are
        drawn by the `preview_decoder`, likewise "taef2" or a path, by default by TAEF2 if it is here.

        A catalog name wins over a folder of that name, which is written ./ternary or given as a Path. Raises
        CheckpointError if it is missing, incomplete or damaged. `memory_limit_bytes` bounds what MLX may hold (see
        flux2.plan.choose); passing another model's `embeddings` shares its encoded prompts.
        """
        folder = hub.as_folder(name_or_path)
        entry = None if folder else _as_it_lies_here(resolve(str(name_or_path)))
        path = folder or hub.find(name_or_path)
        other = hub.find(companion) if companion is not None else hub.companion() if path.is_file() else None
        repair = entry.remedy if entry else None
        elsewhere = Elsewhere(
            companion=other,
            text_encoder=_part(text_encoder, "text encoder"),
            decoder=_part(decoder, "decoder"),
            preview=_part(preview_decoder, "preview decoder") or hub.preview_decoder,
        )
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
        prompt: str = "",
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
        morph: PictureSource | None = None,
        morph_weight: float = 0.5,
        styles: Sequence[str] = (),
        loras: Sequence[Lora | tuple[str | Path, float]] = (),
        temperature: float | None = None,
        unconditional: bool = False,
    ) -> GenerationResult:
        """Make one picture. What is left None is the checkpoint's recommendation or what suits, and a random seed.

        Pictures are PIL images or paths; `loras` are adapters with strengths, by the path of a file or by a name in
        the folder of adapters; see `Draw` for what each field means. `latents`, a float array
        [1, in_channels, height/16, width/16], replace the seed's noise, whatever else is given.
        """
        pictures = PictureSet()
        request = GenerationRequest(
            prompt or (ANYTHING if unconditional else ""),
            seed=seed,
            steps=steps,
            width=width,
            height=height,
            guidance=guidance,
            negative_prompt=negative_prompt,
            variation_amount=variation_amount,
            variation_seed=variation_seed,
            references=tuple(
                pictures.add(f"references[{i}]", one) for i, one in enumerate(_several("references", references))
            ),
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
            extend=None if extend is None else _several("extend", extend),
            morph=None if morph is None else pictures.add("morph", morph),
            morph_weight=morph_weight,
            styles=_several("styles", styles),
            loras=_several("loras", loras),  # pairs become values when the request is checked
            temperature=temperature,
            unconditional=unconditional,
        )
        refuse_idle(request)
        return self._drawn(request, pictures, latents=latents)

    def _drawn(self, request: Operation, pictures: PictureSet | None = None, **how: Any) -> GenerationResult:
        pictures = pictures or PictureSet()
        *_, last = self.run(request, pictures=pictures.by_digest, **how)
        assert last.result is not None  # noqa: S101  the last event carries the result
        return self._with_steps(last.result, pictures)

    def _with_steps(self, result: GenerationResult, pictures: PictureSet) -> GenerationResult:
        """The result with the steps that its pictures came about by in its recipe."""
        assert result.recipe is not None  # noqa: S101
        chain = merged(self._steps_to(digest, pictures) for digest in result.request.pictures)
        recipe = with_chain(result.recipe, chain)
        made = digest_of(result.image)
        for digest in {made, digest_of(laid_on_white(result.image))}:  # by which of them it goes into another
            self._steps[digest] = [*chain, described(recipe, made, result.mask)]
        while len(self._steps) > _STEPS_KEPT:
            del self._steps[next(iter(self._steps))]
        return replace(result, recipe=recipe, notes=(*pictures.notes, *result.notes))

    def _steps_to(self, digest: str, pictures: PictureSet) -> list[dict[str, Any]]:
        if digest in self._steps:
            return self._steps[digest]
        return steps_to(pictures.files[digest]) if digest in pictures.files else []

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
            return self.generate(prompt, references=[image, *_several("references", references)], **others)
        usual = 1.0 if extend is None else EXTEND_STRENGTH
        asked = usual if strength is None else strength
        return self.generate(
            prompt, init_image=image, references=references, strength=asked, mask=mask, extend=extend, **others
        )

    def morph(
        self,
        image: PictureSource,
        other: PictureSource,
        prompt: str = "",
        *,
        weight: float = 0.5,
        strength: float = MORPH_STRENGTH,
        **others: Any,
    ) -> GenerationResult:
        """A picture between two, of a model that draws in bits: `weight` is how many of the bits are the other's.

        Without a prompt it is drawn without words; `others` are those of `generate`.
        """
        asked = {"unconditional": not prompt} | others
        return self.generate(prompt, init_image=image, morph=other, morph_weight=weight, strength=strength, **asked)

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
        guidance: float | None = None,
        negative_prompt: str = "",
    ) -> GenerationResult:
        """The picture with 2 or 4 times the sides.

        "exact" is Lanczos; "learned" takes the file of an `upscaler`; "refine" redraws what either of them has made,
        and needs a prompt: that of the picture's own recipe, with its adapters and guidance, unless another is given.
        UpscalerError for a file that is none.
        """
        pictures = PictureSet()
        request = Enlarge(
            pictures.add("image", image, transparent=method == "exact"),
            by=by,
            method=method,
            prompt=prompt,
            seed=seed,
            steps=steps,
            strength=strength,
            upscaler=None if upscaler is None else Path(upscaler).name,
            loras=_several("loras", loras),
            guidance=guidance,
            negative_prompt=negative_prompt,
        )
        refuse_idle(request)
        if not prompt:
            request = self._in_words_of(image, request)
        file = None if upscaler is None else Path(upscaler)
        return self._drawn(request, pictures, upscaler=file)

    def _in_words_of(self, image: PictureSource, request: Enlarge) -> Enlarge:
        """With what the picture's file says that it was drawn from, as far as nothing else is given."""
        found = _found_in(image)
        request = replace(request, prompt=found.prompt if found else "")
        if request.method != "refine" or found is None or found.recipe is None:
            return request
        own = drawn_with(found.recipe.parameters)
        if self.model.describe().recommended_guidance == 1:
            own = {"loras": own["loras"]}
        return replace(request, **{name: getattr(request, name) or value for name, value in own.items()})


def _as_it_lies_here(entry: Entry) -> Entry:
    """With the original's repository where it was packed here: recipes say what a model was made from."""
    local = hub.status(entry) if entry.made_from else None
    if local is None or local.packed_from is None:
        return entry
    return replace(entry, repo=local.packed_from, revision=local.commit or entry.revision)


def _part(name: str | Path | None, kind: hub.PartKind) -> Path | None:
    return None if name is None else hub.find_part(name, kind)


def _several(name: str, values: Any) -> tuple[Any, ...]:
    """A list as a tuple, None as an empty one. RequestError for one value that is given where a list is asked for."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable | None):
        raise RequestError(name, f"{values!r} is no list; give one, also of a single value")
    return tuple(values or ())


def _part_name(name: str | Path | None) -> str | None:
    if name is None:
        return None
    entry = part(str(name)) if isinstance(name, str) else None
    return entry.name if entry else Path(name).name


def _found_in(image: PictureSource) -> FoundMetadata | None:
    if not isinstance(image, Path | str | bytes):
        return None
    try:
        return read(image if isinstance(image, bytes) else Path(image))
    except (OSError, ValueError):
        return None
