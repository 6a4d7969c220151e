"""A picture that is enlarged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from ..bounds import AdapterUse, bounds_by_name
from ..errors import RequestError
from .draw import check_once, parameters
from .fields import (
    MAX_CANVAS_AREA,
    REFINE_STRENGTH,
    AnySide,
    AnySteps,
    AnyWords,
    Digest,
    EnlargeMethod,
    Factor,
    Guidance,
    Loras,
    NegativePrompt,
    Seed,
    Steps,
    Strength,
    UpscalerName,
)
from .seeds import random_seed


@dataclass(frozen=True, slots=True)
class Enlarge:
    """A picture with two or four times the sides: by Lanczos alone, redrawn on top of that, or by an upscaler's file.

    What is redrawn needs words; they are those that the picture was drawn from, unless others are given.
    """

    source: Digest
    by: Factor = 2
    method: EnlargeMethod = "exact"
    upscaler: UpscalerName | None = None  # the name of its file; with "refine" it enlarges what is then redrawn
    prompt: AnyWords = ""
    seed: Seed | None = None
    steps: Steps | None = None
    strength: Strength = REFINE_STRENGTH
    loras: Loras = ()  # adapters, of what is redrawn
    guidance: Guidance | None = None  # and of a model that is not distilled
    negative_prompt: NegativePrompt = ""

    def resolved(self, *, size: tuple[int, int], steps: int, guidance: float = 1.0) -> ResolvedEnlarge:
        """The request with nothing left open. RequestError.

        `size` is that of the picture, (width, height) in pixels; `steps` and `guidance` are the checkpoint's
        recommendations.
        """
        values: dict[str, Any] = parameters(self)
        redraws = self.method == "refine"
        values["seed"] = (random_seed() if redraws else 0) if self.seed is None else self.seed
        values["steps"] = (steps if self.steps is None else self.steps) if redraws else 0
        values["guidance"] = (guidance if self.guidance is None else self.guidance) if redraws else 1.0
        values |= {"width": size[0] * self.by, "height": size[1] * self.by}
        return ResolvedEnlarge(**values).validated()

    def validated(self) -> Self:
        checked: dict[str, Any] = {
            name: bounds.checked(name, getattr(self, name))
            for name, bounds in bounds_by_name(cast(Any, type(self))).items()
        }
        if checked["method"] == "learned" and checked["upscaler"] is None:
            raise RequestError("upscaler", "is missing; name the file of an upscaler")
        if checked["method"] == "exact" and checked["upscaler"] is not None:
            raise RequestError("upscaler", "is not used by the exact method; choose learned or refine")
        if checked["method"] == "refine" and not checked["prompt"].strip():
            raise RequestError("prompt", "is empty; say what is to be seen, in a few words")
        check_once(checked["loras"])
        return replace(self, **checked)

    @property
    def pictures(self) -> tuple[str, ...]:
        return (self.source,)


def drawn_with(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Of the parameters in a picture's recipe, what goes with its words when they draw it once more."""
    return {
        "loras": tuple(AdapterUse().checked("loras", one) for one in parameters.get("loras") or ()),
        "guidance": parameters.get("guidance"),
        "negative_prompt": parameters.get("negative_prompt") or "",
    }


@dataclass(frozen=True, slots=True)
class ResolvedEnlarge(Enlarge):
    """An enlarged picture with nothing left open."""

    seed: Seed = 0
    steps: AnySteps = 0
    guidance: Guidance = 1.0
    width: AnySide = 0
    height: AnySide = 0

    def validated(self) -> Self:
        """See Draw; RequestError also for too large a picture."""
        if self.width * self.height > MAX_CANVAS_AREA:
            limit = MAX_CANVAS_AREA // 1_000_000
            raise RequestError("by", f"makes {self.width}x{self.height} pixels; at most {limit} million are possible")
        return Enlarge.validated(self)
