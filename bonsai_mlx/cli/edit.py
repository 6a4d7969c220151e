"""`bonsai-mlx edit` and `enlarge`: a picture changed, redrawn, repainted in a mask, extended, or with larger sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..editing.pictures import PictureSet
from ..errors import RequestError
from ..images.metadata import read
from ..pipelines.lineage import chain_of
from ..request import (
    EXTEND_STRENGTH,
    MAX_REFERENCES,
    REFINE_STRENGTH,
    Enlarge,
    GenerationRequest,
    drawn_with,
    refuse_idle,
)
from ..wording import user_path
from .generate import GenerateOptions, carry_out, draw, model_of, varied

FEATHER_PX = 16


@dataclass(frozen=True, slots=True)
class EditOptions:
    """What the command line says beside what `generate` takes."""

    picture: Path
    references: tuple[Path, ...] = ()
    reference_detail: int | None = None
    mask: Path | None = None
    mask_content: str | None = None
    feather_px: int | None = None
    strength: float | None = None
    strength_rule: str | None = None
    extend: tuple[int, ...] | None = None
    only_masked: bool | None = None
    margin_px: int | None = None


def edit_command(options: GenerateOptions, edit: EditOptions) -> int:
    """Draw and save. Returns 0, or raises the BonsaiError that says why it cannot.

    Without a strength, a mask and an extension the prompt is an instruction, and the picture is looked at.
    """
    _check(edit)
    pictures = PictureSet()
    source = pictures.add("PICTURE", edit.picture)
    references = tuple(pictures.add("--reference", path) for path in edit.references)
    chain = chain_of([edit.picture, *edit.references])
    request = GenerationRequest(
        options.prompt or "",
        seed=options.seed,
        steps=options.steps,
        width=options.width,
        height=options.height,
        references=references,
        reference_detail=edit.reference_detail,
        loras=options.loras,
    )
    if edit.strength is None and edit.mask is None and edit.extend is None:
        request = replace(request, references=(source, *references))
        return _drawn(options, request, pictures, chain)
    usual = 1.0 if edit.extend is None else EXTEND_STRENGTH
    request = replace(
        request,
        init=source,
        strength=usual if edit.strength is None else edit.strength,
        strength_rule=edit.strength_rule or "sigma",
        mask=None if edit.mask is None else pictures.add_mask("--mask", edit.mask),
        mask_content=edit.mask_content or "original",
        feather_px=FEATHER_PX if edit.feather_px is None else edit.feather_px,
        only_masked=edit.only_masked,
        margin_px=edit.margin_px,
        extend=edit.extend,
    )
    return _drawn(options, request, pictures, chain)


def _drawn(
    options: GenerateOptions, request: GenerationRequest, pictures: PictureSet, chain: Sequence[dict[str, Any]]
) -> int:
    refuse_idle(request)
    return draw(options, varied(request, options), pictures.by_digest, chain, pictures.notes)


def _check(edit: EditOptions) -> None:
    """RequestError for an option that would change nothing, and for a picture too many."""
    partly = edit.mask is not None or edit.extend is not None
    instruction = edit.strength is None and not partly
    if instruction and len(edit.references) >= MAX_REFERENCES:
        most = MAX_REFERENCES - 1
        raise RequestError("--reference", f"PICTURE is looked at too, so at most {most} more are; leave some out")
    if instruction and edit.strength_rule is not None:
        raise RequestError("--strength-rule", "says how --strength is meant; give that too")
    idle = {
        "--mask-content": edit.mask_content,
        "--feather": edit.feather_px,
        "--margin": edit.margin_px,
        "--only-masked and --whole": edit.only_masked,
    }
    for name, value in idle.items():
        if value is not None and not partly:
            raise RequestError(name, "is about what is repainted; give --mask or --extend too")


@dataclass(frozen=True, slots=True)
class EnlargeOptions:
    """What the command line says beside model, seed, memory and output."""

    picture: Path
    by: int
    method: str
    prompt: str | None = None
    steps: int | None = None
    strength: float | None = None
    upscaler: Path | None = None


def enlarge_command(options: GenerateOptions, enlarge: EnlargeOptions) -> int:
    """Enlarge and save. Returns 0, or raises the BonsaiError that says why it cannot."""
    method, upscaler = enlarge.method, enlarge.upscaler
    if method not in ("exact", "refine"):
        method, upscaler = "learned", user_path(method)
    redraws = method == "refine"
    idle = {
        "--prompt": enlarge.prompt,
        "--steps": enlarge.steps,
        "--strength": enlarge.strength,
        "--seed": options.seed,
        "--lora": options.loras or None,
        "--guidance": options.guidance,
        "--negative-prompt": options.negative_prompt,
    }
    for name, value in idle.items():
        if value is not None and not redraws:
            raise RequestError(name, "is about what is redrawn; give --method refine too")
    options = replace(options, model=model_of(options, draws=redraws))
    pictures = PictureSet()
    prompt = enlarge.prompt or ""
    led: dict[str, Any]
    led = {"loras": options.loras, "guidance": options.guidance, "negative_prompt": options.negative_prompt or ""}
    if not prompt:
        prompt, own = described(enlarge.picture, options.model or "")
        led = {name: value or own.get(name, value) for name, value in led.items()} if redraws else led
    request = Enlarge(
        pictures.add("PICTURE", enlarge.picture, transparent=method == "exact"),
        by=enlarge.by,
        method=method,
        upscaler=upscaler.name if upscaler else None,
        prompt=prompt,
        seed=options.seed,
        steps=enlarge.steps,
        strength=REFINE_STRENGTH if enlarge.strength is None else enlarge.strength,
        **led,
    )
    if redraws and not request.prompt.strip():
        raise RequestError("--prompt", "is needed: the picture does not say what it shows; describe it in a few words")
    chain, notes = chain_of([enlarge.picture]), pictures.notes
    return carry_out(options, [request.validated()], pictures.by_digest, upscaler, chain=chain, notes=notes)


def described(picture: Path, model: str) -> tuple[str, dict[str, Any]]:
    """What the file says that it was drawn from, and what went with those words; nothing where it says nothing.

    How it was guided is for the model that drew it, and not for another one.
    """
    try:
        found = read(picture)
    except ValueError:
        return "", {}
    if found is None or found.recipe is None:
        return (found.prompt if found else ""), {}
    own = drawn_with(found.recipe.parameters)
    same = found.recipe.model in (model, Path(model).name)
    return found.prompt, own if same else {"loras": own["loras"]}
