"""What is done with the pixels of pictures, each kind of work as a value: made small, converted, looked at.

The values are plain data that travel to the decoder's child (decoder.py), which performs them; only there is Pillow
imported.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from bonsai_mlx.errors import PictureError
from bonsai_mlx.images.metadata import (
    DEFAULT_QUALITY,
    Format,
    MetadataMode,
    encode,
    encode_with_texts,
    found_in_texts,
)
from bonsai_mlx.images.scan import read_texts
from bonsai_mlx.images.thumbnail import THUMBNAIL_PX, thumbnail_webp
from bonsai_mlx.request import MAX_CANVAS_AREA

if TYPE_CHECKING:
    from PIL.Image import Image

    from bonsai_mlx.editing.normalise import Normalised

Fit = Literal["cover", "stretch", "contain"]  # cut what is too much, or distort, or fill what is left from the edges
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_PIXELS = 40 << 20  # of a picture that is decoded, whoever made it: 160 MiB, and as much again for its conversion

_PILLOW_FORMATS = tuple(name.upper() for name in FORMATS)
_RED_GREEN_BLUE = ("RGB", "RGBA", "P")
_ORIENTATION, _ON_THEIR_SIDE = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A WebP of at most so many pixels on its long side, upright, transparent where the picture is."""

    long_side_px: int = THUMBNAIL_PX


@dataclass(frozen=True, slots=True)
class Convert:
    """The picture in another format, opaque, with as much of its metadata as is wanted and the format can hold."""

    format: Format
    quality: int = DEFAULT_QUALITY
    metadata: MetadataMode = "full"


@dataclass(frozen=True, slots=True)
class Enlarge:
    """A preview drawn as large as the picture is going to be."""

    width: int  # pixels
    height: int
    format: Format
    quality: int = DEFAULT_QUALITY


@dataclass(frozen=True, slots=True)
class Normalise:
    """An opaque RGB PNG, upright, without metadata, made smaller where a side is longer than `max_side_px`."""

    max_side_px: int = 8_192


@dataclass(frozen=True, slots=True)
class TakeIn:
    """The picture as it goes into another: a line of JSON, then PNG files, of the sizes that the line says.

    As a mask it is one L picture; otherwise RGB and, if it is transparent anywhere, a mask that repaints those places,
    and, if the `whole` is wanted, the picture with its transparency.
    """

    mask: bool = False
    invert: bool = False  # of a mask
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Resize:
    """The picture as PNG at another size: so many times as large, or filling a width and a height."""

    factor: float | None = None
    width: int = 0  # pixels
    height: int = 0
    fit: Fit = "cover"
    mask: bool = False  # it says what is repainted, by what is transparent or white
    transparent: bool = False  # and stays so
    keep_texts: bool = False  # what the file says of how it was made


@dataclass(frozen=True, slots=True)
class Sheet:
    """PNG files, one behind the other, of so many bytes each, as one labelled contact sheet in PNG."""

    columns: Sequence[str]
    rows: Sequence[str]
    places: Sequence[tuple[int, int]]  # column and row of each file
    sizes: Sequence[int]  # bytes
    missing: Sequence[tuple[int, int]] = ()  # places without a picture


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that the picture came about by, as its recipe has them, its own last: a list in JSON."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """What the file is and says, as the JSON object of an `inspection.Inspection`; no pixel is decoded."""


Operation = Thumbnail | Convert | Enlarge | Normalise | TakeIn | Resize | Sheet | Steps | Inspect
OPERATIONS: dict[str, type[Operation]] = {
    kind.__name__: kind for kind in (Thumbnail, Convert, Enlarge, Normalise, TakeIn, Resize, Sheet, Steps, Inspect)
}


class TooManyPixelsError(ValueError):
    """The picture is larger than what is decoded."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"the picture has {width}x{height} pixels; more than {MAX_PIXELS:,} are not decoded")


def perform(file: IO[bytes], operation: Operation) -> bytes:
    """The result's bytes. ValueError, OSError or SyntaxError for a file that is no whole picture of a known format."""
    match operation:
        case Inspect():
            return _inspect(file)
        case Thumbnail(side):
            return thumbnail_webp(_open(file), side)
        case Convert(to, quality, mode):
            return _convert(file, to, quality, mode)
        case Enlarge(width, height, to, quality):
            return _enlarge(_open(file), width, height, to, quality)
        case Normalise(side):
            return _normalise(_open(file), side)
        case Resize():
            return _resized(file.read(), operation)
        case Sheet():
            return _sheet(file, operation)
        case Steps():
            return _steps(file.read())
        case TakeIn():
            return _take_in(file.read(), operation)


def _open(file: IO[bytes], max_pixels: float = MAX_PIXELS) -> Image:
    """The picture, its pixels not decoded yet. Of several frames only the first is ever looked at."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = (
        None  # the bound is below, with words of ours; Pillow's would only warn up to twice as many
    )
    picture = Image.open(file, formats=_PILLOW_FORMATS)
    if picture.width * picture.height > max_pixels:
        raise TooManyPixelsError(*picture.size)
    return picture


def _upright(picture: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def _opaque(upright: Image) -> Image:
    """In RGB, on white where it is transparent, with nothing beside its pixels that an encoder would keep.

    But for the profile of its colours, unless that is of colours other than red, green and blue.
    """
    from PIL import Image

    if upright.has_transparency_data:
        opaque = Image.new("RGB", upright.size, "white")
        opaque.paste(upright, mask=upright.convert("RGBA").getchannel("A"))
    else:
        opaque = upright.convert("RGB")
    profile = upright.info.get("icc_profile") if upright.mode in _RED_GREEN_BLUE else None
    opaque.info = {"icc_profile": profile} if profile else {}
    return opaque


def _inspect(file: IO[bytes]) -> bytes:
    from PIL import Image

    from .inspection import inspect

    picture = _open(file, math.inf)
    file.seek(0)
    kind, (width, height) = str(picture.format).lower(), picture.size
    exif = Image.Exif()  # not the picture's own method, which decodes a PNG
    exif.load(picture.info.get("exif", b""))
    if exif.get(_ORIENTATION, 1) in _ON_THEIR_SIDE:
        width, height = height, width
    return json.dumps(inspect(file.read(), kind, width, height)).encode()


def _convert(file: IO[bytes], to: Format, quality: int, mode: MetadataMode) -> bytes:
    picture = _opaque(_upright(_open(file)))
    file.seek(0)
    texts = read_texts(file.read()) if mode != "none" else {}
    if mode == "full":
        return encode_with_texts(picture, texts, to, quality)
    found = found_in_texts(texts)
    if found is None or found.recipe is None:
        return encode_with_texts(picture, {}, to, quality)
    return encode(picture, found.recipe, mode, to, quality)


def _enlarge(small: Image, width: int, height: int, to: Format, quality: int) -> bytes:
    from PIL import Image

    return encode_with_texts(small.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), {}, to, quality)


def _normalise(picture: Image, max_side_px: int) -> bytes:
    plain = _opaque(_upright(picture))
    plain.thumbnail((max_side_px, max_side_px))  # changes nothing that is small enough
    return encode_with_texts(plain, {}, "png")


def _resized(data: bytes, wanted: Resize) -> bytes:
    picture = _at_size(data, wanted)
    return encode_with_texts(picture, read_texts(data), "png") if wanted.keep_texts else _quick_png(picture)


def _at_size(data: bytes, wanted: Resize) -> Image:
    from PIL import Image, ImageOps

    from bonsai_mlx.editing.canvas import extended
    from bonsai_mlx.editing.normalise import given_mask, normalised

    picture = given_mask(data) if wanted.mask else _taken(normalised(data), wanted)
    if wanted.factor is not None:
        size = (max(1, round(picture.width * wanted.factor)), max(1, round(picture.height * wanted.factor)))
    else:
        size = (wanted.width, wanted.height)
    if size[0] * size[1] > MAX_CANVAS_AREA:
        raise PictureError("too_many_pixels", f"it would have {size[0]}x{size[1]} pixels; 40 million are possible")
    if wanted.factor is not None or wanted.fit == "stretch":
        return picture.resize(size, Image.Resampling.LANCZOS)
    if wanted.fit == "cover":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    small = ImageOps.contain(picture, size, Image.Resampling.LANCZOS)
    return extended(small, size, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))


def _taken(found: Normalised, wanted: Resize) -> Image:
    return (wanted.transparent and found.whole) or found.picture


def _sheet(file: IO[bytes], wanted: Sheet) -> bytes:
    from bonsai_mlx.pipelines.sheet import contact_sheet

    pictures = [_opaque(_upright(_open(io.BytesIO(file.read(size))))) for size in wanted.sizes]
    placed = [(column, row, picture) for (column, row), picture in zip(wanted.places, pictures, strict=True)]
    placed_and_missing = [*placed, *((column, row, None) for column, row in wanted.missing)]
    return _quick_png(contact_sheet(placed_and_missing, wanted.columns, wanted.rows))


def _steps(data: bytes) -> bytes:
    from bonsai_mlx.pipelines.lineage import steps_to

    return json.dumps(steps_to(data)).encode()


def _take_in(data: bytes, wanted: TakeIn) -> bytes:
    from PIL import ImageOps

    from bonsai_mlx.editing.normalise import given_mask, normalised

    if wanted.mask:
        mask = ImageOps.invert(given_mask(data)) if wanted.invert else given_mask(data)
        return _files([mask], ())
    found = normalised(data)
    pictures = [found.picture]
    if found.alpha is not None:
        pictures.append(ImageOps.invert(found.alpha))
    if wanted.whole and found.whole is not None:
        pictures.append(found.whole)
    return _files(pictures, found.notes)


def _files(pictures: Sequence[Image], notes: Sequence[str]) -> bytes:
    """`notes` are of the first of them."""
    files = [_quick_png(picture) for picture in pictures]
    told = [_told(picture, file) for picture, file in zip(pictures, files, strict=True)]
    told[0]["notes"] = notes
    if pictures[-1].mode == "RGBA":
        told[0]["whole"] = told[-1]["whole"] = told[-1]["id"]
    return b"".join([json.dumps(told).encode(), b"\n", *files])


def _told(picture: Image, file: bytes) -> dict[str, Any]:
    from bonsai_mlx.editing.pictures import digest_of

    box = picture.getbbox() if picture.mode == "L" else None
    width, height = picture.size
    return {
        "id": digest_of(picture),
        "width": width,
        "height": height,
        "mask": picture.mode == "L",
        "box": box,
        "bytes": len(file),
    }


def _quick_png(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.info.clear()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
