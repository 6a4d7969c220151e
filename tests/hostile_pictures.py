"""Pictures that cost more than they weigh, for whoever decodes or reads them."""

from __future__ import annotations

import struct
import zlib
from functools import cache

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BLOCK_BYTES = 1 << 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def plain_png(width: int, height: int, *texts: bytes, colour_type: int = 2) -> bytes:
    """A black picture (`colour_type` 2: RGB, 6: RGBA, transparent) that is a thousandth of its pixels' bytes."""
    pixels = deflated_zeros(height * (1 + {2: 3, 6: 4}[colour_type] * width))
    head = header(width, height, colour_type)
    return SIGNATURE + head + b"".join(texts) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def deflated_zeros(count: int) -> bytes:
    """As zlib writes them, but half a gigabyte in milliseconds: blocks that need nothing of those before them."""
    whole, rest = divmod(count, _BLOCK_BYTES)
    checksum = struct.pack(">I", count % 65_521 << 16 | 1)  # Adler-32 of zeros
    return b"\x78\xda" + _block(_BLOCK_BYTES) * whole + _block(rest) + b"\x03\0" + checksum


@cache
def _block(count: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return deflate.compress(bytes(count)) + deflate.flush(zlib.Z_FULL_FLUSH)


def header(width: int, height: int, colour_type: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))


def deflated_text(keyword: str, text: bytes) -> bytes:
    """A zTXt chunk."""
    return chunk(b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(text, 9))


def pixel_bomb(side: int = 13_300) -> bytes:
    """Half a megabyte that is half a gigabyte of pixels."""
    return plain_png(side, side)


def prompt_bomb(text_bytes: int = 990_000) -> bytes:
    """1.2 kB that say a megabyte."""
    return plain_png(8, 8, deflated_text("parameters", b"a" * text_bytes + b"\nSteps: 4, Seed: 1, Size: 8x8"))
