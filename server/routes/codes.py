"""Pictures as codes of bits: made, read, printed as QR codes, and compared."""

import asyncio
import io
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from bonsai_mlx.images.bitcode import MAX_CHARS, QR_CHARS, BitCode
from bonsai_mlx.request import Side

from ..errors import ApiError
from ..jobs.pictures import picture_of
from ..library.shapes import PictureCode, SimilarImage, SimilarImages
from ..parameters import Fields, ModelName, annotation
from ..validation import refused
from .common import IdPath, StudioDep, errors, file_of

router = APIRouter(tags=["codes"])

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_Side = annotation(Side)


class EncodeFields(Fields):
    """The picture is named as for `init`: an id of the gallery, or of `POST /inputs`."""

    picture: str = Field(pattern="^(?:[0-9a-f]{32}|[0-9a-f]{64})$")
    width: _Side | None = Field(None, description="of what is encoded; its own, rounded to 16, where it is left out")  # type: ignore[valid-type]
    height: _Side | None = None  # type: ignore[valid-type]
    model: ModelName | None = Field(None, description="one that draws in bits")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.width is None) != (self.height is None):
            lacking = "width" if self.width is None else "height"
            raise refused(f"A size has two sides; {lacking} is missing.", field=lacking)
        return self


class DecodeFields(Fields):
    code: str = Field(min_length=1, max_length=MAX_CHARS + 2, description="base64url, as `POST /encode` gives it")
    model: ModelName | None = Field(None, description="the one that made the code")


@router.post("/encode", summary="Make the code of a picture", responses=errors(409, 429, 500, 507))
async def encode(studio: StudioDep, body: EncodeFields) -> PictureCode:
    """The bits that the autoencoder of a model that draws in bits makes of it: 2 KB at 256x256."""
    picture = await picture_of(body.picture, "picture", studio.inputs, studio.gallery)
    size = (body.width, body.height) if body.width and body.height else None
    coded, model = await studio.coding.encode(picture, size, body.model)
    return _shown(BitCode.of_text(coded.code), model)


@router.post(
    "/decode",
    summary="Make the picture of a code",
    response_class=Response,
    responses=file_of("image/png") | errors(409, 429, 500, 507),
)
async def decode(studio: StudioDep, body: DecodeFields) -> Response:
    """A PNG with the code inside. Nothing is drawn and nothing is kept."""
    png = await studio.coding.decode(BitCode.of_text(body.code), body.model)
    return Response(png, media_type="image/png")


@router.get("/images/{image_id:id}/code", summary="The code that is in a picture's file", responses=errors(404))
async def code(studio: StudioDep, image_id: IdPath) -> PictureCode:
    """Of pictures that a model has drawn in bits."""
    return _shown(await studio.codes.get(image_id), studio.gallery.get(image_id).model)


@router.get(
    "/images/{image_id:id}/code.svg",
    summary="The code that is in a picture's file, as a QR code",
    response_class=Response,
    responses=file_of("image/svg+xml") | errors(404),
)
async def qr_code(studio: StudioDep, image_id: IdPath) -> Response:
    """All of the picture: what a phone reads of it is text that `POST /decode` takes. Up to about 256x256 pixels."""
    text = (await studio.codes.get(image_id)).as_text()
    if len(text) > QR_CHARS:
        message = f"This picture's code has {len(text):,} characters; a QR code holds at most {QR_CHARS:,}."
        raise ApiError(422, "bad_field", message, field="image_id", remedy="Take the code as text.")
    drawn = await asyncio.to_thread(_drawn, text)
    return Response(drawn, media_type="image/svg+xml", headers=_FOREVER)


@router.get(
    "/images/{image_id:id}/similar", summary="Pictures that differ from one in the fewest bits", responses=errors(404)
)
async def similar(studio: StudioDep, image_id: IdPath, limit: Annotated[int, Query(ge=1, le=60)] = 12) -> SimilarImages:
    own = await studio.codes.get(image_id)
    found = await studio.codes.similar(studio.gallery.get(image_id), limit)
    bits = 8 * len(own.bits)
    return SimilarImages(images=[SimilarImage(image=one, distance=far, part=far / bits) for one, far in found])


def _shown(found: BitCode, model: str | None) -> PictureCode:
    size = len(found.as_bytes())
    return PictureCode(code=found.as_text(), width=found.width, height=found.height, bytes=size, model=model)


def _drawn(text: str) -> bytes:
    """Dark on white whatever the page's theme: not every camera reads the opposite."""
    import segno  # here: few pages need it

    # the least correction, which is what lets all of it in; one mask instead of the best of eight takes a fifth
    made, drawn = segno.make_qr(text, error="l", mode="byte", mask=2, boost_error=False), io.BytesIO()
    made.save(drawn, kind="svg", scale=2, border=4, dark="#000", light="#fff")
    return drawn.getvalue()
