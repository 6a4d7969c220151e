"""What is done with many pictures at once, or with their files on this computer."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response, StreamingResponse

from ..library.reveal import reveal
from ..library.shapes import Archive, ArchiveRequest, Changed, Chosen, FavouritePatch, ImageIds, Restored
from ..schemas.images import DeletedMany
from .common import IdPath, ListingQuery, StudioDep, errors, file_of

router = APIRouter(tags=["images"])

ArchivePath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]


@router.get("/images/ids", summary="The ids of the gallery, or of a search, at most 10 000", responses=errors())
async def ids(studio: StudioDep, query: ListingQuery) -> ImageIds:
    return ImageIds(ids=await studio.gallery.listing.ids(query))


@router.post("/images/delete", summary="Move pictures to the trash", responses=errors())
async def delete(studio: StudioDep, body: Chosen) -> DeletedMany:
    return await studio.gallery.delete_many(body.ids)


@router.post("/images/restore", summary="Undo the deletion of pictures", responses=errors())
async def restore(studio: StudioDep, body: Chosen) -> Restored:
    ids, missing = await studio.gallery.restore_many(body.ids)
    return Restored(ids=ids, missing=missing)


@router.post("/images/favourite", summary="Mark or unmark pictures as favourites", responses=errors())
async def favourite(studio: StudioDep, body: FavouritePatch) -> Changed:
    return studio.collections.mark(body.ids, body.favourite)


@router.post("/archives", status_code=201, summary="Ask for pictures as one ZIP file", responses=errors(404))
async def archive(studio: StudioDep, body: ArchiveRequest) -> Archive:
    """The answer has the address to fetch it from, for an hour. It is made while it is fetched, and nowhere kept."""
    return studio.archives.prepare(body.ids, body.metadata)


@router.get(
    "/archives/{archive_id:id}.zip",
    summary="A ZIP file that was asked for",
    response_class=Response,
    responses=file_of("application/zip") | errors(404),
)
async def fetch(studio: StudioDep, archive_id: ArchivePath) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{studio.archives.name(archive_id)}"'}
    return StreamingResponse(studio.archives.stream(archive_id), media_type="application/zip", headers=headers)


@router.post(
    "/images/{image_id:id}/reveal",
    status_code=204,
    summary="Show a picture's file in the file manager of the server's computer",
    responses=errors(403, 404, 409),
)
async def show(studio: StudioDep, image_id: IdPath) -> None:
    """Only where the server listens to this computer alone."""
    studio.gallery.get(image_id)
    await reveal(studio.settings, studio.gallery.file(image_id))


@router.post(
    "/settings/reveal",
    status_code=204,
    summary="Show the folder of the pictures in the file manager of the server's computer",
    responses=errors(403, 409),
    tags=["system"],
)
async def show_folder(studio: StudioDep) -> None:
    """Only where the server listens to this computer alone."""
    await reveal(studio.settings, studio.gallery.folder)
