"""PNG, JPEG and WebP files as containers: their texts are read and replaced, their pixels never touched.

No image decoder ever sees the file, so a decompression bomb stays folded: text is inflated up to a limit, nothing else
is. Knows nothing of what the texts mean (metadata.py, foreign.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_FILE_BYTES = 64 << 20
MAX_TEXT_BYTES = 1_000_000  # a longer text is not read at all
MAX_PIECES = 100_000  # chunks or segments of one file

XMP = "XML:com.adobe.xmp"
EXIF_COMMENT = "EXIF:UserComment"

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_EXIF, _JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)  # any number of padding bytes may stand before one
_EXIF_IFD_TAG, _USER_COMMENT_TAG = 0x8769, 0x9286
# What decides how the pixels look. Everything else in a PNG is said about the picture and goes when it is stripped.
_PIXEL_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD pHYs".split())


# What metadata.py and foreign.py ask for.
_KEYWORDS = frozenset(["bonsai", "parameters", "fooocus_scheme", "invokeai_metadata", "prompt", XMP, EXIF_COMMENT])

_Piece = tuple[str, Callable[[bytes], str | None], bytes]  # keyword, how to read the text, the text as it is stored


class Chunk(NamedTuple):
    """One piece of a PNG: its four-letter kind, its data, and both with length and checksum as they are in the file."""

    kind: bytes
    data: memoryview
    raw: memoryview


def read_texts(data: bytes) -> dict[str, str]:
    """The texts in the file by their keywords (those in `_KEYWORDS`), an EXIF comment under `EXIF_COMMENT`.

    The first of several texts with one keyword counts, so a hostile file cannot make many of them unfold. ValueError
    for a file that is damaged, too large or no PNG, JPEG or WebP; a text that is malformed or too long is left out.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    if data.startswith(PNG_SIGNATURE):
        pieces = _png_texts(data)
    elif data.startswith(_JPEG_SIGNATURE):
        pieces = _jpeg_texts(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        pieces = _webp_texts(data)
    else:
        raise ValueError("the file is not a PNG, JPEG or WebP image")
    texts: dict[str, str | None] = {}
    for keyword, decode, encoded in pieces:
        if keyword in _KEYWORDS and keyword not in texts:
            texts[keyword] = decode(encoded)
    return {keyword: text for keyword, text in texts.items() if text is not None}


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
    return _png_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text)


def text_chunk(keyword: str, text: str) -> bytes:
    """tEXt where Latin-1 can hold the text, which older readers expect, else iTXt. NUL would end it and is dropped."""
    text = text.replace("\0", "")
    try:
        return _png_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return itxt_chunk(keyword, text.encode("utf-8", "replace"))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_texts(png: bytes) -> Iterator[_Piece]:
    for kind, data, _ in png_chunks(png):
        if kind == b"eXIf":
            yield EXIF_COMMENT, _user_comment, bytes(data)
        elif kind in _PNG_TEXT_DECODERS:
            keyword, _, rest = bytes(data).partition(b"\0")
            yield keyword.decode("latin-1"), _PNG_TEXT_DECODERS[kind], rest


def _decode_utf8(data: bytes) -> str | None:
    return _decode(data, "utf-8")


def _decode_text(data: bytes) -> str | None:
    return _decode(data, "latin-1")


def _decode_ztxt(data: bytes) -> str | None:
    return _decode(_inflate(data[1:]), "latin-1")


def _decode_itxt(data: bytes) -> str | None:
    compressed, rest = data[:1] == b"\1", data[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(rest) < 3:
        return None
    return _decode(_inflate(rest[2]) if compressed else rest[2], "utf-8")


_PNG_TEXT_DECODERS = {b"tEXt": _decode_text, b"zTXt": _decode_ztxt, b"iTXt": _decode_itxt}


def _inflate(data: bytes) -> bytes:
    """At most one byte more than a text may have, so that a bomb is seen and not unfolded; b"" for what is broken."""
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error:
        return b""


def _decode(data: bytes, encoding: str) -> str | None:
    return data.decode(encoding, "replace") if 0 < len(data) <= MAX_TEXT_BYTES else None


# JPEG and WebP


def _jpeg_texts(data: bytes) -> Iterator[_Piece]:
    position = 2
    for _ in range(MAX_PIECES):
        marker = _JPEG_MARKER.match(data, position)
        if marker is None:
            break
        if marker[1] in b"\xda\xd9":  # the pixels start, or the file ends
            return
        start, length = marker.end(), int.from_bytes(data[marker.end() : marker.end() + 2])
        segment = data[start + 2 : start + length]
        if marker[1] == b"\xe1" and segment.startswith(_JPEG_EXIF):
            yield EXIF_COMMENT, _user_comment, segment
        elif marker[1] == b"\xe1" and segment.startswith(_JPEG_XMP):
            yield XMP, _decode_utf8, segment.removeprefix(_JPEG_XMP)
        position = start + length
    raise ValueError("the JPEG image is damaged or cut off")


def _webp_texts(data: bytes) -> Iterator[_Piece]:
    position, end = 12, 8 + int.from_bytes(data[4:8], "little")
    for _ in range(MAX_PIECES if end <= len(data) else 0):
        if position + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if len(body) < length:
            break
        if kind == b"EXIF":
            yield EXIF_COMMENT, _user_comment, body
        elif kind == b"XMP ":
            yield XMP, _decode_utf8, body
        position += 8 + length + length % 2
    raise ValueError("the WebP image is damaged or cut off")


# EXIF


def _user_comment(exif: bytes) -> str | None:
    """The UserComment of an EXIF block, which is a small TIFF file: two look-ups in its tables."""
    tiff = exif.removeprefix(_JPEG_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (root,) = struct.unpack_from(order + "I", tiff, 4)
        (exif_ifd,) = struct.unpack_from(order + "I", _ifd_entry(tiff, order, root, _EXIF_IFD_TAG), 4)
        count, offset = struct.unpack(order + "II", _ifd_entry(tiff, order, exif_ifd, _USER_COMMENT_TAG))
    except (struct.error, LookupError):
        return None
    return _decode_comment(tiff[offset : offset + count])


def _ifd_entry(tiff: bytes, order: str, ifd: int, tag: int) -> bytes:
    """Count and value (or its offset) of one tag: the last 8 of the 12 bytes of its entry."""
    (entries,) = struct.unpack_from(order + "H", tiff, ifd)
    for start in range(ifd + 2, ifd + 2 + 12 * entries, 12):
        if struct.unpack_from(order + "H", tiff, start)[0] == tag:
            return tiff[start + 4 : start + 12]
    raise LookupError(tag)


def _decode_comment(data: bytes) -> str | None:
    """Eight bytes name the encoding; what says ASCII is often UTF-8, and UNICODE is UTF-16 in either byte order."""
    name, text = data[:8], data[8:]
    if name == b"UNICODE\0":
        big_endian = text[0::2].count(0) >= text[1::2].count(0)  # the zeros are the upper bytes of ASCII characters
        return _decode(text, "utf-16-be" if big_endian else "utf-16-le")
    return _decode(text if re.fullmatch(rb"ASCII\0{3}|\0{8}", name) else data, "utf-8")
