"""Codes of pictures, and the pictures of codes, by a model whose latents are bits: between two pictures that are drawn.

Nothing is kept of either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import catalog
from bonsai_mlx.images.bitcode import BitCode

from ..checkpoints.models import Models
from ..engine.losses import WorkerLostError
from ..engine.pool import EnginePool
from ..engine.protocol import Cancelled, Checkpoint, Coded, Decode, Encode, Failed
from ..errors import ApiError, Code
from ..gallery.inputs import Input, Inputs
from ..settings import Settings

AUTOENCODER = "autoencoder"  # the name of the one that the package brings without a model that draws
MOST_WAITING = 8  # who ask at once; each holds a connection
_STATUS: dict[str, tuple[int, Code]] = {
    "bad_field": (422, "bad_field"),
    "model_missing": (409, "model_missing"),
    "out_of_memory": (507, "out_of_memory"),
}


class Coding:
    """Use from the event loop. `turn` is held by whoever uses the engine."""

    def __init__(
        self, settings: Settings, models: Models, engines: EnginePool, inputs: Inputs, turn: asyncio.Lock
    ) -> None:
        self._settings = settings
        self._models = models
        self._engines = engines
        self._inputs = inputs
        self._turn = turn
        self._waiting = 0

    async def encode(self, picture: Input, size: tuple[int, int] | None, model: str | None) -> tuple[Coded, str]:
        """The code of a picture at a size, its own by default, and the model that it is of. ApiError."""
        job, path, checkpoint = self._asked(model)
        file = os.fsencode(self._inputs.path(picture.id))
        return await self._done(Encode(job, path, checkpoint, (picture.id, file), size)), checkpoint.model

    async def decode(self, code: BitCode, model: str | None) -> bytes:
        """The picture of a code as a PNG that has it inside. ApiError."""
        job, path, checkpoint = self._asked(model)
        coded = await self._done(Decode(job, path, checkpoint, code.as_text()))
        return coded.png or b""

    def _asked(self, model: str | None) -> tuple[str, bytes, Checkpoint]:
        """A new job, and the folder and the name of the model that is meant."""
        try:
            place = self._models.resolve(model) if model else catalog.coding_place()
        except CheckpointError:
            message = "No model that draws in bits is here, and only such a one knows codes."
            raise ApiError(409, "model_missing", message, remedy="Put the folder of one into --models-dir.") from None
        if isinstance(place, Path):
            return secrets.token_hex(16), os.fsencode(place), Checkpoint(AUTOENCODER)
        ready = self._models.require_ready(place)
        return secrets.token_hex(16), os.fsencode(ready.path), Checkpoint(ready.name)

    async def _done(self, command: Encode | Decode) -> Coded:
        if self._waiting >= MOST_WAITING:
            raise ApiError(429, "queue_full", "Others are waiting for codes already.", retry_after_s=5)
        self._waiting += 1
        try:
            async with self._turn:
                return await self._coded(command)
        finally:
            self._waiting -= 1

    async def _coded(self, command: Encode | Decode) -> Coded:
        worker = self._engines.place(command.job, command.checkpoint.model)
        patience, found = self._settings.progress_unknown_s, None
        try:
            async with contextlib.aclosing(worker.run(command, lambda _last: patience)) as events:
                async for event in events:
                    match event:
                        case Coded():
                            found = event
                        case Failed():
                            status, code = _STATUS.get(event.code, (500, "failed"))
                            text, field = _worded(event.message)
                            raise ApiError(status, code, text, field=field, remedy=event.remedy)
                        case Cancelled():
                            raise ApiError(409, "cancelled", "It was cancelled.")
        except WorkerLostError as loss:
            status, code = _STATUS.get(loss.code, (500, "failed"))
            raise ApiError(status, code, str(loss), remedy=loss.remedy) from None
        if found is None:
            raise ApiError(500, "failed", "The drawing process ended without a word about the code.")
        return found


def _worded(message: str) -> tuple[str, str | None]:
    """A refusal of the engine's as a sentence, and the field that it is about."""
    field, colon, rest = message.partition(": ")
    if not colon or field not in ("code", "size", "pictures"):
        return message, None
    return f"{rest[:1].upper()}{rest[1:]}.", {"code": "code", "size": "width"}.get(field, "picture")
