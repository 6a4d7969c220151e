"""A small copy of a picture, for lists of pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_PX = 384  # the long side
_SCALED_AS_THEY_ARE = ("RGB", "RGBA", "L")


def thumbnail_webp(picture: Image, long_side_px: int = THUMBNAIL_PX) -> bytes:
    """A PIL image, which stays as it is, at most `long_side_px` on its long side, as WebP."""
    from PIL import Image, ImageOps

    picture.draft("RGB", (long_side_px, long_side_px))  # of a JPEG, no more is decoded than is needed
    whole = picture if picture.mode in _SCALED_AS_THEY_ARE else _plain(picture)
    scale = min(1.0, long_side_px / max(whole.size))
    width, height = (max(1, round(side * scale)) for side in whole.size)
    small = whole.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    _plain(ImageOps.exif_transpose(small)).save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()


def _plain(picture: Image) -> Image:
    """In RGB, or RGBA where something is transparent."""
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
