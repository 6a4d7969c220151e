"""Which sizes fit into this machine's memory, from the engine's own plan and what is free. Draws and loads nothing."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import psutil

from bonsai_mlx.editing.frame import held_bytes as bytes_held
from bonsai_mlx.editing.frame import redrawing, reference_size
from bonsai_mlx.errors import OutOfMemory
from bonsai_mlx.hub import api as hub
from bonsai_mlx.request import SIZE_MULTIPLE_PX, ResolvedEnlarge, ResolvedRequest
from bonsai_mlx.weights.layout import NOWHERE, Elsewhere
from bonsai_mlx.wording import format_bytes

from ..checkpoints.models import Models
from ..checkpoints.ready import ReadyModel
from ..engine.pool import EnginePool
from ..errors import ApiError
from ..schemas.models import Fit
from .durations import Durations

if TYPE_CHECKING:
    from bonsai_mlx.flux2.checkpoint import Checkpoint

Sizes = tuple[tuple[int, int], ...]  # pixels, width x height
ASPECTS = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
SIDES_PX = (512, 768, 1024, 1280)  # of the squares; another shape has about as many pixels
_SEVERAL_FROM_PX = 512 * 512  # a model made for fewer pixels was taught one size: it cuts or repeats any other
_COMFORTABLE = 0.75  # of what is free


class Limits(Protocol):
    """What may be changed while the server runs."""

    @property
    def memory_limit(self) -> int | None: ...

    @property
    def parts(self) -> Mapping[str, str]: ...


class Fits:
    """Predictions are made in a thread (opening a checkpoint reads its headers) and remembered."""

    def __init__(self, limits: Limits, models: Models, engines: EnginePool, durations: Durations) -> None:
        self._limits = limits
        self._models = models
        self._engines = engines
        self._durations = durations

    async def check(
        self,
        ready: ReadyModel,
        request: ResolvedRequest,
        references: Sequence[tuple[int, int]],
        held_bytes: int = 0,
        *,
        force: bool,
    ) -> None:
        """ApiError 422 for a picture that this machine cannot hold; with `force`, only a memory limit is in the way.

        `references` are the sizes at which pictures are looked at, unless a limit makes them smaller;
        `held_bytes` is what they and the picture that is changed take beside the model.
        """
        width, height = request.width, request.height
        if self._limits.memory_limit and request.reference_detail is None:
            references = [reference_size(size, 256) for size in references]
        changed = [(width, height)] if request.init else []
        looked_at = (*(changed if request.source_as_reference else ()), *references)
        await self._check(ready, (width, height), (*changed, *references), looked_at, None, held_bytes, force=force)

    async def _check(
        self,
        ready: ReadyModel,
        size: tuple[int, int],
        pictures: Sizes,
        looked_at: Sizes,
        whole: tuple[int, int] | None,
        held_bytes: int,
        *,
        force: bool,
    ) -> None:
        width, height = size
        try:
            peak = await asyncio.to_thread(self._peak_bytes, ready, width, height, pictures, looked_at, whole)
        except OutOfMemory as error:
            raise ApiError(
                422, "does_not_fit", f"{error}.", field="width", remedy="Choose a smaller size or a larger limit."
            ) from None
        total = psutil.virtual_memory().total
        needed = peak + held_bytes
        if needed > total and not force:
            message = f"{width}x{height} needs {format_bytes(needed)}; this machine has {format_bytes(total)}."
            remedy = 'Choose a smaller size, or send "force": true to try anyway.'
            raise ApiError(422, "does_not_fit", message, field="width", remedy=remedy)

    async def check_enlarging(
        self, ready: ReadyModel, request: ResolvedEnlarge, adapter_bytes: int = 0, *, force: bool
    ) -> None:
        """The same for a picture that is enlarged. RequestError for one that is too small to be redrawn."""
        if request.method != "refine":
            return
        tile, canvas = redrawing(request, ready.recommended_size)
        size = (tile.width or 0, tile.height or 0)
        await self._check(ready, size, (size,), (), canvas, bytes_held(canvas) + adapter_bytes, force=force)

    async def sizes(self, name: str) -> list[Fit]:
        """Every size that the page offers for a model, with a verdict. ApiError 409 for a missing model."""
        ready = self._models.require_ready(name)
        return await asyncio.to_thread(lambda: [self._fit(ready, *size) for size in sizes_of(ready)])

    async def size(self, name: str, width: int, height: int) -> Fit:
        ready = self._models.require_ready(name)
        return await asyncio.to_thread(self._fit, ready, width, height)

    def _fit(self, ready: ReadyModel, width: int, height: int) -> Fit:
        forecast = self._durations.forecast(ready.name, width, height, ready.recommended_steps, loaded=True)
        verdict: Literal["fits", "tight", "swaps"]
        try:
            peak = self._peak_bytes(ready, width, height)
        except OutOfMemory:
            peak, verdict = self._limits.memory_limit or 0, "swaps"
        else:
            free = psutil.virtual_memory().available + self._engines.memory.process_bytes
            verdict = "fits" if peak <= _COMFORTABLE * free else "tight" if peak <= free else "swaps"
        step_s = self._durations.seconds(ready.name, width, height, "denoise") if forecast.total_s else None
        seconds = forecast.total_s
        return Fit(
            width=width, height=height, peak_bytes=peak, verdict=verdict, seconds=seconds, seconds_per_step=step_s
        )

    def _peak_bytes(
        self,
        ready: ReadyModel,
        width: int,
        height: int,
        pictures: Sizes = (),
        references: Sizes = (),
        whole: tuple[int, int] | None = None,
    ) -> int:
        device = self._engines.device or ("metal" if sys.platform == "darwin" else "cpu")
        elsewhere = _elsewhere(**self._limits.parts) if ready.repo else NOWHERE
        limit = self._limits.memory_limit
        return _predict(ready.path, width, height, device, limit, pictures, references, whole, elsewhere)


def _elsewhere(
    text_encoder: str | None = None, decoder: str | None = None, preview_decoder: str | None = None
) -> Elsewhere:
    """Where parts are that take the place of a model's own."""
    return Elsewhere(
        text_encoder=hub.find_part(text_encoder, "text encoder") if text_encoder else None,
        decoder=hub.find_part(decoder, "decoder") if decoder else None,
        preview=hub.find_part(preview_decoder, "preview decoder") if preview_decoder else None,
    )


@lru_cache(maxsize=512)
def _predict(
    path: Path,
    width: int,
    height: int,
    device: str,
    limit_bytes: int | None,
    pictures: Sizes = (),
    references: Sizes = (),
    whole: tuple[int, int] | None = None,
    elsewhere: Elsewhere = NOWHERE,
) -> int:
    from bonsai_mlx.flux2 import plan  # here: it brings numpy, which an idle server does without

    item_bytes = 4 if device == "cpu" else 2  # activations: float32 on the CPU, bfloat16 elsewhere
    checkpoint = opened_checkpoint(path, elsewhere)
    return plan.choose(
        checkpoint,
        width,
        height,
        device=device,
        item_bytes=item_bytes,
        limit_bytes=limit_bytes,
        guided=not checkpoint.distilled,
        pictures=pictures,
        references=references,
        whole=whole,
        preview="tiny" if checkpoint.tiny_preview else None,
    ).peak_bytes


@lru_cache(maxsize=8)
def opened_checkpoint(path: Path, elsewhere: Elsewhere = NOWHERE) -> Checkpoint:
    from bonsai_mlx.flux2.checkpoint import Checkpoint

    return Checkpoint.open(path, elsewhere=elsewhere)


def sizes_of(ready: ReadyModel) -> Iterator[tuple[int, int]]:
    """Width and height of every offered size: each aspect at a few numbers of pixels, in multiples of 16."""
    if math.prod(ready.recommended_size) < _SEVERAL_FROM_PX:
        yield ready.recommended_size
        return
    listed = [_shaped(side, *aspect) for aspect in ASPECTS for side in SIDES_PX]
    if ready.recommended_size not in listed:
        yield ready.recommended_size
    yield from listed


def _shaped(side: int, across: int, down: int) -> tuple[int, int]:
    """Width and height of that aspect with about as many pixels as a square of `side`."""
    unit = side / math.sqrt(across * down)
    return _rounded(across * unit), _rounded(down * unit)


def _rounded(pixels: float) -> int:
    return round(pixels / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX
