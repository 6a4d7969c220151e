"""What was deleted lately: looked at, and ended before its time. It is brought back by /images/restore."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from ..library.shapes import Bin, Chosen, Ended
from .common import BinCursor, IdPath, StudioDep, errors, file_of

router = APIRouter(tags=["images"])


@router.get("/images/deleted", summary="Pictures that were deleted and can be brought back", responses=errors())
async def deleted(
    studio: StudioDep, limit: Annotated[int, Query(ge=1, le=200)] = 200, cursor: BinCursor | None = None
) -> Bin:
    """The latest first. They can be brought back for some days, then they are gone."""
    return Bin.of(await studio.gallery.deleted(limit, cursor))


@router.get(
    "/images/deleted/{image_id:id}/thumbnail",
    summary="A small picture of one that was deleted",
    response_class=Response,
    responses=file_of("image/webp") | errors(404),
)
async def thumbnail(studio: StudioDep, image_id: IdPath) -> Response:
    data = await studio.gallery.deleted_thumbnail(image_id)
    return Response(data, media_type="image/webp", headers={"Cache-Control": "private, no-cache"})


@router.post("/images/deleted/end", summary="Delete some of them for good", responses=errors())
async def end(studio: StudioDep, body: Chosen) -> Ended:
    """Only what was deleted before; nothing brings it back."""
    ids, missing = await studio.gallery.delete_for_good(body.ids)
    return Ended(ids=ids, missing=missing)


@router.delete("/images/deleted", summary="Delete all of them for good", responses=errors())
async def empty(studio: StudioDep) -> Ended:
    ids, missing = await studio.gallery.delete_for_good(None)
    return Ended(ids=ids, missing=missing)
