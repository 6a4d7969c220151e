"""What is written into our image files, and what is read from anybody's.

Owns what our files carry. A PNG has three texts, in this order: the recipe as JSON (the truth), the A1111 infotext (for
other programs), and XMP with the mark that IPTC defines for pictures made by a trained model. JPEG and WebP have the
infotext as an EXIF comment, shortened where that is too short for it, and the recipe inside the XMP.
Knows nothing of galleries, HTTP or MLX, and never decodes pixels.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BonsaiError
from ..fileio import FILE_MODE, TEMPORARY_PREFIX, open_regular, write_atomic
from . import bitcode, xmp
from .containers import itxt_chunk, png_chunks, replace_png_texts, text_chunk, with_xmp_segments
from .exif import EXIF_COMMENT, MAX_COMMENT_UNITS, comment_block
from .infotext import format_infotext
from .mask import mask_chunk
from .parsers import find_settings
from .recipe import FoundMetadata, Recipe
from .scan import XMP, XMP_EXTENSION, Scanner, read_texts, scan

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "DEFAULT_QUALITY",
    "TEMPORARY_PREFIX",
    "Format",
    "FoundMetadata",
    "MetadataMode",
    "Recipe",
    "SaveError",
    "encode",
    "encode_coded",
    "encode_png",
    "encode_with_texts",
    "format_of",
    "found_in_texts",
    "read",
    "rewrite_png",
    "save_picture",
]

MetadataMode = Literal["full", "mark", "none"]  # everything; only "made by a model", without the prompt; nothing
Format = Literal["png", "jpeg", "webp"]
DEFAULT_QUALITY = 90  # of JPEG and WebP, 1 to 100
RECIPE = "bonsai"  # the keyword of our own text
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SaveError(BonsaiError):
    """A picture could not be written. What the file held before is untouched, and nothing half-written is left."""

    @property
    def is_for_want_of_space(self) -> bool:
        return isinstance(self.__cause__, OSError) and self.__cause__.errno in _NO_SPACE


# writing


def encode_png(
    image: Image, recipe: Recipe, mode: MetadataMode = "full", mask: Image | None = None, code: str | None = None
) -> bytes:
    """`mask` is what was repainted, `code` the picture's bits; they go along with the whole of the metadata."""
    further = [*([mask_chunk(mask)] if mask else []), *_coded(code)] if mode == "full" else []
    return _with_png_texts(image, [*_texts(recipe, mode), *further])


def encode_coded(image: Image, code: str) -> bytes:
    """A PNG of a picture of which no more is known than its code."""
    return _with_png_texts(image, _coded(code))


def encode(
    image: Image,
    recipe: Recipe,
    mode: MetadataMode = "full",
    to: Format = "png",
    quality: int = DEFAULT_QUALITY,
    mask: Image | None = None,
    code: str | None = None,
) -> bytes:
    """As `encode_png`; other formats hold no mask and no code: what they keep of a picture is not exactly it."""
    if to == "png":
        return encode_png(image, recipe, mode, mask, code)
    if mode == "none":
        return _encode(image, to, quality)
    if mode == "mark":
        return _encode(image, to, quality, packet=xmp.mark(recipe))
    comment, packet = format_infotext(recipe), xmp.whole(recipe)
    if to == "webp" or len(packet.encode()) <= xmp.MAX_PACKET_BYTES:
        return _encode(image, to, quality, comment, packet)
    packet, digest, extension = xmp.extended(recipe)
    return with_xmp_segments(_encode(image, to, quality, comment), packet, digest, extension)


def encode_with_texts(image: Image, texts: Mapping[str, str], to: Format, quality: int = DEFAULT_QUALITY) -> bytes:
    """The picture as bytes of that format, carrying what another file of it said (scan.read_texts).

    Of pictures that are not ours the settings and the XMP go along, as far as the format has room for them.
    """
    recipe = _recipe_in(texts)[1]
    if recipe is not None:
        return encode(image, recipe, "full", to, quality)
    comment, packet = texts.get("parameters") or texts.get(EXIF_COMMENT, ""), texts.get(XMP, "")
    if to == "png":
        said = [text_chunk("parameters", comment)] if comment else []
        return _with_png_texts(image, [*said, *([itxt_chunk(XMP, packet.encode())] if packet else [])])
    fits = to == "webp" or len(packet.encode()) <= xmp.MAX_PACKET_BYTES
    return _encode(image, to, quality, comment, packet if fits else "")


def _coded(code: str | None) -> list[bytes]:
    return [itxt_chunk(bitcode.KEYWORD, code.encode())] if code else []


def _with_png_texts(image: Image, texts: list[bytes]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return replace_png_texts(buffer.getvalue(), texts)


def _encode(image: Image, to: Format, quality: int, comment: str = "", packet: str = "") -> bytes:
    options: dict[str, Any] = {"quality": quality}
    if comment:
        options["exif"] = comment_block(_short(comment))
    if packet:
        options["xmp"] = packet.encode()
    buffer = io.BytesIO()
    (_on_white(image) if to == "jpeg" else image).save(buffer, to.upper(), **options)
    return buffer.getvalue()


def _on_white(image: Image) -> Image:
    """What JPEG, which knows no transparency, can hold of it."""
    if image.mode != "RGBA":
        return image
    white = image.convert("RGB")
    white.paste("white", (0, 0, *image.size))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _short(infotext: str) -> str:
    """What fits an EXIF block: what is too long loses the end of its prompt, never its settings."""
    if _units(infotext) <= MAX_COMMENT_UNITS:
        return infotext
    prompt, _, settings = infotext.rpartition("\n")
    ending = f"...\n{settings}"[:MAX_COMMENT_UNITS]
    room = max(0, MAX_COMMENT_UNITS - _units(ending))
    return prompt.encode("utf-16-le", "replace")[: 2 * room].decode("utf-16-le", "ignore") + ending


def _units(text: str) -> int:
    """Its length in UTF-16, whose units are two bytes."""
    return len(text.encode("utf-16-le", "replace")) // 2


def rewrite_png(png: bytes, mode: MetadataMode) -> bytes:
    """The same picture, its pixel data byte for byte, with no more metadata than `mode` allows.

    "full" changes nothing. ValueError for what is no PNG, and for "mark" where neither our recipe nor our mark is in
    the file: then nothing here knows how the picture was made.
    """
    for _ in png_chunks(png):  # a damaged file is refused whatever the mode
        pass
    if mode == "full":
        return png
    if mode == "none":
        return replace_png_texts(png, [])
    texts = read_texts(png)
    if xmp.OUR_TOOLKIT in texts.get(XMP, ""):
        return replace_png_texts(png, [itxt_chunk(XMP, texts[XMP].encode())])
    recipe = _recipe(texts.get(RECIPE, ""))
    if recipe is None:
        raise ValueError("the PNG image carries neither a recipe nor a mark of this program")
    return replace_png_texts(png, _texts(recipe, "mark"))


def _texts(recipe: Recipe, mode: MetadataMode) -> list[bytes]:
    mark = itxt_chunk(XMP, xmp.mark(recipe).encode())
    if mode == "full":
        return [itxt_chunk(RECIPE, recipe.to_json()), text_chunk("parameters", format_infotext(recipe)), mark]
    return [mark] if mode == "mark" else []


# reading


def read(source: Path | str | bytes) -> FoundMetadata | None:
    """What an image file (a path, or its bytes) says about how it was made; None where it says nothing.

    ValueError, with words for a person, for a file that is no whole PNG, JPEG or WebP; OSError for one that cannot be
    opened. Of a path no more is read than its texts.
    """
    if isinstance(source, bytes):
        return found_in_texts(scan(source).texts)
    scanner = Scanner()
    with open_regular(source, follow_symlinks=True) as file:
        scanner.read(file)
    return found_in_texts(scanner.finish().texts)


def found_in_texts(texts: Mapping[str, str]) -> FoundMetadata | None:
    """What the texts of one image (scan.Texts) say about how it was made: our recipe, else another program's."""
    text, recipe = _recipe_in(texts)
    found = bitcode.found_code(texts.get(bitcode.KEYWORD))
    code = found.as_text() if found else None
    if recipe is None:
        others = find_settings(texts)
        if others is None and found:
            return FoundMetadata("bonsai", width=found.width, height=found.height, text=code or "", code=code)
        return others
    return FoundMetadata(
        source="bonsai",
        prompt=recipe.prompt,
        seed=recipe.seed,
        steps=recipe.steps,
        width=recipe.width,
        height=recipe.height,
        model=recipe.model_title,
        text=text,
        recipe=recipe,
        code=code,
    )


def _recipe_in(texts: Mapping[str, str]) -> tuple[str, Recipe | None]:
    """Our recipe, as it is written and as a value, from a PNG's own text or from the XMP of other formats."""
    for text in (texts.get(RECIPE, ""), *(xmp.recipe_in(texts.get(keyword, "")) for keyword in (XMP, XMP_EXTENSION))):
        recipe = _recipe(text)
        if recipe is not None:
            return text, recipe
    return "", None


def _recipe(text: str) -> Recipe | None:
    """Ours if it is whole; a damaged one, or one of a later schema, leaves the infotext beside it to be read."""
    try:
        return Recipe.from_json(text)
    except ValueError:
        return None


# files


SUFFIXES: dict[str, Format] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def format_of(path: Path) -> Format:
    """The format that a file's name asks for; SaveError for one that is not written."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        name = path.with_suffix(".png").name if path.stem else "picture.png"
        raise SaveError(f"cannot save {path}: PNG, JPEG and WebP files are written; name it {name}, .jpg or .webp")
    return found


def save_picture(path: Path, data: bytes, *, mode: int = FILE_MODE, follow_symlinks: bool = False) -> None:
    """Write the file whole or not at all, whenever the process or the machine stops; SaveError says why it cannot.

    `follow_symlinks`: for a name that its user has chosen. Otherwise a link there is replaced.
    """
    try:
        write_atomic(path.resolve() if follow_symlinks and path.is_symlink() else path, data, mode=mode)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise SaveError(f"cannot save {path}: {_reason(error)}") from error


def _reason(error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return "its symbolic links lead in a circle"
    match error.errno:
        case number if number in _NO_SPACE:
            return "no space is left there; free some, or choose another folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "writing is not permitted there; choose another folder"
        case errno.ENOENT | errno.ENOTDIR:
            return "the folder does not exist"
        case errno.EISDIR | errno.EBUSY:
            return "it is a folder; add a file name"
        case _:
            return error.strerror or str(error)
