"""What is written into our image files, and what is read from anybody's.

Owns the three texts of our PNG files, in this order: the recipe as JSON (the truth), the A1111 infotext (for other
programs), and XMP with the mark that IPTC defines for pictures made by a trained model.
Knows nothing of galleries, HTTP or MLX, and never decodes pixels.
"""

from __future__ import annotations

import errno
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import BonsaiError
from ..fileio import FILE_MODE, TEMPORARY_PREFIX, write_atomic
from .containers import MAX_FILE_BYTES, XMP, itxt_chunk, png_chunks, read_texts, replace_png_texts, text_chunk
from .foreign import find_foreign
from .infotext import format_infotext
from .recipe import APP, FoundMetadata, Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "TEMPORARY_PREFIX",
    "FoundMetadata",
    "MetadataMode",
    "Recipe",
    "SaveError",
    "encode_png",
    "read",
    "rewrite_png",
    "save_png",
]

MetadataMode = Literal["full", "mark", "none"]  # everything; only "made by a model", without the prompt; nothing
RECIPE = "bonsai"  # the keyword of our own text
_OUR_XMP = f'x:xmptk="{APP}"'


class SaveError(BonsaiError):
    """A picture could not be written. What the file held before is untouched, and nothing half-written is left."""


def encode_png(image: Image, recipe: Recipe, mode: MetadataMode = "full") -> bytes:
    """The picture as PNG bytes, carrying what `mode` says."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return replace_png_texts(buffer.getvalue(), _texts(recipe, mode))


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
    if _OUR_XMP in texts.get(XMP, ""):
        return replace_png_texts(png, [itxt_chunk(XMP, texts[XMP].encode())])
    recipe = _recipe(texts.get(RECIPE, ""))
    if recipe is None:
        raise ValueError("the PNG image carries neither a recipe nor a mark of this program")
    return replace_png_texts(png, _texts(recipe, "mark"))


def read(source: Path | str | bytes) -> FoundMetadata | None:
    """What an image file (a path, or its bytes) says about how it was made; None where it says nothing.

    ValueError, with words for a person, for a file that is no whole PNG, JPEG or WebP.
    """
    texts = read_texts(source if isinstance(source, bytes) else _read_file(Path(source)))
    text = texts.get(RECIPE, "")
    recipe = _recipe(text)
    if recipe is None:
        return find_foreign(texts)
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
    )


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _recipe(text: str) -> Recipe | None:
    """Ours if it is whole; a damaged one, or one of a later schema, leaves the infotext beside it to be read."""
    try:
        return Recipe.from_json(text)
    except ValueError:
        return None


def _texts(recipe: Recipe, mode: MetadataMode) -> list[bytes]:
    mark = itxt_chunk(XMP, _xmp(recipe).encode())
    if mode == "full":
        return [itxt_chunk(RECIPE, recipe.to_json()), text_chunk("parameters", format_infotext(recipe)), mark]
    return [mark] if mode == "mark" else []


def _xmp(recipe: Recipe) -> str:
    """The mark that programs look for when they ask whether a picture was made by a model. Never holds the prompt."""
    tool, model = (html.escape(_printable(text)) for text in (f"{recipe.app} {recipe.app_version}", recipe.model_title))
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" {_OUR_XMP}>
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{_TRAINED_MODEL}</Iptc4xmpExt:DigitalSourceType>
   <Iptc4xmpExt:AISystemUsed>{model}</Iptc4xmpExt:AISystemUsed>
   <xmp:CreatorTool>{tool}</xmp:CreatorTool>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


_TRAINED_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def _printable(text: str) -> str:
    """Without the control characters and broken surrogates that XML cannot hold."""
    return "".join(character for character in text if character.isprintable())


def save_png(path: Path, png: bytes, *, mode: int = FILE_MODE) -> None:
    """Write the file whole or not at all, whenever the process or the machine stops; SaveError says why it cannot."""
    try:
        write_atomic(path, png, mode=mode)
    except OSError as error:
        raise SaveError(f"cannot save {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "no space is left there; free some, or choose another folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "writing is not permitted there; choose another folder"
        case errno.ENOENT | errno.ENOTDIR:
            return "the folder does not exist"
        case errno.EISDIR | errno.EBUSY:
            return "it is a folder; add a file name"
        case _:
            return error.strerror or str(error)
