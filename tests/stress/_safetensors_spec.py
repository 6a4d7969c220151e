"""What the safetensors format forbids, written from its description alone: the judge of what our own checks accept.

Shares nothing with the product's checks, and is slow and strict. What the description leaves to the reader (how whole
numbers are spelled, keys that an entry has beside the three) is not forbidden here.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

MAX_HEADER_BYTES = 100_000_000
BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


class ForbiddenError(Exception):
    """What is wrong with a file."""


def reason_to_refuse(content: bytes) -> str | None:
    """Why the format forbids a file of this content, or None if it does not."""
    try:
        header, data = _split(content)
        _check(_parse(header), len(data))
    except ForbiddenError as forbidden:
        return str(forbidden)
    return None


def _split(content: bytes) -> tuple[bytes, bytes]:
    if len(content) < 8:
        raise ForbiddenError("no room for the header's length")
    size = struct.unpack("<Q", content[:8])[0]
    if size > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ForbiddenError("a header that is longer than allowed or than the file")
    return content[8 : 8 + size], content[8 + size :]


def _parse(header: bytes) -> dict[str, Any]:
    if not header.startswith(b"{"):
        raise ForbiddenError("a header that does not begin with a brace")
    try:
        text = header.decode("utf-8").rstrip(" ")
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
        text.encode("utf-8")
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise ForbiddenError(f"no JSON: {error}") from error
    if not text.endswith("}") or not isinstance(value, dict):
        raise ForbiddenError("no object, or something behind it")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ForbiddenError("a name that is there twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check(header: dict[str, Any], length: int) -> None:
    metadata = header.pop("__metadata__", {})
    if metadata is None:  # as MLX writes it, and the format's own library reads it
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ForbiddenError("metadata that is no map of strings")
    spans = sorted(_span(name, entry) for name, entry in header.items())
    position = 0
    for begin, end in spans:
        if begin != position:
            raise ForbiddenError("tensors that overlap, or a hole between them")
        position = end
    if position != length:
        raise ForbiddenError("tensors that do not cover the data")


def _span(name: str, entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ForbiddenError(f"{name}: not dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _whole(shape) or not _whole(offsets) or len(offsets) != 2:
        raise ForbiddenError(f"{name}: something else than whole numbers from 0")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in BITS:
        raise ForbiddenError(f"{name}: no dtype of the format")
    begin, end = offsets
    if math.prod(shape) * BITS[entry["dtype"]] != 8 * (end - begin):
        raise ForbiddenError(f"{name}: a shape of another size than its data")
    return begin, end


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 64 for value in values)
