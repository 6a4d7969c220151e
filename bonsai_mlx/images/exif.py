"""The texts of an EXIF block in which generators keep settings, and the block that our own files get.

An EXIF block is a small TIFF file. Its tables are read with bounds and without following anything but the pointer from
the first of them to the second.
"""

from __future__ import annotations

import re
import struct

EXIF_COMMENT = "EXIF:UserComment"
EXIF_DESCRIPTION = "EXIF:ImageDescription"
EXIF_SOFTWARE = "EXIF:Software"
MAX_COMMENT_UNITS = 32_000  # of UTF-16: a JPEG has 65 533 bytes for its EXIF

_PREFIX = b"Exif\0\0"  # of the block in JPEG; some programs keep it in other containers
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131
_GRAPH_TAGS = (0x010F, 0x0110)  # Make and Model: ComfyUI writes "prompt:{...}" into the texts of WebP files
_MAX_ENTRIES = 1_000
_MAX_TEXT_BYTES = 1_000_000
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # type -> bytes, of the types that are read here

_Table = dict[int, bytes]  # tag -> value


def exif_texts(block: bytes) -> dict[str, str]:
    """The texts by keyword, nothing for a block that is damaged. "prompt" is a graph of ComfyUI's.

    A description and the name of a program are in most photographs: only those that a generator may have written count.
    """
    tiff = block.removeprefix(_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return {}
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        root = _table(tiff, order, offset)
        inner = _table(tiff, order, *struct.unpack(order + "I", root[_EXIF_IFD])) if _EXIF_IFD in root else {}
    except struct.error:
        return {}
    comment = inner.get(_USER_COMMENT) or root.get(_USER_COMMENT, b"")  # Fooocus puts it into the first table
    texts = {
        EXIF_COMMENT: _decode_comment(comment),
        EXIF_DESCRIPTION: _only(decode_text(root.get(_DESCRIPTION, b"")), "{"),
        EXIF_SOFTWARE: _only(decode_text(root.get(_SOFTWARE, b"")), "Fooocus"),
        "prompt": next((graph for tag in _GRAPH_TAGS if (graph := _graph(root.get(tag, b"")))), ""),
    }
    return {keyword: text for keyword, text in texts.items() if text}


def comment_block(text: str) -> bytes:
    """An EXIF block, with its prefix, whose UserComment is `text`, which is at most MAX_COMMENT_UNITS long."""
    value = b"UNICODE\0" + text.encode("utf-16-be", "replace")  # "replace": half a surrogate pair has no UTF-16 form
    root = struct.pack(">HHHIII", 1, _EXIF_IFD, 4, 1, 26, 0)
    inner = struct.pack(">HHHIII", 1, _USER_COMMENT, 7, len(value), 44, 0)
    return _PREFIX + b"MM\0*" + struct.pack(">I", 8) + root + inner + value


def decode_text(data: bytes) -> str:
    """UTF-8 where it is that, which most programs write whatever a format asks for, else Latin-1."""
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return data.rstrip(b"\0").decode("latin-1")


def _table(tiff: bytes, order: str, start: int) -> _Table:
    """The values of one table's entries; those that lie outside of the block are left out."""
    (count,) = struct.unpack_from(order + "H", tiff, start)
    values: _Table = {}
    for entry in range(start + 2, start + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, kind, items = struct.unpack_from(order + "HHI", tiff, entry)
        size = items * _ITEM_BYTES.get(kind, 0)
        offset = struct.unpack_from(order + "I", tiff, entry + 8)[0] if size > 4 else entry + 8
        if 0 < size <= _MAX_TEXT_BYTES and offset + size <= len(tiff):
            values.setdefault(tag, tiff[offset : offset + size])
    return values


def _only(text: str, beginning: str) -> str:
    return text if text.startswith(beginning) else ""


def _graph(value: bytes) -> str:
    name, _, graph = decode_text(value).partition(":")
    return graph if name.lower() == "prompt" else ""


def _decode_comment(data: bytes) -> str:
    """Eight bytes name the encoding; what says ASCII is often UTF-8, and some programs leave them out."""
    name, text = data[:8], data[8:]
    if name == b"UNICODE\0":
        return _decode_unicode(text)
    return decode_text(text if re.fullmatch(rb"ASCII\0{3}|\0{8}", name) else data)


def _decode_unicode(text: bytes) -> str:
    """UTF-16 in either byte order, with a mark or without, or UTF-8 by mistake."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return text.decode("utf-16", "replace").rstrip("\0")
    if 0 not in text and text.isascii():
        return decode_text(text)
    big_endian = text[0::2].count(0) >= text[1::2].count(0)  # the zeros are the upper bytes of ASCII characters
    return text.decode("utf-16-be" if big_endian else "utf-16-le", "replace").rstrip("\0")
