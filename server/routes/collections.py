"""Collections of pictures."""

from typing import Annotated

from fastapi import APIRouter, Path

from ..library.shapes import Changed, Collection, CollectionList, CollectionName, Move
from .common import StudioDep, errors

router = APIRouter(tags=["collections"])

CollectionPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]


@router.get("/collections", summary="Every collection, in the order of their names")
async def collections(studio: StudioDep) -> CollectionList:
    return CollectionList(collections=studio.collections.all())


@router.post("/collections", status_code=201, summary="Make a collection", responses=errors(409))
async def make(studio: StudioDep, body: CollectionName) -> Collection:
    return studio.collections.make(body.name)


@router.patch("/collections/{collection_id:id}", summary="Rename a collection", responses=errors(404, 409))
async def rename(studio: StudioDep, collection_id: CollectionPath, body: CollectionName) -> Collection:
    return studio.collections.rename(collection_id, body.name)


@router.delete(
    "/collections/{collection_id:id}", summary="Delete a collection; its pictures stay", responses=errors(404)
)
async def delete(studio: StudioDep, collection_id: CollectionPath) -> Collection:
    return studio.collections.delete(collection_id)


@router.post("/images/move", summary="Put pictures into a collection, take them out of one", responses=errors(404))
async def move(studio: StudioDep, body: Move) -> Changed:
    return studio.collections.move(body.ids, body.into, body.out_of)
