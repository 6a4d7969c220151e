"""A1111's script "SD upscale": a picture enlarged, and redrawn in tiles by its own words or by others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from ...checkpoints.ready import ReadyModel
from ...jobs.active import Work, batch_of
from ...studio import Studio
from ..base import Picture, seed_of, steps_of, submit
from ..body import bad_field, number
from ..pictures import decoded, taken_in
from .drawing import Drawing, guidance_notes, guidance_of, redrawn_words
from .following import drawn
from .larger import MAX_FACTOR, MAX_STRENGTH, Larger, brought_to, factor_for
from .upscalers import file_of, name_at, shown

NAME = "SD upscale"
_UPSCALER, _FACTOR = 2, 3  # places among its arguments; before them are a text and an overlap, which change nothing


@dataclass(frozen=True, slots=True)
class Upscaling:
    """The work, and what is told of it."""

    work: Sequence[Work]
    larger: Larger
    notes: list[str]

    @property
    def strength(self) -> float:
        return self.larger.strength

    @property
    def told(self) -> dict[str, Any]:
        return {"SD upscale upscaler": shown(self.larger.upscaler)}

    async def pictures(self, studio: Studio, request: Request) -> list[Picture]:
        made = await drawn(studio, request, submit(studio, self.work))
        return [await brought_to(studio, one, self.larger.after) for one in made.pictures]


async def upscaling_of(
    studio: Studio, ready: ReadyModel, body: Drawing, image: str, arguments: Sequence[Any], asked: float
) -> Upscaling:
    """`image` is in base64, `asked` the strength of redrawing. ApiError names the field."""
    count = body.count
    notes = guidance_notes(ready, body)
    upscaler = file_of(studio, _upscaler(studio, arguments), notes)
    factor = _factor(arguments)
    source = (await taken_in(studio, await decoded(image, "init_images"), "init_images"))[0]
    after = max(1, int(source.width * factor)), max(1, int(source.height * factor))
    strength = min(asked, MAX_STRENGTH)
    if strength != asked:
        notes.append(f"A denoising strength of {asked:g} was asked for; {strength:g} was used.")
    larger = Larger(
        ready,
        source.size,
        after,
        factor_for(source.size, after, f"script_args[{_FACTOR}]"),
        upscaler,
        strength,
        steps_of(studio, ready, body.steps, notes),
        redrawn_words(body.prompt, body.styles, notes),
        guidance=guidance_of(ready, body),
    )
    await larger.check(studio)
    return Upscaling(batch_of(await larger.work(studio, source.id, seed_of(body, notes)), count), larger, notes)


def _upscaler(studio: Studio, arguments: Sequence[Any]) -> str:
    """Its name, which a client may also give as a number of the list."""
    field, value = f"script_args[{_UPSCALER}]", _argument(arguments, _UPSCALER, "")
    if isinstance(value, int) and not isinstance(value, bool):
        return name_at(studio, value, field)
    if not isinstance(value, str):
        raise bad_field(field, f"{field} is no name of an upscaler.", "GET /sdapi/v1/upscalers lists them.")
    return value


def _factor(arguments: Sequence[Any]) -> float:
    field, value = f"script_args[{_FACTOR}]", number(_argument(arguments, _FACTOR, 2.0))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_FACTOR:
        raise bad_field(field, f"{field} is no factor.", f"Give a number from 1 to {MAX_FACTOR}.")
    return float(value)


def _argument(arguments: Sequence[Any], place: int, usual: Any) -> Any:
    value = arguments[place] if place < len(arguments) else None
    return usual if value is None else value
