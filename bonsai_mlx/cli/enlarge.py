"""`bonsai-mlx enlarge`: a picture with two or four times the sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..editing.pictures import PictureSet
from ..errors import RequestError
from ..images.metadata import read
from ..pipelines.lineage import chain_of
from ..request import REFINE_STRENGTH, Enlarge
from ..wording import user_path
from .generate import GenerateOptions, carry_out


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
    }
    for name, value in idle.items():
        if value is not None and not redraws:
            raise RequestError(name, "is about what is redrawn; give --method refine too")
    pictures = PictureSet()
    request = Enlarge(
        pictures.add("PICTURE", enlarge.picture),
        by=enlarge.by,
        method=method,
        upscaler=upscaler.name if upscaler else None,
        prompt=enlarge.prompt or described(enlarge.picture),
        seed=options.seed,
        steps=enlarge.steps,
        strength=REFINE_STRENGTH if enlarge.strength is None else enlarge.strength,
    )
    if redraws and not request.prompt.strip():
        raise RequestError("--prompt", "is needed: the picture does not say what it shows; describe it in a few words")
    return carry_out(options, [request.validated()], pictures.by_digest, upscaler, chain=chain_of([enlarge.picture]))


def described(picture: Path) -> str:
    try:
        found = read(picture)
    except ValueError:
        return ""
    return found.prompt if found else ""
