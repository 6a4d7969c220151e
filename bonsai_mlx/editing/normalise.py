"""Picture files of any kind as the pixels that go in: upright, in sRGB, eight bits, without transparency.

What is lost on the way is noted in words, for whoever gave the file.

A decoder can be made to take any amount of memory and time. A server does this in a child process with limits
(`server.gallery.decoder`); here are those of size alone.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import PictureError
from ..fileio import NotARegularFileError, open_regular
from ..request import MAX_CANVAS_AREA
from .notes import LAID_ON_WHITE, UPPER_BITS, first_of

PictureSource: TypeAlias = Image.Image | Path | str | bytes

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")
_ADDRESSES = ("http:/", "https:/")  # as paths have them
_HEIF = "HEIF"  # with the package pillow-heif
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_GREY_SPREAD = 24  # levels between the channels of what still counts as grey
_COLOURED_PART = 0.02  # of the pixels
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
# What Pillow raises for a file that is not whole; a decoder of a format of its own may raise any of them.
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class Normalised:
    """A picture, transparent parts laid on white; as it was; and what else was lost of it, in words."""

    picture: Image.Image  # RGB
    whole: Image.Image | None = None  # RGBA; None where all of it is opaque
    losses: tuple[str, ...] = ()

    @property
    def alpha(self) -> Image.Image | None:
        """L, 255 is opaque; None where all of it is."""
        return self.whole.getchannel("A") if self.whole else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost where the picture alone is used."""
        return (*self.losses, *([LAID_ON_WHITE] if self.whole else []))


def normalised(source: PictureSource) -> Normalised:
    """The picture in a file, in a file's bytes, or of Pillow's; of an animation the first. PictureError."""
    if isinstance(source, Image.Image):
        return _prepared(source)
    if not isinstance(source, bytes | str | os.PathLike):
        raise PictureError(
            "unreadable", f"it is a {type(source).__name__}; give Pillow's Image, a path or a file's bytes"
        )
    with io.BytesIO(source) if isinstance(source, bytes) else _file(Path(source)) as file:
        return _prepared(_opened(file))


def _prepared(image: Image.Image) -> Normalised:
    losses = tuple(_losses(image))
    return _flat(_in_srgb(_eight_bits(_upright(_loaded(image)))), losses)


def _losses(image: Image.Image) -> Iterator[str]:
    """Of a file that is not decoded yet: its decoder's name for its pixels is gone afterwards."""
    decoders = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.mode in _DEEP or any("16" in decoder for decoder in decoders):
        yield UPPER_BITS
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # whose others are a camera's own
        yield first_of(frames)


def mask_of(source: PictureSource) -> Image.Image:
    """What a mask repaints, as an L picture, white for all of it. PictureError.

    A mask that is transparent anywhere says with that what is repainted; any other says it with white.
    """
    return _mask_in(normalised(source))


def given_mask(source: PictureSource) -> Image.Image:
    """As `mask_of`, for what somebody calls a mask: a picture in colours is most likely another file. PictureError."""
    found = normalised(source)
    if found.alpha is None and _is_coloured(found.picture):
        raise PictureError(
            "no_mask",
            "it is a picture in colours; a mask is black and white, and white is repainted, or it is transparent where "
            "it is to be repainted",
        )
    return _mask_in(found)


def _mask_in(found: Normalised) -> Image.Image:
    return ImageOps.invert(found.alpha) if found.alpha else found.picture.convert("L")


def _is_coloured(picture: Image.Image) -> bool:
    """Whether more than a few pixels are no grey; what JPEG leaves at the edges of a black and white one is less."""
    red, green, blue = picture.split()
    spread = ImageChops.subtract(
        ImageChops.lighter(ImageChops.lighter(red, green), blue), ImageChops.darker(ImageChops.darker(red, green), blue)
    )
    coloured = sum(spread.histogram()[_GREY_SPREAD + 1 :])
    return coloured > _COLOURED_PART * picture.width * picture.height


def _file(path: Path) -> BinaryIO:
    """A regular file: a pipe of that name would be waited for, for ever."""
    try:
        return open_regular(path, follow_symlinks=True)
    except FileNotFoundError:
        if str(path).startswith(_ADDRESSES):
            lack = "pictures are not fetched from addresses; save it first, and give its file"
            raise PictureError("unreadable", lack) from None
        raise PictureError("unreadable", "there is no such file") from None
    except NotARegularFileError as error:
        raise PictureError("unreadable", str(error.strerror)) from None
    except OSError as error:
        raise PictureError("unreadable", f"it cannot be opened ({error.strerror or error})") from error
    except ValueError:  # of a name that no file can have
        raise PictureError("unreadable", "there is no such file") from None


def _opened(file: BinaryIO) -> Image.Image:
    formats = (*FORMATS, _HEIF) if _registers_heif() else FORMATS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are judged below, and of what it makes of bad metadata
            return Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except UnidentifiedImageError:
        kinds = "PNG, JPEG, WebP, AVIF or HEIC" if _HEIF in formats else "PNG, JPEG, WebP or AVIF"
        raise PictureError("unreadable", f"it is no {kinds} picture") from None
    except _UNREADABLE as error:
        raise _damaged() from error


def _registers_heif() -> bool:
    """Whether Pillow can read what iPhones write; the package is the user's own to install."""
    try:
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]
    except ImportError:
        return False
    register_heif_opener()
    return True


def _loaded(image: Image.Image) -> Image.Image:
    width, height = image.size
    if width * height > MAX_CANVAS_AREA:
        raise _too_many_pixels()
    if not width or not height:
        raise PictureError("unreadable", "it has no pixels")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except MemoryError:
        raise PictureError("no_memory", "it needs more memory than there is for one") from None
    except _UNREADABLE as error:
        raise _damaged() from error
    return image


def _too_many_pixels() -> PictureError:
    return PictureError("too_many_pixels", f"it has more than {MAX_CANVAS_AREA // 1_000_000} million pixels")


def _damaged() -> PictureError:
    return PictureError("unreadable", "it is damaged, or its end is missing")


def _upright(image: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except _UNREADABLE:
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits of grey as eight; Pillow would cut off what is above 255. Other deep pictures it reads as eight."""
    if image.mode not in _DEEP:
        return image
    grey = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    clear = image.info.get("transparency")
    if isinstance(clear, int):  # the one value that is not seen
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8)))
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey


def _in_srgb(image: Image.Image) -> Image.Image:
    """In sRGB where the file says that it is not; a profile that cannot be used is left out."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(theirs).lower():
            return image
        colours = image.convert("RGB") if image.mode == "RGBA" else image
        converted = ImageCms.profileToProfile(colours, theirs, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *_UNREADABLE):
        return image
    if converted is None:
        return image
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    elif "transparency" in image.info:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


def _flat(image: Image.Image, losses: tuple[str, ...]) -> Normalised:
    if image.mode not in _TRANSPARENT and "transparency" not in image.info:
        return Normalised(image.convert("RGB"), losses=losses)
    image = image.convert("RGBA")
    opaque = image.getchannel("A").getextrema() == (255, 255)
    return Normalised(laid_on_white(image), None if opaque else image, losses)


def laid_on_white(image: Image.Image) -> Image.Image:
    """RGBA as RGB; a picture without transparency as it is."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")
