"""Our PNG files as JPEG or WebP, with the same metadata, and previews as large as the picture. Blocks: use a thread."""

from __future__ import annotations

import asyncio
import io
from typing import Any, Literal

Format = Literal["png", "jpeg", "webp"]
FORMATS: tuple[Format, ...] = ("png", "jpeg", "webp")
DEFAULT_QUALITY = 90
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_XMP = "XML:com.adobe.xmp"


async def converted(png: bytes, to: Format, quality: int = DEFAULT_QUALITY) -> bytes:
    """The picture in another format; PNG stays as it is, byte for byte."""
    return png if to == "png" else await asyncio.to_thread(_convert, png, to, quality)


async def enlarged(preview_png: bytes, width: int, height: int, to: Format, quality: int = DEFAULT_QUALITY) -> bytes:
    """A preview drawn as large as the picture is going to be."""
    return await asyncio.to_thread(_enlarge, preview_png, width, height, to, quality)


def _convert(png: bytes, to: Format, quality: int) -> bytes:
    from PIL import Image  # here: it is 10 MB that an idle server does without

    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        picture.load()
        return _encode(picture.convert("RGB"), to, quality, _metadata(picture.info))


def _enlarge(preview_png: bytes, width: int, height: int, to: Format, quality: int) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(preview_png), formats=("PNG",)) as small:
        large = small.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return _encode(large, to, quality, {})


def _metadata(info: dict[Any, Any]) -> dict[str, bytes]:
    """The infotext where A1111 puts it in such files, and the mark that a model made the picture."""
    from PIL import Image

    kept: dict[str, bytes] = {}
    infotext = info.get("parameters")
    if isinstance(infotext, str):
        exif = Image.Exif()
        # "replace": half a surrogate pair has no UTF-16 form
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + infotext.encode("utf-16-be", "replace")
        kept["exif"] = exif.tobytes()
    if isinstance(info.get(_XMP), str):
        kept["xmp"] = info[_XMP].encode()
    return kept


def _encode(picture: Any, to: Format, quality: int, metadata: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    options = {} if to == "png" else {"quality": quality, **metadata}
    picture.save(buffer, to.upper(), **options)
    return buffer.getvalue()
