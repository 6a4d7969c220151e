"""Three image files of the kinds that are read here, and ways to damage them that a random byte would not find."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from bonsai_mlx.images.containers import png_chunks
from bonsai_mlx.images.metadata import encode_png
from tests.images.pictures import INFOTEXT, MFLUX, RECIPE, chunk, picture

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_WORDS = (b"parameters\0", b"UNICODE\0", b"{" * 2_000, b"[" * 9_000, b"Steps: 1, ", b"\0", b"\xff")


def seeds() -> dict[str, bytes]:
    """Small files full of settings: ours, a JPEG as Forge writes it, a WebP as mflux does with XMP beside."""
    png = encode_png(picture(), RECIPE)
    zipped = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(INFOTEXT.encode()))
    exif = chunk(b"eXIf", _exif(b"ASCII\0\0\0" + json.dumps(MFLUX).encode())[6:])
    return {
        "png": png[:33] + zipped + exif + png[33:],
        "jpeg": _saved("JPEG", b"UNICODE\0" + INFOTEXT.encode("utf-16-be")),
        "webp": _saved("WEBP", b"ASCII\0\0\0" + json.dumps(MFLUX).encode()),
    }


def _exif(comment: bytes) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    return bytes(exif.tobytes())


def _saved(form: str, comment: bytes) -> bytes:
    buffer = io.BytesIO()
    xmp = b"<x><exif:UserComment><rdf:li>{&quot;c&quot;: &quot;a lake&quot;}</rdf:li></exif:UserComment></x>"
    picture().save(buffer, form, exif=_exif(comment), xmp=xmp)
    return buffer.getvalue()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One damage or a few; a PNG mostly gets its lengths and checksums right again, so that it is read on."""
    times = rng.choice((1, 1, 1, 2, 4))
    if data.startswith(b"\x89PNG") and rng.random() < 0.5:
        return _inside_a_chunk(data, times, rng)
    for _ in range(times):
        data = rng.choice(_DAMAGES)(data, rng)
    return _with_checksums(data) if data.startswith(b"\x89PNG") and rng.random() < 0.8 else data


def _inside_a_chunk(png: bytes, times: int, rng: random.Random) -> bytes:
    """A whole PNG with nonsense in one of its chunks."""
    chunks = [(piece.kind, bytes(piece.data)) for piece in png_chunks(png)]
    at = rng.randrange(len(chunks))
    kind, data = chunks[at]
    for _ in range(times):
        data = rng.choice(_DAMAGES)(data, rng)
    chunks[at] = kind, data
    return png[:8] + b"".join(chunk(*piece) for piece in chunks)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _edge(data: bytes, rng: random.Random) -> bytes:
    """A length, an offset or a count becomes a number at which programs stumble."""
    width = rng.choice("BHI")
    number = rng.choice(_EDGES) & (1 << 8 * struct.calcsize(width)) - 1
    at = rng.randrange(len(data) + 1)
    written = struct.pack(rng.choice("<>") + width, number)
    return data[:at] + written + data[at + len(written) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _lose(data: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(data) + 1), rng.randint(1, 64)
    return data[:start] + data[start + length :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, length, times = rng.randrange(len(data) + 1), rng.randint(1, 200), rng.randint(1, 50)
    return data[:start] + data[start : start + length] * times + data[start:]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice([*_WORDS, rng.randbytes(rng.randint(1, 300))]) + data[at:]


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _edge, _cut, _lose, _repeat, _insert)


def _with_checksums(png: bytes) -> bytes:
    """The file with the right checksum after every chunk that its own lengths describe."""
    fixed, position = bytearray(png), 8
    while position + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, position)
        end = position + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[position + 4 : end]))
        position = end + 4
    return bytes(fixed)
