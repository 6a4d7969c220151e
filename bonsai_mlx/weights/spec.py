"""What a file of tensors must hold, and what the fields of a checkpoint's configs may be.

Owns how a tensor is described and the bounds of dimensions. Which tensors a model has is said by the
model's own config. Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from msgspec import Meta

from ..decoding import Flag

HALF = ("BF16", "F16")  # the floating types a checkpoint may store; computing in another type is the engine's choice
FLOATS = (*HALF, "F32")
PACKED = ("U32",)
# Far beyond any checkpoint, and small enough that what is derived from them stays computable.
MAX_DIMENSION, MAX_LAYERS, MAX_LIST, MAX_FLOAT = 1 << 18, 1024, 16, 1e12
Bits = Literal[1, 2, 3, 4, 6, 8]  # of a packed value; more are those of a value that is not packed
DENSE_BITS = 16
GroupSize = Literal[32, 64, 128]  # what MLX's kernels take
_PRECISIONS = {1: "binary", 2: "ternary", 16: "bf16", 32: "float32"}  # 1, 2: what so few bits are trained to be
_ITEM_BYTES = {"U32": 4, "BF16": 2, "F16": 2, "F32": 4, "I64": 8}


def up_to(limit: int) -> Meta:
    """For the annotation of a whole number from 1 to `limit`."""
    description = f"a whole number from 1 to {limit}"
    return Meta(ge=1, le=limit, description=description)


# What a field of a config may be, for `decoding.decode`.
Dimension = Annotated[int, up_to(MAX_DIMENSION)]
LayerCount = Annotated[int, up_to(MAX_LAYERS)]
Positive = Annotated[float, Meta(gt=0, le=MAX_FLOAT, description="a finite number above 0")]
Dimensions = Annotated[
    tuple[Dimension, ...], Meta(min_length=1, max_length=MAX_LIST, description="a list of some whole numbers")
]
Pair = Annotated[tuple[Dimension, Dimension], Meta(description="a list of 2 whole numbers")]


@dataclass(frozen=True, slots=True)
class Packing:
    """How matrices are packed, as a config's JSON says it."""

    bits: Annotated[Bits, Meta(description="1, 2, 3, 4, 6 or 8")]
    group_size: Annotated[GroupSize, Meta(description="32, 64 or 128")]
    affine: Flag = False  # four values a group in 2 bits, and not the three of a model that was trained for those


@dataclass(frozen=True, slots=True)
class Storage:
    """How one matrix is stored: packed, or in 16 or 32 bits a value and then in groups of one."""

    bits: int = DENSE_BITS
    group_size: int = 1

    @property
    def packed(self) -> bool:
        return self.bits < DENSE_BITS


def precision_of(bits: int) -> str:
    """What people call weights of so many bits: "binary", "ternary", "4-bit", "bf16"."""
    return _PRECISIONS.get(bits, f"{bits}-bit")


_BITS = (*get_args(Bits), *(bits for bits in _PRECISIONS if bits >= DENSE_BITS))
PRECISIONS: tuple[str, ...] = tuple(precision_of(bits) for bits in _BITS)


def bits_of(precision: str) -> int:
    """The bits of "binary", "ternary", "4-bit" or "bf16"; ValueError for anything else."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    return _BITS[PRECISIONS.index(precision)]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What one tensor of a file must look like; `dtypes` in safetensors' own spelling."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]


Tensors: TypeAlias = dict[str, TensorSpec]


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: spec for name, spec in tensors.items()}


def packed_tensors(name: str, rows: int, columns: int, bits: int, group_size: int) -> Tensors:
    """The three tensors of a packed matrix [rows, columns]; see nn.linear.PackedLinear."""
    groups = TensorSpec(HALF, (rows, columns // group_size))
    return {
        f"{name}.weight": TensorSpec(PACKED, (rows, columns * bits // 32)),
        f"{name}.scales": groups,
        f"{name}.biases": groups,
    }


def matrix_tensors(name: str, rows: int, columns: int, bits: int, group_size: int) -> Tensors:
    """The tensors of a matrix [rows, columns], packed or, from 16 bits on, dense."""
    if bits < DENSE_BITS:
        return packed_tensors(name, rows, columns, bits, group_size)
    return {f"{name}.weight": TensorSpec(HALF if bits == DENSE_BITS else ("F32",), (rows, columns))}


def tensor_bytes(tensors: Mapping[str, TensorSpec]) -> int:
    return sum(_ITEM_BYTES[spec.dtypes[0]] * math.prod(spec.shape) for spec in tensors.values())
