"""A picture of bits as a short code: 2,056 bytes, or 2,742 characters, for one of 256x256 pixels.

    bytes   3  magic, "BB1"
            3  the beginning of the digest of the autoencoder that made the bits, and alone can read them
            1  width / 16
            1  height / 16
            n  the bits of its latents, eight to a byte, the lowest first: by rows, columns, then channels

As text it is base64url without padding. A latent covers 8x8 pixels, so n * 8 is width / 8 * height / 8 * channels.
Knows nothing of models and needs no numpy: a code is checked whole before anything is made of it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from ..errors import RequestError
from ..request import MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX

KEYWORD = "bonsai-bits"  # of the text of a PNG that holds the code
MAGIC = b"BB1"
HEADER_BYTES, MODEL_BYTES = 8, 3
CELL_PX = 8  # a side of what one latent covers
MAX_CHANNELS = 32
MAX_BYTES = HEADER_BYTES + (MAX_SIZE_PX // CELL_PX) ** 2 * MAX_CHANNELS // 8
MAX_CHARS = 4 * -(-MAX_BYTES // 3)
QR_CHARS = 2_953  # in the largest QR code, a character a byte
_HEADER_CHARS = 12  # the shortest text that holds the header
_TEXT = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_AGAIN = "copy it again, whole"


@dataclass(frozen=True, slots=True)
class BitCode:
    """The code of one picture. Made by `of_bytes` and `of_text`, it is whole; RequestError names the field "code"."""

    model: bytes  # the beginning of the autoencoder's digest
    width: int  # pixels
    height: int
    bits: bytes

    @classmethod
    def of_bytes(cls, data: bytes) -> BitCode:
        width, height = _size(data)
        if _channels(width, height, len(data) - HEADER_BYTES) is None:
            raise _refused(f"is {len(data):,} bytes long, which no picture of {width}x{height} is; {_AGAIN}")
        return cls(data[3:6], width, height, data[HEADER_BYTES:])

    @classmethod
    def of_text(cls, text: str) -> BitCode:
        """What `text` says; spaces and line breaks in it do not count."""
        if len(text) > 2 * MAX_CHARS:
            raise _refused(f"is {len(text):,} characters long; at most {MAX_CHARS:,} are possible")
        joined = "".join(text.split())
        if not _TEXT.fullmatch(joined) or len(joined.rstrip("=")) % 4 == 1:
            raise _refused(f"is no code of a picture: it has other characters than those of base64url; {_AGAIN}")
        joined = joined.rstrip("=")
        width, height = _size(_decoded(joined[:_HEADER_CHARS]))
        if _channels(width, height, len(joined) * 3 // 4 - HEADER_BYTES) is None:
            raise _refused(f"is {len(joined):,} characters long, which no picture of {width}x{height} is; {_AGAIN}")
        return cls.of_bytes(_decoded(joined))

    @property
    def channels(self) -> int:
        """Bits for each latent."""
        return len(self.bits) * 8 // _cells(self.width, self.height)

    def as_bytes(self) -> bytes:
        sides = bytes((self.width // SIZE_MULTIPLE_PX, self.height // SIZE_MULTIPLE_PX))
        return MAGIC + self.model + sides + self.bits

    def as_text(self) -> str:
        return base64.urlsafe_b64encode(self.as_bytes()).rstrip(b"=").decode()

    def distance(self, other: BitCode) -> int | None:
        """How many bits differ (Hamming); None for pictures of two models or sizes, which cannot be compared."""
        alike = (self.model, self.width, self.height, len(self.bits))
        if alike != (other.model, other.width, other.height, len(other.bits)):
            return None
        return (int.from_bytes(self.bits) ^ int.from_bytes(other.bits)).bit_count()


def found_code(text: str | None) -> BitCode | None:
    """The code that a file says it has; None for none, and for one that is damaged."""
    try:
        return BitCode.of_text(text) if text else None
    except RequestError:
        return None


def _size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, of the header."""
    if not data.startswith(MAGIC):
        raise _refused("is no code of a picture: it does not begin as one; give what `encode` printed")
    if len(data) < HEADER_BYTES:
        raise _refused(f"is cut off; {_AGAIN}")
    width, height = (side * SIZE_MULTIPLE_PX for side in data[6:8])
    if not all(MIN_SIZE_PX <= side <= MAX_SIZE_PX for side in (width, height)):
        raise _refused(
            f"is of a picture of {width}x{height}; sides of {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels are possible"
        )
    return width, height


def _channels(width: int, height: int, size: int) -> int | None:
    """How many bits each latent has if all have `size` bytes; None if no number gives that."""
    channels, rest = divmod(max(size, 0) * 8, _cells(width, height))
    return channels if not rest and 0 < channels <= MAX_CHANNELS else None


def _cells(width: int, height: int) -> int:
    return (width // CELL_PX) * (height // CELL_PX)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused(message: str) -> RequestError:
    return RequestError("code", message)
