"""What the engine's process answers: pictures as files, and errors in words for people."""

from __future__ import annotations

import io
import json
import secrets
import sys
from typing import TYPE_CHECKING

from bonsai_mlx.errors import (
    BonsaiError,
    CheckpointError,
    DeviceError,
    MissingLibraryError,
    NoWriterError,
    OutOfMemory,
    RequestError,
)
from bonsai_mlx.images.metadata import encode_png
from bonsai_mlx.images.thumbnail import thumbnail_webp
from bonsai_mlx.printable import printable
from bonsai_mlx.result import GenerationResult

from .protocol import Failed, Picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from bonsai_mlx.images.recipe import Recipe


def quick_png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def finished_picture(job: str, recipe: Recipe, result: GenerationResult, loaded_s: float) -> Picture:
    timings = dict(result.timings)
    for name in ("load", "total"):
        timings[name] = timings.get(name, 0.0) + loaded_s
    peak = result.memory.get("peak_bytes")
    return Picture(
        job,
        encode_png(result.image, recipe, mask=result.mask, code=result.code),
        thumbnail_webp(result.image),
        result.image.width,
        result.image.height,
        json.loads(recipe.to_json()),
        timings,
        None if peak is None else int(peak),
    )


def failure(job: str, error: Exception) -> Failed:
    """The error in the server's words. Only messages written for people are passed on."""
    # what was under way when Metal failed may be half written: nothing that this process holds is used again
    lost = isinstance(error, DeviceError) or str(error.__cause__).startswith("[METAL]")
    code, remedy, message = "failed", None, str(error)
    if isinstance(error, OutOfMemory | MemoryError):
        code, remedy = "out_of_memory", "Try a smaller size."
        message = message or "There was not enough memory for this picture."
    elif isinstance(error, RequestError):
        code = "bad_field"
    elif isinstance(error, MissingLibraryError):
        code, message, remedy = "not_installed", f"{error.message}.", f"Get it with: {error.remedy}"
    elif isinstance(error, CheckpointError | NoWriterError):
        code = "model_missing"
    elif not isinstance(error, BonsaiError):
        error_id = secrets.token_hex(4)
        print(f"engine error {error_id}: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        message = f"The engine failed unexpectedly; the server's log has the details under {error_id}."
    return Failed(job, code, printable(message), remedy, lost)
