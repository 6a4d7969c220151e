"""The gallery as JSON, and the image files."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from bonsai_mlx.images.metadata import Format

from ..gallery.convert import FORMATS
from ..library.shapes import Lineage
from ..schemas.images import Deleted, Image, ImageDetails, ImagePage, ImagePatch
from .common import Cursor, IdPath, ListingQuery, StudioDep, errors, file_of

router = APIRouter(tags=["images"])

# An id names one picture for ever, so a browser need never ask twice; private: it is nobody else's business.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


@router.get("/images", summary="The gallery, newest first unless asked for otherwise", responses=errors())
async def images(
    studio: StudioDep,
    query: ListingQuery,
    cursor: Cursor | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 60,
) -> ImagePage:
    return await studio.gallery.page(query, cursor=cursor, limit=limit)


@router.get(
    "/images/{image_id:id}.{suffix}",
    summary="The picture's file; in another format than its own, it is converted",
    response_class=Response,
    responses=file_of(*(f"image/{name}" for name in FORMATS)) | errors(404),
)
async def file(
    studio: StudioDep,
    image_id: IdPath,
    suffix: Literal["png", "jpg", "jpeg", "webp"],
    metadata: Annotated[Literal["full", "mark", "none"], Query(description="How much of the recipe to keep")] = "full",
    download: bool = False,
) -> Response:
    to: Format = "jpeg" if suffix == "jpg" else suffix
    data = await studio.gallery.encoded(image_id, to, metadata)
    name = _named(studio.gallery.get(image_id), suffix, "attachment" if download else "inline")
    return Response(data, media_type=f"image/{to}", headers=_FOREVER | name)


def _named(found: Image, suffix: str, kept: Literal["attachment", "inline"]) -> dict[str, str]:
    """The name under which a browser keeps it. What is no plain ASCII is percent-encoded beside a name that is."""
    own = f"{found.file_name.rpartition('.')[0]}.{suffix}"
    plain = own if own.isascii() else f"bonsai-{found.id}.{suffix}"
    extended = "" if own.isascii() else f"; filename*=UTF-8''{quote(own, safe='')}"
    return {"Content-Disposition": f'{kept}; filename="{plain}"{extended}'}


@router.get(
    "/images/{image_id:id}/thumbnail",
    summary="A small picture, at most 384 pixels on its long side",
    response_class=Response,
    responses=file_of("image/webp") | errors(404),
)
async def thumbnail(studio: StudioDep, image_id: IdPath) -> Response:
    return Response(await studio.gallery.thumbnail(image_id), media_type="image/webp", headers=_FOREVER)


@router.get("/images/{image_id:id}", summary="One image", response_model=ImageDetails, responses=errors(404))
async def image(studio: StudioDep, request: Request, image_id: IdPath) -> ImageDetails | Response:
    found = studio.gallery.details(image_id)
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/i/{image_id}", status_code=303)
    return found


@router.get(
    "/images/{image_id:id}/lineage",
    summary="What an image was made from, itself, and what was made from it",
    responses=errors(404),
)
async def lineage(studio: StudioDep, image_id: IdPath) -> Lineage:
    """Over twenty steps back and one forth, at most a hundred; what was deleted is left out."""
    studio.gallery.get(image_id)
    return Lineage(images=await studio.gallery.listing.lineage(image_id))


@router.patch("/images/{image_id:id}", summary="Mark or unmark as a favourite", responses=errors(404))
async def change(studio: StudioDep, image_id: IdPath, patch: ImagePatch) -> Image:
    return studio.gallery.set_favourite(image_id, patch.favourite)


@router.delete("/images/{image_id:id}", summary="Move to the trash", responses=errors(404))
async def delete(studio: StudioDep, image_id: IdPath) -> Deleted:
    return await studio.gallery.delete(image_id)


@router.post("/images/{image_id:id}/restore", summary="Undo a deletion", responses=errors(404))
async def restore(studio: StudioDep, image_id: IdPath) -> Image:
    return await studio.gallery.restore(image_id)
