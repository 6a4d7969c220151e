"""What `txt2img` and `img2img` of A1111 have in common: their fields, what is drawn of them, and the answer.

Samplers and whatever is not named here are accepted and change nothing.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.infotext import found_in_infotext
from bonsai_mlx.pipelines.styles import StyleBook
from bonsai_mlx.pipelines.styles import worded as in_styles
from bonsai_mlx.request import MAX_GUIDANCE, MAX_SEED, MAX_STYLES

from ...checkpoints.ready import ReadyModel
from ...studio import Studio
from ..base import MAX_IMAGES, Asked, Picture, asked_of, listed_model
from ..body import Json, PictureBody, Prompt, Switch, Text, Whole, bad_field, number, whole
from ..failing import json_answer
from .options import OverrideSettings, chosen


def _finite(value: object) -> object:
    """A finite number, or None for anything else: most models make nothing of it."""
    found = number(value)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return found if usable else None


Guidance = Annotated[float | None, BeforeValidator(_finite)]
Repeats = Annotated[int, Field(strict=True, ge=1, le=MAX_IMAGES), BeforeValidator(whole)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(number)]


class Drawing(PictureBody):
    """A1111's fields for pictures of any kind."""

    prompt: Prompt
    styles: list[Text] = Field([], max_length=MAX_STYLES, description="names of `prompt-styles`")
    negative_prompt: Annotated[Text, Field(description="of models with guidance; else it changes nothing")] = ""
    cfg_scale: Annotated[Guidance, Field(description="of models with guidance")] = None
    subseed: Annotated[Whole, Field(description="of a variation; below 0: a random one")] = None
    subseed_strength: Share = 0.0
    batch_size: Repeats = 1
    n_iter: Repeats = 1
    override_settings: OverrideSettings = OverrideSettings()
    send_images: Switch = True
    infotext: Annotated[Text, Field(description="what a picture says of its settings; other fields come first")] = ""

    @property
    def count(self) -> int:
        count = self.batch_size * self.n_iter
        if count > MAX_IMAGES:
            message = f"batch_size times n_iter is {count}; at most {MAX_IMAGES} pictures are drawn at a time."
            raise bad_field("batch_size", message)
        return count


_IN_INFOTEXT = {
    "subseed": "Variation seed",
    "subseed_strength": "Variation seed strength",
    "cfg_scale": "CFG scale",
    "denoising_strength": "Denoising strength",
    "hr_scale": "Hires upscale",
    "hr_upscaler": "Hires upscaler",
    "hr_second_pass_steps": "Hires steps",
}


def with_infotext(sent: Json) -> Json:
    """The settings of the `infotext` field below those that the body names itself."""
    written = sent.get("infotext")
    if not isinstance(written, str) or not written:
        return sent
    found = found_in_infotext(written)
    values = {name: getattr(found, name) for name in ("prompt", "seed", "steps", "width", "height")}
    values |= {name: found.extra.get(key) for name, key in _IN_INFOTEXT.items()}
    values["negative_prompt"] = found.negative or None
    values["enable_hr"] = True if values["hr_scale"] else None
    return {name: value for name, value in values.items() if value is not None} | sent


def checkpoint_of(studio: Studio, body: Drawing) -> ReadyModel:
    name = body.override_settings.sd_model_checkpoint
    if name.strip():
        return listed_model(studio, name, "override_settings.sd_model_checkpoint")
    return studio.models.require_ready(chosen(studio))


async def asked_to_draw(
    studio: Studio, ready: ReadyModel, body: Drawing, used: Mapping[str, Any] | None = None
) -> Asked:
    """`used` says which pictures go in."""
    styles, notes = known_styles(body.styles)
    notes += guidance_notes(ready, body)
    used = {"styles": styles, **(used or {}), **_variation(body), **guidance_of(ready, body)}
    return await asked_of(studio, ready, body, body.prompt, body.count, notes=notes, used=used)


def guidance_of(ready: ReadyModel, body: Drawing) -> Json:
    """Guidance and negative prompt for a model that has them, within what it takes; A1111 sends both to any."""
    if not ready.guided:
        return {}
    scale = min(max(body.cfg_scale or ready.recommended_guidance, 1.0), MAX_GUIDANCE)
    return {"guidance": scale, "negative_prompt": body.negative_prompt if scale > 1 else ""}


def guidance_notes(ready: ReadyModel, body: Drawing) -> list[str]:
    """What of the guidance that is asked for is not used, by a model that has it."""
    used = guidance_of(ready, body).get("guidance")
    if used is None:
        return []
    told = []
    if body.cfg_scale is not None and body.cfg_scale != used:
        told.append(f"A CFG scale of {body.cfg_scale:g} was asked for; {used:g} was used.")
    if used == 1 and body.negative_prompt.strip():
        told.append("At a CFG scale of 1 the negative prompt changes nothing.")
    return told


def _variation(body: Drawing) -> Json:
    """Nothing without a strength: its clients send a seed with every request."""
    if not body.subseed_strength:
        return {}
    seed = body.subseed
    own = None if seed is None or seed < 0 else seed % (MAX_SEED + 1)
    return {"variation_amount": body.subseed_strength, "variation_seed": own}


def known_styles(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that there are, and notes on the others, which A1111 passes over without a word."""
    known, notes, book = [], [], StyleBook.open()
    for name in names:
        try:
            known.append(book.find(name).name)
        except RequestError as error:
            notes.append(f"{error.message[0].upper()}{error.message[1:]}.")
    return known, notes


def redrawn_words(prompt: str, styles: Sequence[str], notes: list[str]) -> str:
    """The words of a picture that is redrawn in tiles, in its styles; adapters are named in them."""
    known, unknown = known_styles(styles)
    book = StyleBook.open()
    notes.extend(unknown)
    return in_styles(prompt, map(book.find, known))


def answer(pictures: Sequence[Picture], body: Drawing, sent: Json, told: dict[str, Any]) -> Response:
    """`sent` is repeated but for its pictures; `told` is what `info` says."""
    images = [base64.b64encode(made.png).decode() for made in pictures] if body.send_images else []
    echo = {name: value for name, value in sent.items() if isinstance(value, str | int | float) and name != "mask"}
    return json_answer({"images": images, "parameters": echo, "info": json.dumps(told)})
