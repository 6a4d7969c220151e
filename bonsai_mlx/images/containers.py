"""PNG, JPEG and WebP files as containers: texts are put into them and replaced, their pixels never touched.

Reading is `scan`'s: here a PNG is taken apart and put together again, so every byte of it has to be right.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from .scan import EXTENSION_HEAD, JPEG_XMP, JPEG_XMP_EXTENSION, MAX_PIECES, PNG_SIGNATURE

# What decides how the pixels look. Everything else in a PNG is said about the picture and goes when it is stripped.
_PIXEL_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD pHYs".split())
_EXTENSION_PART_BYTES = 65_000  # of the 65 533 of a JPEG's segment


class Chunk(NamedTuple):
    """One piece of a PNG: its four-letter kind, its data, and both with length and checksum as they are in the file."""

    kind: bytes
    data: memoryview
    raw: memoryview


# PNG


def png_chunks(png: bytes) -> Iterator[Chunk]:
    """The chunks from IHDR to IEND, checksums verified; ValueError for anything that is not a whole PNG."""
    if not png.startswith(PNG_SIGNATURE):
        raise ValueError("the file is not a PNG image")
    view, position, kind = memoryview(png), len(PNG_SIGNATURE), b""
    for _ in range(MAX_PIECES):
        try:
            length, kind = struct.unpack_from(">I4s", png, position)
            (checksum,) = struct.unpack_from(">I", png, position + 8 + length)
        except struct.error as error:
            raise ValueError("the PNG image is cut off") from error
        end = position + 12 + length
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ValueError(f"the PNG image is damaged: wrong checksum at byte {position}")
        if (position == len(PNG_SIGNATURE)) != (kind == b"IHDR"):
            raise ValueError("the PNG image is damaged: its header is not at its start")
        yield Chunk(kind, view[position + 8 : end - 4], view[position:end])
        if kind == b"IEND":
            return
        position = end
    raise ValueError(f"the PNG image has more than {MAX_PIECES} chunks")


def replace_png_texts(png: bytes, texts: list[bytes]) -> bytes:
    """The same pixels, byte for byte, with `texts` (whole chunks) in place of everything that was said about them."""
    pieces: list[bytes | memoryview] = [PNG_SIGNATURE]
    for chunk in png_chunks(png):
        if chunk.kind in _PIXEL_CHUNKS:
            pieces.append(chunk.raw)
        if chunk.kind == b"IHDR":
            pieces += texts
    return b"".join(pieces)


def itxt_chunk(keyword: str, text: bytes) -> bytes:
    """An uncompressed iTXt chunk; `text` is UTF-8."""
    return png_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text)


def text_chunk(keyword: str, text: str) -> bytes:
    """tEXt where Latin-1 can hold the text, which older readers expect, else iTXt. NUL would end it and is dropped.

    A text in Latin-1 that would be taken for UTF-8 goes to iTXt as well.
    """
    text = text.replace("\0", "")
    if text.isascii() or _is_latin1_alone(text):
        return png_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))
    return itxt_chunk(keyword, text.encode("utf-8", "replace"))


def _is_latin1_alone(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return True
    except UnicodeEncodeError:
        return False
    return False


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# JPEG


def with_xmp_segments(jpeg: bytes, packet: str, digest: str = "", extension: bytes = b"") -> bytes:
    """The JPEG with an XMP packet after its first segment, and an extension of the packet in as many as that takes."""
    segments = [_jpeg_segment(JPEG_XMP + packet.encode())]
    for offset in range(0, len(extension), _EXTENSION_PART_BYTES):
        head = JPEG_XMP_EXTENSION + EXTENSION_HEAD.pack(digest.encode(), len(extension), offset)
        segments.append(_jpeg_segment(head + extension[offset : offset + _EXTENSION_PART_BYTES]))
    first = 4 + int.from_bytes(jpeg[4:6])  # JFIF's own, which has to stay where it is
    return b"".join([jpeg[:first], *segments, jpeg[first:]])


def _jpeg_segment(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
