"""A1111's `img2img`: a picture redrawn, or repainted where a mask is white; with its script, enlarged and redrawn."""

from typing import Annotated, Any

from fastapi import Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.errors import PictureError
from bonsai_mlx.request import MAX_MARGIN_PX

from ...gallery.convert import Fit, Resize
from ...routes.common import StudioDep, json_body
from ...studio import Studio
from ..base import submit
from ..body import Json, Switch, Text, bad_field, fitted, parsed, read_json, whole
from ..pictures import decoded, taken_in
from .drawing import Drawing, Share, answer, asked_to_draw, checkpoint_of, with_infotext
from .following import drawn
from .sd_upscale import NAME, upscaling_of
from .shape import new_router
from .told import info

router = new_router()

_FEATHER_PER_BLUR = 2  # a blur of sigma n fades over about twice as many pixels
_MOST_BLUR = 64
_ORIGINAL, _NOISE = 1, 2  # of `inpainting_fill`


class Img2Img(Drawing):
    """A1111's fields. Without width and height the picture keeps its size."""

    init_images: Annotated[list[Text], Field(description="base64, with or without a data: address; the first is used")]
    mask: Annotated[Text, Field(description="white is repainted; with transparent parts, those are")] = ""
    resize_mode: Annotated[int, Field(strict=True, ge=0, le=3), BeforeValidator(whole)] = 0
    denoising_strength: Share = 0.75
    mask_blur: Annotated[int, Field(strict=True, ge=0, le=999), BeforeValidator(whole)] = 4
    inpainting_fill: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=3,
            description="the masked place starts from its surroundings (0, 3), as it is (1), or from noise alone (2)",
        ),
        BeforeValidator(whole),
    ] = 0
    inpainting_mask_invert: Switch = False
    inpaint_full_res_padding: Annotated[int, Field(strict=True, ge=0, le=9_999), BeforeValidator(whole)] = 32
    inpaint_full_res: Annotated[Switch, Field(description="draw the mask's surroundings alone, enlarged")] = False
    script_name: Annotated[Text, Field(description="`SD upscale`, or nothing")] = ""
    script_args: Annotated[
        list[Any], Field(max_length=64, description="of SD upscale: nothing, an overlap, an upscaler, a factor")
    ] = []  # noqa: RUF012  pydantic copies it


@router.post("/img2img", summary="Redraw or repaint a picture (A1111)", openapi_extra=json_body(Img2Img))
async def img2img(studio: StudioDep, request: Request) -> Response:
    """init_images, mask, denoising_strength, mask_blur, inpainting_mask_invert, inpaint_full_res, its
    padding, the script `SD upscale` and what `txt2img` takes but for enable_hr."""
    sent = await read_json(request)
    body = parsed(Img2Img, with_infotext(sent))
    ready = checkpoint_of(studio, body)
    if not body.init_images:
        raise bad_field("init_images", "There is no picture to be changed.", "Send it in base64.")
    script = body.script_name.strip()
    if script.casefold() == NAME.casefold():
        upscaling = await upscaling_of(
            studio, ready, body, body.init_images[0], body.script_args, body.denoising_strength
        )
        pictures = await upscaling.pictures(studio, request)
        told = info(pictures, body, ready, upscaling.notes, strength=upscaling.strength, further=upscaling.told)
        return answer(pictures, body, sent, told)
    asked = await asked_to_draw(studio, ready, body, await _used(studio, body))
    if script.casefold() not in ("", "none"):
        asked.notes.append(f"There is no script called {script[:80]!r} here.")
    pictures = (await drawn(studio, request, submit(studio, asked.work))).pictures
    told = info(pictures, body, ready, asked.notes, strength=body.denoising_strength)
    return answer(pictures, body, sent, told)


_FITS: tuple[Fit, ...] = ("stretch", "cover", "contain", "stretch")  # by A1111's resize_mode


async def _fitted(studio: Studio, body: Img2Img, data: bytes, field: str) -> bytes:
    """A picture or a mask at the size that is asked for, in the way that is asked for; whole where a part is drawn."""
    if not body.width or not body.height or (body.mask.strip() and body.inpaint_full_res):
        return data
    width, height = fitted(body.width, body.height)
    fit = _FITS[body.resize_mode]
    try:
        return await studio.decoder.decode(data, Resize(width=width, height=height, fit=fit, mask=field == "mask"))
    except PictureError as error:
        raise bad_field(field, f"The picture cannot be used: {error}.") from None


async def _used(studio: Studio, body: Img2Img) -> Json:
    data = await _fitted(studio, body, await decoded(body.init_images[0], "init_images"), "init_images")
    init = (await taken_in(studio, data, "init_images"))[0]
    used: Json = {"init": init.id, "strength": max(body.denoising_strength, 0.01)}
    if body.mask.strip():
        data = await _fitted(studio, body, await decoded(body.mask, "mask"), "mask")
        mask = (await taken_in(studio, data, "mask", mask=True, invert=body.inpainting_mask_invert))[0]
        used |= {"mask": mask.id, "only_masked": body.inpaint_full_res}
        if body.inpainting_fill == _NOISE:
            used["strength"] = 1.0
        elif body.inpainting_fill != _ORIGINAL:
            used["mask_content"] = "surroundings"
        used["margin_px"] = min(body.inpaint_full_res_padding, MAX_MARGIN_PX)
        used["feather_px"] = _FEATHER_PER_BLUR * min(body.mask_blur, _MOST_BLUR)
    return used
