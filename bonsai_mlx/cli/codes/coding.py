"""`bonsai-mlx encode` and `decode`: a picture as a short code of bits, and the picture that a code stands for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from ...errors import BonsaiError, PictureError, RequestError
from ...fileio import read_bounded
from ...hub.catalog import coding_place
from ...images.bitcode import MAX_BYTES, MAX_CHARS, QR_CHARS, BitCode
from ...images.metadata import Format, encode_coded, encode_with_texts, read, save_picture
from ...printable import printable
from ...wording import user_path
from ..output import Output

_NO_CODE = {".", "/"}  # of file names, and of no code
_MOST_BYTES = 2 * MAX_CHARS  # of a text, with its line breaks


def encode_command(
    picture: Path,
    model: str | None,
    size: tuple[int, int] | None,
    output: Path | Literal["-"] | None,
    *,
    drawn: bool,
    quiet: bool,
) -> int:
    """Print the picture's code, or write it: as bytes into a file that ends in .bb1, else as text. BonsaiError.

    With `drawn` it is the code that the file itself has of a picture that was drawn as bits.
    """
    code, notes = (_own(picture), ()) if drawn else _encoded(picture, model, size)
    text = code.as_text()
    if output in (None, "-"):
        sys.stdout.write(f"{text}\n")
    else:
        assert isinstance(output, Path)  # noqa: S101  the two others are above
        save_picture(output, code.as_bytes() if output.suffix.lower() == ".bb1" else f"{text}\n".encode())
    if not quiet:
        sys.stderr.writelines(f"{printable(picture)}: {note}\n" for note in notes)
        fits = "; it fits into one QR code" if len(text) <= QR_CHARS else ""
        sys.stderr.write(f"{code.width}x{code.height} in {len(code.as_bytes()):,} bytes{fits}\n")
    return 0


def decode_command(
    code: str, model: str | None, output: Path | Literal["-"] | None, kind: Format | None, quality: int, *, quiet: bool
) -> int:
    """Save the picture that a code stands for: a text, a file that holds one, a PNG with one, or - . BonsaiError."""
    place = Output.choose(output, kind, 1)
    place.check()
    given = read_code(code)
    from ...bits.codec import Codec  # the first thing that needs MLX

    codec = Codec.from_pretrained(model or coding_place())
    image = codec.decode(given)
    whole = place.format == "png"
    data = encode_coded(image, given.as_text()) if whole else encode_with_texts(image, {}, place.format, quality)
    path = place.save(data, 0)
    if path:
        sys.stdout.write(f"{path}\n" if quiet else f"Saved {printable(path)}\n")
    return 0


def read_code(given: str) -> BitCode:
    """RequestError for what is no code, OSError for a file that cannot be read."""
    if given == "-":
        return _of_data(sys.stdin.buffer.read(_MOST_BYTES + 1))
    path = _file(given)
    if path is None:
        if _NO_CODE.intersection(given):
            raise BonsaiError(f"{given[:200]}: there is no such file, and it is no code either")
        return BitCode.of_text(given)
    if path.suffix.lower() == ".png":
        return _own(path)
    return _of_data(read_bounded(path, _MOST_BYTES, follow_symlinks=True))


def _file(given: str) -> Path | None:
    """The file of that name; None for what is a code itself, which may be too long for a name."""
    try:
        path = user_path(given)
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _of_data(data: bytes) -> BitCode:
    if data.startswith(b"BB1") and len(data) <= MAX_BYTES:
        return BitCode.of_bytes(data)
    try:
        return BitCode.of_text(data.decode("ascii"))
    except UnicodeDecodeError:
        raise RequestError("code", "is no code of a picture: it is no text; give what `encode` printed") from None


def _own(path: Path) -> BitCode:
    try:
        found = read(path)
    except ValueError as error:
        raise BonsaiError(f"{path}: {error}") from None
    if found is None or found.code is None:
        raise BonsaiError(f"{path} has no code in it; encode makes one, with another model's eyes")
    return BitCode.of_text(found.code)


def _encoded(picture: Path, model: str | None, size: tuple[int, int] | None) -> tuple[BitCode, tuple[str, ...]]:
    from ...bits.codec import Codec

    codec = Codec.from_pretrained(model or coding_place())
    try:
        return codec.encode(picture, size), codec.notes
    except PictureError as error:
        raise BonsaiError(f"{picture}: {error}") from None
