"""The gallery as JSON, and the image files."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from bonsai_mlx.images.metadata import Format

from ..gallery.convert import FORMATS
from ..schemas import Deleted, Id, Image, ImageDetails, ImagePage, ImagePatch
from .common import Cursor, IdPath, StudioDep, errors, file_of

router = APIRouter(tags=["images"])

# An id names one picture for ever, so a browser need never ask twice; private: it is nobody else's business.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


@router.get("/images", summary="The gallery, newest first", responses=errors())
async def images(
    studio: StudioDep,
    cursor: Cursor | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 60,
    q: Annotated[str, Query(max_length=200, description="Words that the prompt must have")] = "",
    favourite: bool | None = None,
    group: Id | None = None,
) -> ImagePage:
    return await studio.gallery.page(cursor=cursor, limit=limit, q=q, favourite=favourite, group=group)


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
    name = _attachment(studio.gallery.get(image_id), suffix) if download else {}
    return Response(data, media_type=f"image/{to}", headers=_FOREVER | name)


def _attachment(found: Image, suffix: str) -> dict[str, str]:
    """The name under which a browser keeps it: the file's own, which may hold anything, percent-encoded."""
    own = f"{PurePath(found.name).stem}.{suffix}" if found.name else f"bonsai-{found.id}.{suffix}"
    plain = f'filename="bonsai-{found.id}.{suffix}"'
    extended = f"; filename*=UTF-8''{quote(own, safe='')}" if found.name else ""
    return {"Content-Disposition": f"attachment; {plain}{extended}"}


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


@router.patch("/images/{image_id:id}", summary="Mark or unmark as a favourite", responses=errors(404))
async def change(studio: StudioDep, image_id: IdPath, patch: ImagePatch) -> Image:
    return studio.gallery.set_favourite(image_id, patch.favourite)


@router.delete("/images/{image_id:id}", summary="Move to the trash", responses=errors(404))
async def delete(studio: StudioDep, image_id: IdPath) -> Deleted:
    return await studio.gallery.delete(image_id)


@router.post("/images/{image_id:id}/restore", summary="Undo a deletion", responses=errors(404))
async def restore(studio: StudioDep, image_id: IdPath) -> Image:
    return await studio.gallery.restore(image_id)
