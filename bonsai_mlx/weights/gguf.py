"""GGUF files: what they hold, read strictly, and their blocks of weights as our packed tensors.

A block of weights has its scale in it; ours have codes, scales and biases apart (see `nn.linear`). Types whose values
are `code * scale + bias` in groups that MLX's kernels take become that, exactly but for Q4_K, whose scales are products
that float16 rounds; the others become dense values. Formats: ggml-common.h and gguf.md of the ggml project.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..fileio import open_regular
from .headers import Stored
from .packing import pack
from .safetensors import instead

if TYPE_CHECKING:
    import mlx.core as mx

MAGIC = b"GGUF"
_MAX_TENSORS, _MAX_KEYS, _MAX_TEXT, _MAX_ARRAY = 1 << 14, 1 << 12, 1 << 16, 1 << 20
_MAX_HEADER_BYTES = 64 << 20
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
_ALIGNMENT = 32

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Type:
    """A type of tensor: blocks of so many weights in so many bytes.

    `bits` and `group_size` say what it becomes when it is packed; 16 or 32 bits and 1 that it becomes dense.
    """

    name: str
    weights: int
    size: int
    bits: int
    group_size: int


TYPES = {
    0: Type("F32", 1, 4, 32, 1),
    1: Type("F16", 1, 2, 16, 1),
    2: Type("Q4_0", 32, 18, 4, 32),
    8: Type("Q8_0", 32, 34, 8, 32),
    10: Type("Q2_K", 256, 84, 16, 1),
    12: Type("Q4_K", 256, 144, 4, 32),
    30: Type("BF16", 1, 2, 16, 1),
    41: Type("Q1_0", 128, 18, 1, 128),
    42: Type("Q2_0", 64, 18, 2, 64),
}
_WIDE_TERNARY = Type("Q2_0 in groups of 128", 128, 34, 2, 128)  # of older files, under the same number
BY_NAME = {kind.name: kind for kind in (*TYPES.values(), _WIDE_TERNARY)}


def is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf"


def read_header(path: Path, repair: str) -> tuple[dict[str, Stored], dict[str, str]]:
    """The tensors of a file by name, rows first as in safetensors, and its notes that are texts.

    CheckpointError unless the file is whole, sound and of types that can be read.
    """
    try:
        with open_regular(path, follow_symlinks=True) as file:
            return _read(path, file)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: the file is missing; {repair}") from None
    except (OSError, ValueError, struct.error) as error:
        raise CheckpointError(f"{path}: not a complete GGUF file that can be read here ({error}); {repair}") from error


def _read(path: Path, file: BinaryIO) -> tuple[dict[str, Stored], dict[str, str]]:
    size = os.fstat(file.fileno()).st_size
    magic, version, tensors, keys = struct.unpack("<4sIQQ", _exactly(file, 24))
    unlike = "it does not begin as GGUF of version 2 or 3 does"
    if magic != MAGIC:
        raise ValueError(instead(struct.pack("<4sI", magic, version), unlike))
    if version not in (2, 3):
        raise ValueError(unlike)
    if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
        raise ValueError(f"it says that it has {tensors} tensors and {keys} notes")
    notes = dict(_note(file) for _ in range(keys))
    entries = [_entry(file) for _ in range(tensors)]
    alignment = notes.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment not in (1 << power for power in range(3, 17)):
        raise ValueError(f"general.alignment is {alignment!r}")
    start = -(-file.tell() // alignment) * alignment
    found = _located(path, entries, start, size)
    return found, {name: value for name, value in notes.items() if isinstance(value, str)}


def _located(
    path: Path, entries: Sequence[tuple[str, tuple[int, ...], int, int]], start: int, size: int
) -> dict[str, Stored]:
    """The tensors, each within the file and apart from the others."""
    ends = sorted([*(start + offset for _, _, _, offset in entries), size])
    found: dict[str, Stored] = {}
    taken = start
    for name, shape, number, offset in sorted(entries, key=lambda entry: entry[3]):
        if name in found:
            raise ValueError(f"it names the tensor {name} twice")
        first = start + offset
        room = next((end for end in ends if end > first), size) - first
        kind = _type(number, name, shape, room)
        length = math.prod(shape) // kind.weights * kind.size
        if first < taken or first + length > size:
            raise ValueError(f"the tensor {name} is not where the file has room for it")
        found[name] = Stored(path, name, kind.name, shape, first)
        taken = first + length
    return found


def _type(number: int, name: str, shape: tuple[int, ...], room: int) -> Type:
    """The type, of two that have the same number the one that fills the `room`."""
    kind = TYPES.get(number)
    if kind is None:
        known = ", ".join(each.name for each in TYPES.values())
        raise ValueError(f"the tensor {name} is of type {number}; what can be read is {known}")
    if kind.name == "Q2_0" and shape[-1] % 128 == 0 and room < math.prod(shape) // 64 * 18:
        kind = _WIDE_TERNARY
    if shape[-1] % kind.weights:
        raise ValueError(f"the tensor {name} has {shape[-1]} columns, which are no whole blocks of {kind.weights}")
    return kind


def _entry(file: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    name, (dimensions,) = _text(file), struct.unpack("<I", _exactly(file, 4))
    if not 1 <= dimensions <= 4:
        raise ValueError(f"the tensor {name} has {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", _exactly(file, 8 * dimensions))
    if any(not 0 < side < 2**31 for side in shape):
        raise ValueError(f"the tensor {name} is {list(shape)}")
    number, offset = struct.unpack("<IQ", _exactly(file, 12))
    return name, tuple(reversed(shape)), number, offset


def _note(file: BinaryIO) -> tuple[str, Any]:
    name, (kind,) = _text(file), struct.unpack("<I", _exactly(file, 4))
    return name, _value(file, kind)


def _value(file: BinaryIO, kind: int, *, within: bool = False) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind in _NUMBERS:
        return struct.unpack(_NUMBERS[kind], _exactly(file, struct.calcsize(_NUMBERS[kind])))[0]
    if kind != _ARRAY or within:
        raise ValueError(f"a note is of type {kind}")
    inner, count = struct.unpack("<IQ", _exactly(file, 12))
    if count > _MAX_ARRAY:
        raise ValueError(f"a note has {count} entries")
    return [_value(file, inner, within=True) for _ in range(count)]


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _MAX_TEXT:
        raise ValueError(f"a text has {length} bytes")
    return _exactly(file, length).decode(errors="replace")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count or file.tell() > _MAX_HEADER_BYTES:
        raise ValueError("it ends too early")
    return data


# What blocks become. Each function takes blocks [rows, blocks, bytes] and gives codes [rows, weights], and scale and
# bias [rows, groups] as float16; or values [rows, weights].

Packed = tuple[Bytes, NDArray[np.float16], NDArray[np.float16]]


def _half(blocks: Bytes, first: int) -> NDArray[np.float16]:
    return np.ascontiguousarray(blocks[..., first : first + 2]).view("<f2")[..., 0]


def _q8_0(blocks: Bytes) -> Packed:
    scale = _half(blocks, 0)
    return blocks[..., 2:] ^ np.uint8(0x80), scale, scale * np.float16(-128)


def _nibbles(data: Bytes) -> Bytes:
    """Low halves of bytes, then high ones."""
    return np.concatenate([data & 15, data >> 4], axis=-1)


def _q4_0(blocks: Bytes) -> Packed:
    scale = _half(blocks, 0)
    return _nibbles(blocks[..., 2:]), scale, scale * np.float16(-8)


def _q1_0(blocks: Bytes) -> Packed:
    scale = _half(blocks, 0)
    return np.unpackbits(blocks[..., 2:], axis=-1, bitorder="little"), scale * np.float16(2), -scale


def _q2_0(blocks: Bytes) -> Packed:
    scale, shifts = _half(blocks, 0), np.array([0, 2, 4, 6], np.uint8)
    codes = (blocks[..., 2:, None] >> shifts) & np.uint8(3)
    return codes.reshape(*codes.shape[:-2], -1), scale, -scale


def _q4_k(blocks: Bytes) -> Packed:
    """Eight groups of 32, whose scales and minima are 6-bit multiples of two factors."""
    factor, least = (_half(blocks, first).astype(np.float32)[..., None] for first in (0, 2))
    low, high, mixed = (blocks[..., first : first + 4] for first in (4, 8, 12))
    scales = np.concatenate([low & 63, (mixed & 15) | ((low >> 2) & 48)], axis=-1)
    minima = np.concatenate([high & 63, (mixed >> 4) | ((high >> 2) & 48)], axis=-1)
    codes = _nibbles(blocks[..., 16:].reshape(*blocks.shape[:-1], 4, 32))
    flat = codes.reshape(*blocks.shape[:-1], 256)
    return flat, (factor * scales).astype(np.float16), (-least * minima).astype(np.float16)


def _q2_k(blocks: Bytes) -> NDArray[np.float32]:
    """Sixteen groups of 16, whose scales and minima are 4-bit multiples of two factors."""
    ratios, codes = blocks[..., :16], blocks[..., 16:80].reshape(*blocks.shape[:-1], 2, 1, 32)
    factor, least = (_half(blocks, first).astype(np.float32)[..., None] for first in (80, 82))
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(4, 1)
    values = ((codes >> shifts) & np.uint8(3)).reshape(*blocks.shape[:-1], 16, 16).astype(np.float32)
    return values * (factor * (ratios & 15))[..., None] - (least * (ratios >> 4))[..., None]


_PACKED: dict[str, Callable[[Bytes], Packed]] = {
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_K": _q4_k,
    "Q1_0": _q1_0,
    "Q2_0": _q2_0,
    _WIDE_TERNARY.name: _q2_0,
}


def read(stored: Stored, form: str, rows: Sequence[slice] = ()) -> mx.array:
    """What `form` says of a tensor: its "codes" packed to uint32, its "scales" or "biases", or its "values"."""
    import mlx.core as mx

    blocks = _blocks(stored, rows)
    if form == "values":
        return _values(stored, blocks)
    with np.errstate(over="ignore"):
        codes, scales, biases = _PACKED[stored.dtype](blocks)
    if form == "codes":
        return mx.array(pack(codes.reshape(len(codes), -1), BY_NAME[stored.dtype].bits))
    chosen = (scales if form == "scales" else biases).reshape(len(scales), -1)
    if not np.isfinite(chosen).all():
        raise CheckpointError(f"{stored.path}: tensor {stored.name} has scales that are too large, or no numbers")
    return mx.array(np.ascontiguousarray(chosen))


def _blocks(stored: Stored, rows: Sequence[slice]) -> Bytes:
    kind, (*lead, columns) = BY_NAME[stored.dtype], stored.shape
    shape = (math.prod(lead), columns // kind.weights, kind.size)
    table = np.memmap(stored.path, np.uint8, "r", stored.offset, shape)
    return np.concatenate([table[piece] for piece in rows]) if rows else np.array(table)


def _values(stored: Stored, blocks: Bytes) -> mx.array:
    import mlx.core as mx

    shape = (*((len(blocks),) if len(stored.shape) > 1 else ()), stored.shape[-1])
    if stored.dtype == "BF16":
        return mx.array(blocks.view("<u2").reshape(shape)).view(mx.bfloat16)
    if stored.dtype in ("F16", "F32"):
        return mx.array(blocks.view("<f2" if stored.dtype == "F16" else "<f4").reshape(shape))
    return mx.array(_q2_k(blocks).reshape(shape)).astype(mx.bfloat16)
