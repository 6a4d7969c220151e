"""The mask of a repainted picture, as a small PNG inside the picture's own: what is needed to repeat it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..fileio import open_regular
from ..request import MAX_CANVAS_AREA
from .containers import png_chunk, png_chunks
from .scan import MAX_FILE_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

CHUNK = b"maSk"  # private, may be left out, safe to copy: it does not depend on the pixels
_MAX_BYTES = 16 << 20


def mask_chunk(mask: Image) -> bytes:
    buffer = io.BytesIO()
    mask.convert("L").save(buffer, "PNG", optimize=True)
    return png_chunk(CHUNK, buffer.getvalue())


def read_mask(source: Path | bytes) -> Image | None:
    """The mask in a PNG file; None where there is none. ValueError for what is no whole PNG or mask; OSError."""
    if isinstance(source, bytes):
        return _mask_in(source)
    with open_regular(source, follow_symlinks=True) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    return _mask_in(data)


def _mask_in(png: bytes) -> Image | None:
    for chunk in png_chunks(png):
        if chunk.kind == CHUNK:
            return _decoded(bytes(chunk.data))
    return None


def _decoded(data: bytes) -> Image:
    from PIL import Image

    if len(data) > _MAX_BYTES:
        raise ValueError(f"the mask in the file is larger than {_MAX_BYTES >> 20} MiB")
    try:
        mask = Image.open(io.BytesIO(data), formats=["PNG"])
        if mask.width * mask.height > MAX_CANVAS_AREA:
            raise ValueError("it has too many pixels")
        return mask.convert("L")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("the mask in the file cannot be read") from error
