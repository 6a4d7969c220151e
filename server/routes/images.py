"""The gallery as JSON, and the image files."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from ..schemas import Deleted, Id, Image, ImageDetails, ImagePage, ImagePatch
from .common import Cursor, IdPath, StudioDep, binary, errors

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
    "/images/{image_id:id}.png",
    summary="The picture's file",
    response_class=Response,
    responses=binary("image/png") | errors(404),
)
async def png(
    studio: StudioDep,
    image_id: IdPath,
    metadata: Annotated[Literal["full", "mark", "none"], Query(description="How much of the recipe to keep")] = "full",
    download: bool = False,
) -> Response:
    data = await studio.gallery.png(image_id, metadata)
    name = {"Content-Disposition": f'attachment; filename="bonsai-{image_id}.png"'} if download else {}
    return Response(data, media_type="image/png", headers=_FOREVER | name)


@router.get(
    "/images/{image_id:id}/thumbnail",
    summary="A small picture, at most 384 pixels on its long side",
    response_class=Response,
    responses=binary("image/webp") | errors(404),
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
