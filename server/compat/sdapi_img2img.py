"""AUTOMATIC1111's `img2img`: a picture redrawn, or repainted where a mask is white."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.errors import PictureError
from bonsai_mlx.request import MAX_MARGIN_PX

from ..gallery.convert import Fit, Resize
from ..routes.common import StudioDep, failures, json_body
from ..studio import Studio
from .body import Json, Switch, Text, bad_field, fitted, number, parsed, read_json, whole
from .failing import errors_as
from .pictures import decoded, taken_in
from .sdapi import SdapiFailure, Txt2Img, answer, render_error, with_infotext

router = APIRouter(
    prefix="/sdapi/v1", tags=["sdapi"], route_class=errors_as(render_error), responses=failures(SdapiFailure)
)

_FEATHER_PER_BLUR = 2  # a blur of sigma n fades over about twice as many pixels
_MOST_BLUR = 64
_ORIGINAL, _NOISE = 1, 2  # of `inpainting_fill`


class Img2Img(Txt2Img):
    """A1111's fields. Without width and height the picture keeps its size."""

    init_images: Annotated[list[Text], Field(description="base64, with or without a data: address; the first is used")]
    mask: Annotated[Text, Field(description="white is repainted; with transparent parts, those are")] = ""
    resize_mode: Annotated[int, Field(strict=True, ge=0, le=3), BeforeValidator(whole)] = 0
    denoising_strength: Annotated[float, Field(ge=0, le=1), BeforeValidator(number)] = 0.75
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


@router.post("/img2img", summary="Redraw or repaint a picture (A1111)", openapi_extra=json_body(Img2Img))
async def img2img(studio: StudioDep, request: Request) -> Response:
    """init_images, mask, denoising_strength, mask_blur, inpainting_mask_invert, inpaint_full_res, its
    padding and what `txt2img` takes."""
    sent = await read_json(request)
    body = parsed(Img2Img, with_infotext(sent))
    return await answer(studio, request, body, sent, await _used(studio, body))


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
    if not body.init_images:
        raise bad_field("init_images", "There is no picture to be changed.", "Send it in base64.")
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
