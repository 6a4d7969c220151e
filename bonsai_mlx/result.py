"""What comes out of a generation: where it stands, an event at a time, and at the end the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .images.metadata import MetadataMode, encode, encode_with_texts, format_of, save_picture
from .images.recipe import Recipe
from .request import ResolvedOperation

if TYPE_CHECKING:
    from PIL.Image import Image

TRUNCATED = "The prompt is longer than the model can read, and its end was left out. Put what matters most first."

Phase = Literal["enlarge", "load", "encode", "encode image", "denoise", "decode", "done"]


@dataclass(frozen=True, slots=True)
class Event:
    """Where a generation stands. Work happens between two events; `step` of `steps` within `phase` is finished."""

    phase: Phase
    step: int
    steps: int
    elapsed_s: float
    truncated: bool = False  # the prompt is longer than the model reads, and its end is left out; see TRUNCATED
    preview: Image | None = None  # after a denoising step, if asked for: about width/8 x height/8 pixels
    bits: Image | None = None  # beside a preview, of models that draw in bits: how these stand, a tile for each channel
    result: GenerationResult | None = None  # on the last event ("done") only


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """A finished picture and how it came about."""

    image: Image  # RGB; width x height, or larger where a part of it was drawn; RGBA of one enlarged exactly
    request: ResolvedOperation
    truncated: bool = False
    notes: tuple[str, ...] = ()  # for people: what pictures that went in have lost, or how they were made to fit
    mask: Image | None = None  # L, of what was repainted, if that was asked for
    recipe: Recipe | None = None  # what `save` writes into the file
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds per phase, and "total"
    memory: Mapping[str, Any] = field(default_factory=dict)  # see memory.RunMemory.summary()
    code: str | None = None  # what alone stands for the picture, of models whose latents are bits: images.bitcode

    @property
    def seed(self) -> int:
        return self.request.seed

    @property
    def steps(self) -> int:
        return self.request.steps

    def save(self, path: Path | str, *, metadata: MetadataMode = "full", quality: int = 90) -> None:
        """Write a PNG, JPEG or WebP file, by the name's suffix, that carries how to make the picture again.

        `metadata`: "mark" for no more than that a model made it, "none" for nothing. `quality` is that of JPEG and
        WebP, 1 to 100. SaveError: the file cannot be written, and is what it was before.
        """
        path = Path(path)
        kind = format_of(path)
        if self.recipe is None:
            data = encode_with_texts(self.image, {}, kind, quality)
        else:
            data = encode(self.image, self.recipe, metadata, kind, quality, self.mask, self.code)
        save_picture(path, data, follow_symlinks=True)
