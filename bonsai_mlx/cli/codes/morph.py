"""`bonsai-mlx morph`: a picture between two, by a model that draws in bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...editing.pictures import PictureSet
from ...hub.catalog import bits_model
from ...pipelines.lineage import chain_of
from ...request import ANYTHING, MORPH_STRENGTH, GenerationRequest
from ..generate import GenerateOptions, draw, varied


def morph_command(
    options: GenerateOptions, one: Path, other: Path, weight: float | None, strength: float | None
) -> int:
    """Draw and save. Without a prompt it is drawn without words. BonsaiError."""
    if options.model is None:
        options = replace(options, model=bits_model())
    if not options.prompt:
        options = replace(options, unconditional=True)
    pictures = PictureSet()
    request = GenerationRequest(
        options.prompt or ANYTHING,
        seed=options.seed,
        steps=options.steps,
        width=options.width,
        height=options.height,
        init=pictures.add("PICTURE", one),
        morph=pictures.add("OTHER", other),
        morph_weight=0.5 if weight is None else weight,
        strength=MORPH_STRENGTH if strength is None else strength,
    )
    return draw(options, varied(request, options), pictures.by_digest, chain_of([one, other]), pictures.notes)
