"""Pictures made larger than they were drawn: what `enable_hr`, the script "SD upscale" and upscalers' files ask for.

The engine enlarges two or four times, and redraws in tiles (docs/enlarging.md); where another size was asked for, what
it has made is brought to that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from bonsai_mlx.bounds import Lora
from bonsai_mlx.errors import PictureError, RequestError
from bonsai_mlx.request import MAX_CANVAS_AREA, Enlarge

from ...checkpoints.ready import ReadyModel
from ...errors import ApiError
from ...gallery.convert import Fit, Resize
from ...jobs import adapters
from ...jobs.active import Work
from ...jobs.pictures import enlarging, refused
from ...parameters import EnlargeRequest
from ...studio import Studio
from ..base import Picture, submit
from ..body import bad_field
from .following import drawn
from .upscalers import shown

MAX_FACTOR = 4  # of what the engine enlarges
MAX_STRENGTH = 0.5  # of what is redrawn in tiles: above it each begins to draw the whole prompt for itself
_CALLER_GONE = 499
_ANY_PICTURE = "0" * 64

Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True, slots=True)
class Larger:
    """How pictures of one size are made larger; with a strength of 0 nothing is redrawn."""

    ready: ReadyModel
    before: Size
    after: Size
    by: int
    upscaler: str | None = None  # the name of its file
    strength: float = 0.0
    steps: int | None = None
    prompt: str = ""  # instead of the picture's own
    loras: tuple[Lora, ...] = ()  # that the picture will be drawn with
    guidance: Mapping[str, Any] = field(default_factory=dict)  # and the negative prompt, of a model that has them

    @property
    def told(self) -> dict[str, Any]:
        factor = self.after[0] / self.before[0]
        return {
            "Hires upscale": round(factor, 3),
            "Hires upscaler": shown(self.upscaler),
            **({"Hires steps": self.steps} if self.strength else {}),
        }

    def _fields(self, source: str, seed: int | None) -> dict[str, Any]:
        method = "refine" if self.strength else "learned" if self.upscaler else "exact"
        own = {"source": source, "by": self.by, "method": method, "upscaler": self.upscaler}
        if not self.strength:
            return own
        redrawn = {"prompt": self.prompt, "seed": seed, "steps": self.steps, "strength": self.strength}
        return {**own, **redrawn, **self.guidance}

    async def check(self, studio: Studio) -> None:
        """ApiError for what this machine cannot hold, before anything is drawn."""
        fields = self._fields(_ANY_PICTURE, 0)
        if self.strength and not self.prompt.strip():  # the picture's own words and adapters are not known yet
            fields |= {"prompt": "any", "loras": self.loras}
        try:
            resolved = enlarging(Enlarge(**fields).validated(), self.before, self.ready)
            resolved, adapter_bytes = await adapters.checked(resolved, self.ready, studio.settings)
            await studio.fits.check_enlarging(self.ready, resolved, adapter_bytes, force=False)
        except RequestError as error:
            raise refused(error) from None

    async def work(self, studio: Studio, source: str, seed: int | None) -> Work:
        """`source` is a picture's id in the gallery, or an input's."""
        return await studio.work_to_enlarge(EnlargeRequest(**self._fields(source, seed), model=self.ready.name))


def factor_for(before: Size, after: Size, field: str) -> int:
    """The smallest by which the engine makes it as large, or larger. ApiError 422 names the field."""
    needed = max(after[0] / before[0], after[1] / before[1])
    if needed > MAX_FACTOR:
        asked = f"{after[0]}x{after[1]} is more than {MAX_FACTOR} times {before[0]}x{before[1]}."
        raise bad_field(field, asked, f"At most {MAX_FACTOR} times the sides are possible.")
    by = 2 if needed <= 2 else MAX_FACTOR
    if math.prod(before) * by**2 > MAX_CANVAS_AREA:
        asked = f"{before[0] * by}x{before[1] * by} pixels would have to be made for it."
        raise bad_field(field, asked, f"At most {MAX_CANVAS_AREA // 1_000_000} million are possible.")
    return by


async def enlarged(studio: Studio, request: Request, pictures: Sequence[Picture], larger: Larger) -> list[Picture]:
    """The pictures made larger; as they are where somebody interrupts that before any is done."""
    work = [await larger.work(studio, made.image.id, made.job.seed) for made in pictures]
    try:
        made = await drawn(studio, request, submit(studio, work))
    except ApiError as error:
        if error.detail.code != "cancelled" or error.status == _CALLER_GONE:
            raise
        return list(pictures)
    return [await brought_to(studio, one, larger.after) for one in made.pictures]


async def brought_to(studio: Studio, made: Picture, size: Size, fit: Fit = "cover") -> Picture:
    if (made.image.width, made.image.height) == size:
        return made
    try:
        operation = Resize(width=size[0], height=size[1], fit=fit, keep_texts=True)
        png = await studio.decoder.decode(made.png, operation)
    except PictureError as error:
        raise ApiError(500, "failed", f"The picture could not be brought to its size: {error}.") from None
    return Picture(made.job, made.image, png)
