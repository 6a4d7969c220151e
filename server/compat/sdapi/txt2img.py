"""A1111's `txt2img`: pictures from words, and redrawn at a larger size where `enable_hr` asks for it."""

from typing import Annotated

from fastapi import Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.request import REFINE_STRENGTH

from ...checkpoints.ready import ReadyModel
from ...routes.common import StudioDep, json_body
from ...studio import Studio
from ..base import Asked, steps_of, submit
from ..body import Steps, Switch, Text, number, parsed, read_json, whole
from .drawing import Drawing, Share, answer, asked_to_draw, checkpoint_of, guidance_of, redrawn_words, with_infotext
from .following import drawn
from .larger import MAX_STRENGTH, Larger, enlarged, factor_for
from .shape import new_router
from .told import info
from .upscalers import file_of

router = new_router()

Pixels = Annotated[int, Field(strict=True, ge=0, le=999_999), BeforeValidator(whole)]


class Txt2Img(Drawing):
    """A1111's fields. Samplers, scripts and whatever is not named here change nothing."""

    enable_hr: Annotated[Switch, Field(description="enlarge what is drawn, and redraw it in tiles")] = False
    hr_scale: Annotated[float, Field(ge=0, le=100), BeforeValidator(number)] = 2.0
    hr_resize_x: Annotated[Pixels, Field(description="the width instead; 0: as the height says")] = 0
    hr_resize_y: Annotated[Pixels, Field(description="the height instead; 0: as the width says")] = 0
    hr_upscaler: Annotated[Text, Field(description="one of `upscalers`; others mean Lanczos")] = ""
    hr_second_pass_steps: Annotated[Steps, Field(description="0: as many as before")] = None
    hr_prompt: Annotated[Text, Field(description="for what is redrawn, instead of the prompt")] = ""
    hr_negative_prompt: Annotated[Text, Field(description="likewise, instead of the negative prompt")] = ""
    denoising_strength: Annotated[
        Share, Field(description="of what is redrawn: 0 leaves it as it was enlarged, above 0.5 counts as 0.5")
    ] = REFINE_STRENGTH


@router.post("/txt2img", summary="Draw pictures (A1111)", openapi_extra=json_body(Txt2Img))
async def txt2img(studio: StudioDep, request: Request) -> Response:
    """prompt, styles, seed, steps, width, height, batch_size, n_iter, override_settings.sd_model_checkpoint,
    enable_hr with its hr_ fields and denoising_strength, send_images and infotext; everything else is accepted and
    changes nothing."""
    sent = await read_json(request)
    body = parsed(Txt2Img, with_infotext(sent))
    ready = checkpoint_of(studio, body)
    asked = await asked_to_draw(studio, ready, body)
    larger = await larger_of(studio, ready, body, asked) if body.enable_hr else None
    pictures, interrupted = await drawn(studio, request, submit(studio, asked.work))
    if larger is None or interrupted:
        return answer(pictures, body, sent, info(pictures, body, ready, asked.notes))
    pictures = await enlarged(studio, request, pictures, larger)
    told = info(pictures, body, ready, asked.notes, size=larger.before, strength=larger.strength, further=larger.told)
    return answer(pictures, body, sent, told)


async def larger_of(studio: Studio, ready: ReadyModel, body: Txt2Img, asked: Asked) -> Larger:
    """ApiError for a size that cannot be made."""
    before = asked.first.width, asked.first.height
    after, field = size_after(body, before)
    strength = min(body.denoising_strength, MAX_STRENGTH)
    if strength != body.denoising_strength:
        asked.notes.append(f"A denoising strength of {body.denoising_strength:g} was asked for; {strength:g} was used.")
    avoided = body.hr_negative_prompt
    larger = Larger(
        ready,
        before,
        after,
        factor_for(before, after, field),
        file_of(studio, body.hr_upscaler, asked.notes),
        strength,
        steps_of(studio, ready, body.hr_second_pass_steps or asked.first.steps, asked.notes),
        redrawn_words(body.hr_prompt, (), asked.notes) if body.hr_prompt.strip() else "",
        asked.first.loras,
        guidance_of(ready, body.model_copy(update={"negative_prompt": avoided}) if avoided.strip() else body),
    )
    await larger.check(studio)
    return larger


def size_after(body: Txt2Img, before: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """The size in pixels, (width, height), and the name of the field that says it."""
    width, height = before
    across, down = body.hr_resize_x, body.hr_resize_y
    if across or down:
        asked = across or max(1, round(down * width / height)), down or max(1, round(across * height / width))
        return asked, "hr_resize_x" if across else "hr_resize_y"
    scale = body.hr_scale or 2.0  # 0: not set
    return (max(1, int(width * scale)), max(1, int(height * scale))), "hr_scale"
