"""The adapters in the folder: listed, and found by the names of a request, never by a path.

What reads files is imported when it is needed: it brings numpy, which an idle server does without.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bonsai_mlx.bounds import Lora
from bonsai_mlx.errors import BonsaiError, RequestError
from bonsai_mlx.request import Draw, Enlarge, ResolvedDraw, ResolvedEnlarge

from ..checkpoints.ready import ReadyModel
from ..errors import ApiError
from ..schemas.models import LoraShown
from ..settings import Settings
from .fits import opened_checkpoint
from .pictures import refused

if TYPE_CHECKING:
    from bonsai_mlx.adapters.fitting import FittedAdapter

R = TypeVar("R", ResolvedDraw, ResolvedEnlarge)
ITEM_BYTES = 4  # of a value on a CPU, twice that on a GPU: what is said to fit does


def folder_of(settings: Settings) -> Path:
    from bonsai_mlx.adapters.folder import default_folder

    return settings.loras or default_folder()


async def checked(request: R, ready: ReadyModel, settings: Settings) -> tuple[R, int]:
    """The request with the digests of its adapters, and the bytes that they take. ApiError for one that is unfit."""
    if not request.loras:
        return request, 0
    try:
        adapters = await asyncio.to_thread(_fitted, request.loras, ready, folder_of(settings))
    except RequestError as error:
        raise refused(error) from None
    except BonsaiError as error:
        raise ApiError(422, "bad_field", f"{error}.", field="loras") from None
    named = tuple(
        Lora(adapter.file.name, lora.strength, adapter.digest)
        for adapter, lora in zip(adapters, request.loras, strict=True)
    )
    held = sum(adapter.values(name) for adapter in adapters for name in adapter.parts) * ITEM_BYTES
    return replace(request, loras=named), held


def _fitted(loras: Sequence[Lora], ready: ReadyModel, folder: Path) -> list[FittedAdapter]:
    from bonsai_mlx.adapters.fitting import fitted
    from bonsai_mlx.adapters.folder import found

    linears = opened_checkpoint(ready.path).transformer.linears()
    return [fitted(found(lora, folder, paths=False), linears) for lora in loras]


def paths_of(request: object, settings: Settings) -> dict[str, bytes]:
    """The files that the engine may read for a request, by name. One that is gone is left out, which it tells."""
    if not isinstance(request, Draw | Enlarge) or not request.loras:
        return {}
    from bonsai_mlx.adapters.folder import listed

    files = {one.name: one.path for one in listed(folder_of(settings))}
    return {lora.name: os.fsencode(files[lora.name]) for lora in request.loras if lora.name in files}


async def names_and_files(settings: Settings) -> list[tuple[str, str]]:
    from bonsai_mlx.adapters.folder import listed

    return [(one.name, one.path.name) for one in await asyncio.to_thread(listed, folder_of(settings))]


async def listed_adapters(models: Sequence[ReadyModel], settings: Settings) -> list[LoraShown]:
    """What is in the folder, each with the models that it fits, or why it fits none."""
    return await asyncio.to_thread(_listed, models, folder_of(settings))


def _listed(models: Sequence[ReadyModel], folder: Path) -> list[LoraShown]:
    from bonsai_mlx.adapters.folder import listed

    linears = {ready.name: opened_checkpoint(ready.path).transformer.linears() for ready in models}
    return [_shown(one.name, one.path, linears) for one in listed(folder)]


def _shown(name: str, path: Path, linears: dict[str, dict[str, tuple[int, int]]]) -> LoraShown:
    from bonsai_mlx.adapters.file import AdapterError, AdapterFile
    from bonsai_mlx.adapters.fitting import parts_of
    from bonsai_mlx.adapters.report import trigger_words

    fits, problem = [], None
    try:
        file = AdapterFile.open(path)
    except AdapterError as error:
        return LoraShown(name=name, bytes=0, models=[], problem=str(error), trigger_words=None)
    for model, sizes in linears.items():
        try:
            parts_of(file, sizes)
            fits.append(model)
        except AdapterError as error:
            problem = str(error)
    problem, words = None if fits else problem, trigger_words(file)
    return LoraShown(name=name, bytes=file.stamp[2], models=fits, problem=problem, trigger_words=words)
