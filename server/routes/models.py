"""The checkpoints, their downloads, and the sizes that fit."""

from typing import Annotated

from fastapi import APIRouter, Query

from bonsai_mlx.request import MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX

from ..jobs.adapters import listed_adapters
from ..parameters import ModelName
from ..schemas.models import Fit, LoraList, Model, ModelList, Sizes, Upscalers
from ..settings import upscaler_files
from .common import ModelNamePath, StudioDep, errors

router = APIRouter(tags=["models"])

OriginQuery = Annotated[
    str | None, Query(alias="from", max_length=32, description="what to make the model of: its `original`")
]
SideQuery = Annotated[int, Query(ge=MIN_SIZE_PX, le=MAX_SIZE_PX, multiple_of=SIZE_MULTIPLE_PX)]


@router.get("/models", summary="Every known checkpoint as it is on this machine")
async def models(studio: StudioDep) -> ModelList:
    return ModelList(
        models=studio.models.all(),
        parts=studio.models.parts(),
        default=studio.models.default(),
        disk_free_bytes=studio.models.disk_free_bytes(),
    )


@router.get("/models/{name}", summary="One checkpoint", responses=errors(404))
async def model(studio: StudioDep, name: ModelNamePath) -> Model:
    return studio.models.get(name)


@router.post("/models/{name}/download", summary="Start or resume a download", responses=errors(404, 503, 507))
async def download(studio: StudioDep, name: ModelNamePath, origin: OriginQuery = None) -> Model:
    """With `from` the original's files are packed while they come; at most one of them lies on the disk at a time."""
    return await studio.models.download(name, origin)


@router.post("/models/{name}/resume", summary="The same as download", responses=errors(404, 503, 507))
async def resume(studio: StudioDep, name: ModelNamePath) -> Model:
    return await studio.models.download(name)


@router.post("/models/{name}/pause", summary="Stop a download and keep what has arrived", responses=errors(404, 409))
async def pause(studio: StudioDep, name: ModelNamePath) -> Model:
    return await studio.models.pause(name)


@router.post(
    "/models/{name}/cancel", summary="Stop a download or check; what has arrived is kept", responses=errors(404)
)
async def cancel(studio: StudioDep, name: ModelNamePath) -> Model:
    return await studio.models.cancel(name)


@router.post("/models/{name}/verify", summary="Hash every file again", responses=errors(404, 409, 503))
async def verify(studio: StudioDep, name: ModelNamePath) -> Model:
    return await studio.models.verify(name)


@router.delete("/models/{name}", summary="Delete a checkpoint from the disk", responses=errors(404, 409))
async def delete(studio: StudioDep, name: ModelNamePath) -> Model:
    return await studio.delete_model(name)


@router.get("/sizes", summary="Which sizes fit into this machine's memory", responses=errors(409))
async def sizes(studio: StudioDep, model: ModelName | None = None) -> Sizes:
    return Sizes(sizes=await studio.fits.sizes(studio.models.resolve(model)))


@router.get("/fit", summary="Whether one size fits into this machine's memory", responses=errors(409))
async def fit(studio: StudioDep, width: SideQuery, height: SideQuery, model: ModelName | None = None) -> Fit:
    """For any size that can be drawn, also one that `/sizes` does not list."""
    return await studio.fits.size(studio.models.resolve(model), width, height)


@router.get("/upscalers", summary="Upscalers that pictures can be enlarged with", responses=errors())
async def upscalers(studio: StudioDep) -> Upscalers:
    return Upscalers(names=list(upscaler_files(studio.settings)))


@router.get("/loras", summary="The adapters in the folder, and what they fit", responses=errors())
async def loras(studio: StudioDep) -> LoraList:
    models = [ready for name in studio.models.names() if (ready := studio.models.find_ready(name)) is not None]
    return LoraList(loras=await listed_adapters(models, studio.settings))
