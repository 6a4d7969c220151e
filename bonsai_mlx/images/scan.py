"""Which texts an image file holds: PNG, JPEG and WebP walked from piece to piece, the pixels passed over.

The walk says how many bytes it wants next, and whoever drives it takes them from memory, from a file, or from a
request's body as it arrives. Of each kind of text the first is kept, of at most MAX_TEXT_BYTES; no image decoder ever
sees the file. Knows nothing of what the texts mean (metadata.py, parsers.py).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import BinaryIO

from .exif import decode_text, exif_texts

MAX_FILE_BYTES = 64 << 20
MAX_TEXT_BYTES = 1_000_000  # a longer text is not read at all
MAX_PIECES = 100_000  # chunks or segments of one file

XMP = "XML:com.adobe.xmp"
XMP_EXTENSION = "XMP extension"  # of JPEG files, whose segments are short
KEYWORDS = frozenset(["bonsai", "bonsai-bits", "parameters", "fooocus_scheme", "invokeai_metadata", "prompt", XMP])

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_EXIF, JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
JPEG_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
EXTENSION_HEAD = struct.Struct(">32sII")  # digest, bytes of the whole, where this part of it belongs
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_MAX_STORED_BYTES = MAX_TEXT_BYTES + 1_024  # with the keyword, the language and what else stands before a text
_EXIF = "EXIF"

_Bytes = Generator[int, bytes, bytes]
_Walk = Generator[
    int, bytes, None
]  # yields n > 0: the next n bytes, fewer at the file's end; n < 0: so many passed over
_TOO_LONG, _DAMAGED = "a text in it is longer than 1 MB", "a text in it is damaged"


class _UnreadableTextError(Exception):
    """Why a text is left out."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What was found: the texts by keyword (EXIF's under exif.EXIF_...), and why others were left out."""

    texts: dict[str, str]
    left_out: list[str] = field(default_factory=list)


class Scanner:
    """Takes a file's bytes piece by piece. Every method raises ValueError, with words for a person, for a file that is
    damaged, cut off, too large or no PNG, JPEG or WebP. The checksums of a PNG are not looked at: a text that somebody
    has changed by hand is read as it stands.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[Callable[[bytes], str], bytes]] = {}
        self._left_out: list[str] = []
        self._extension: tuple[bytes, int, dict[int, bytes]] | None = None
        self._received = 0
        self._ahead = b""  # read, but not asked for yet
        self._buffer = bytearray()
        self._walk = self._file()
        self._wanted = next(self._walk)

    @property
    def done(self) -> bool:
        return self._wanted == 0

    def feed(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MAX_FILE_BYTES:
            raise ValueError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
        view = memoryview(data)
        while view and not self.done:
            taken = min(len(view), abs(self._wanted) - len(self._buffer))
            if self._wanted > 0:
                self._buffer += view[:taken]
            else:
                self._wanted += taken
            view = view[taken:]
            if len(self._buffer) == self._wanted:
                self._go_on(bytes(self._buffer))

    def read(self, file: BinaryIO) -> None:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise ValueError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
        while not self.done:
            if self._wanted > 0:
                self._go_on(file.read(self._wanted))
            else:
                file.seek(-self._wanted, os.SEEK_CUR)
                self._go_on(b"")

    def finish(self) -> Texts:
        """All texts, after the last byte. Inflates: up to a few MB of work."""
        while not self.done:  # it wants more than there is, and says what that means
            self._go_on(bytes(self._buffer))
        self._keep_extension()
        texts: dict[str, str] = {}
        for keyword, (decode, data) in self._found.items():
            try:
                found = exif_texts(data) if keyword == _EXIF else {keyword: decode(data)}
            except _UnreadableTextError as error:
                self._left_out.append(str(error))
                continue
            texts |= {name: text for name, text in found.items() if text and name not in texts}
        return Texts(texts, self._left_out)

    def _go_on(self, data: bytes) -> None:
        self._buffer.clear()
        try:
            self._wanted = self._walk.send(data)
        except StopIteration:
            self._wanted = 0

    def _keep(self, keyword: str, decode: Callable[[bytes], str], data: bytes) -> None:
        """The first of several texts with one keyword counts, so a hostile file cannot make many of them unfold."""
        self._found.setdefault(keyword, (decode, data))

    # the walk

    def _file(self) -> _Walk:
        head = yield from self._read(12)
        if head.startswith(PNG_SIGNATURE):
            self._ahead = head[8:]
            yield from self._png()
        elif head.startswith(_JPEG_SIGNATURE):
            self._ahead = head[2:]
            yield from self._jpeg()
        elif head.startswith(b"RIFF") and head[8:] == b"WEBP":
            yield from self._webp(8 + int.from_bytes(head[4:8], "little"))
        else:
            raise ValueError("the file is not a PNG, JPEG or WebP image")

    def _read(self, count: int) -> _Bytes:
        data, self._ahead = self._ahead[:count], self._ahead[count:]
        if len(data) < count:
            data += yield count - len(data)
        return data

    def _exactly(self, count: int, problem: str) -> _Bytes:
        data = yield from self._read(count)
        if len(data) < count:
            raise ValueError(problem)
        return data

    def _pass(self, count: int, problem: str) -> _Walk:
        held = min(count, len(self._ahead))
        self._ahead = self._ahead[held:]
        if count - held > 1:
            yield held + 1 - count
        if count > held:
            yield from self._exactly(1, problem)

    def _png(self) -> _Walk:
        cut = "the PNG image is cut off"
        for index in range(MAX_PIECES):
            head = yield from self._exactly(8, cut)
            length, kind = struct.unpack(">I4s", head)
            if (index == 0) != (kind == b"IHDR"):
                raise ValueError("the PNG image is damaged: its header is not at its start")
            if kind not in _PNG_KINDS:
                yield from self._pass(length + 4, cut)
            elif length > _MAX_STORED_BYTES:
                self._left_out.append(_TOO_LONG)
                yield from self._pass(length + 4, cut)
            else:
                data = yield from self._exactly(length + 4, cut)
                self._png_text(kind, data[:-4])
            if kind == b"IEND":
                return
        raise ValueError(f"the PNG image has more than {MAX_PIECES} chunks")

    def _png_text(self, kind: bytes, data: bytes) -> None:
        if kind == b"eXIf":
            self._keep(_EXIF, _bounded, data)
            return
        keyword, _, rest = data.partition(b"\0")
        if keyword.decode("latin-1") in KEYWORDS:
            self._keep(keyword.decode("latin-1"), _PNG_DECODERS[kind], rest)

    def _jpeg(self) -> _Walk:
        cut, padding = "the JPEG image is damaged or cut off", 0
        for _ in range(MAX_PIECES):
            marker = yield from self._exactly(2, cut)
            while marker == b"\xff\xff" and padding < MAX_PIECES:  # any number of them may stand before a marker
                marker, padding = b"\xff" + (yield from self._exactly(1, cut)), padding + 1
            if marker in (b"\xff\xda", b"\xff\xd9"):  # the pixels start, or the file ends
                return
            length = int.from_bytes((yield from self._exactly(2, cut))) - 2
            if marker[0] != 0xFF or length < 0:
                break
            if marker == b"\xff\xe1":
                self._jpeg_segment((yield from self._exactly(length, cut)) if length else b"")
            else:
                yield from self._pass(length, cut)
        raise ValueError(cut)

    def _jpeg_segment(self, data: bytes) -> None:
        if data.startswith(JPEG_EXIF):
            self._keep(_EXIF, _bounded, data)
        elif data.startswith(JPEG_XMP):
            self._keep(XMP, _bounded, data.removeprefix(JPEG_XMP))
        elif data.startswith(JPEG_XMP_EXTENSION):
            self._part_of_extension(data.removeprefix(JPEG_XMP_EXTENSION))

    def _part_of_extension(self, data: bytes) -> None:
        """One segment's part of an XMP packet that is too long for one; of several packets the first counts."""
        if len(data) < EXTENSION_HEAD.size:
            return
        digest, total, offset = EXTENSION_HEAD.unpack_from(data)
        self._extension = self._extension or (digest, total, {})
        if self._extension[:2] == (digest, total) and total <= MAX_TEXT_BYTES:
            self._extension[2].setdefault(offset, data[EXTENSION_HEAD.size :])

    def _keep_extension(self) -> None:
        if self._extension is None:
            return
        _, total, parts = self._extension
        packet = b"".join(parts[offset] for offset in sorted(parts))
        if len(packet) == total:
            self._keep(XMP_EXTENSION, _bounded, packet)

    def _webp(self, end: int) -> _Walk:
        cut, position = "the WebP image is damaged or cut off", 12
        for _ in range(MAX_PIECES):
            if position + 8 > end:
                return
            head = yield from self._exactly(8, cut)
            kind, length = struct.unpack("<4sI", head)
            padded = length + length % 2 if position + 8 + length < end else length
            if kind in (b"EXIF", b"XMP ") and 0 < length <= _MAX_STORED_BYTES:
                data = yield from self._exactly(padded, cut)
                self._keep(_EXIF if kind == b"EXIF" else XMP, _bounded, data[:length])
            else:
                yield from self._pass(padded, cut)
            position += 8 + padded
        raise ValueError(cut)


# what is in the pieces


def _bounded(data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise _UnreadableTextError(_TOO_LONG)
    return decode_text(data)


def _decode_ztxt(data: bytes) -> str:
    return _bounded(_inflate(data[1:]))


def _decode_itxt(data: bytes) -> str:
    rest = data[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(rest) < 3:
        raise _UnreadableTextError(_DAMAGED)
    return _bounded(_inflate(rest[2]) if data[:1] == b"\1" else rest[2])


_PNG_DECODERS = {b"tEXt": _bounded, b"zTXt": _decode_ztxt, b"iTXt": _decode_itxt}
_PNG_KINDS = (*_PNG_DECODERS, b"eXIf")


def _inflate(data: bytes) -> bytes:
    """At most one byte more than a text may have, so that a bomb is seen and not unfolded."""
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error:
        raise _UnreadableTextError(_DAMAGED) from None


def scan(data: bytes) -> Texts:
    scanner = Scanner()
    scanner.feed(data)
    return scanner.finish()


def read_texts(data: bytes) -> dict[str, str]:
    return scan(data).texts
