"""What is rare in a file, but was written by somebody."""

from __future__ import annotations

import errno
import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from bonsai_mlx.images.containers import png_chunks, text_chunk
from bonsai_mlx.images.metadata import SaveError
from bonsai_mlx.images.scan import (
    EXTENSION_HEAD,
    JPEG_XMP_EXTENSION,
    MAX_FILE_BYTES,
    MAX_PIECES,
    PNG_SIGNATURE,
    XMP_EXTENSION,
    Scanner,
    read_texts,
)
from tests.images.pictures import chunk


@pytest.mark.slow
def test_a_png_with_more_pieces_than_anybody_writes() -> None:
    many = PNG_SIGNATURE + chunk(b"IHDR", b"") + chunk(b"tEXt", b"a\0b") * MAX_PIECES
    with pytest.raises(ValueError, match=f"more than {MAX_PIECES} chunks"):
        list(png_chunks(many))


def test_a_png_whose_header_comes_late() -> None:
    with pytest.raises(ValueError, match="its header is not at its start"):
        list(png_chunks(PNG_SIGNATURE + chunk(b"tEXt", b"a\0b") + chunk(b"IHDR", b"")))


def test_what_is_neither_ascii_nor_latin_goes_into_the_wide_text() -> None:
    assert text_chunk("parameters", "\u72d0\u72f8")[4:8] == b"iTXt"
    assert text_chunk("parameters", "na\u00efve")[4:8] == b"tEXt"
    assert text_chunk("parameters", "\u00c3\u00a4")[4:8] == b"iTXt"  # would be taken for the UTF-8 of one letter


def test_a_file_larger_than_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with path.open("rb") as file, pytest.raises(ValueError, match="larger than 64 MiB"):
        Scanner().read(file)


def segment(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def test_parts_of_an_extension_that_do_not_belong_together() -> None:
    """Too short, of another packet, and one that never becomes whole: nothing of them is kept, and the rest is read."""
    whole = EXTENSION_HEAD.pack(b"a" * 32, 8, 0) + b"1234"
    other = EXTENSION_HEAD.pack(b"b" * 32, 4, 0) + b"5678"
    parts = b"".join(segment(JPEG_XMP_EXTENSION + data) for data in (b"short", whole, other))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    assert XMP_EXTENSION not in read_texts(jpeg[:2] + parts + jpeg[2:])


def test_a_save_error_for_want_of_space_says_so() -> None:
    error = SaveError("cannot save")
    assert not error.is_for_want_of_space
    error.__cause__ = OSError(errno.ENOSPC, "full")
    assert error.is_for_want_of_space
