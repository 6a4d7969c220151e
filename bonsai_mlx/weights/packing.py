"""Codes of 1 to 8 bits in words: the order in which MLX packs them, least significant bits first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Codes [rows, weights] in words [rows, weights * bits / 32]."""
    count, size = in_bytes(bits)
    joined = np.zeros((len(codes), codes.shape[1] // count), np.uint8 if size == 1 else np.uint32)
    for place in range(count):
        joined |= codes[:, place::count].astype(joined.dtype) << joined.dtype.type(place * bits)
    if size > 1:
        joined = np.stack([joined >> np.uint32(8 * byte) for byte in range(size)], axis=-1).astype(np.uint8)
    return np.ascontiguousarray(joined).reshape(len(codes), -1).view("<u4")


def in_bytes(bits: int) -> tuple[int, int]:
    """The fewest codes that fill whole bytes, and how many bytes: 8 and 3 of 3 bits."""
    return (8 // bits, 1) if 8 % bits == 0 else (24 // bits, 3)
