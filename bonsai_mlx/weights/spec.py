"""What a file of tensors must hold, and what the fields of a checkpoint's configs may be.

Owns how a tensor is described and the bounds of dimensions. Which tensors a model has is said by the
model's own config. Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from msgspec import Meta

HALF = ("BF16", "F16")  # the floating types a checkpoint may store; computing in another type is the engine's choice
PACKED = ("U32",)
# Far beyond any checkpoint, and small enough that what is derived from them stays computable.
MAX_DIMENSION, MAX_LAYERS, MAX_LIST, MAX_FLOAT = 1 << 18, 1024, 16, 1e12
_ITEM_BYTES = {"U32": 4, "BF16": 2, "F16": 2, "I64": 8}


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
class TensorSpec:
    """What one tensor of a file must look like; `dtypes` in safetensors' own spelling."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]


Tensors: TypeAlias = dict[str, TensorSpec]


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    """The same tensors, each name with `prefix` in front."""
    return {prefix + name: spec for name, spec in tensors.items()}


def packed_tensors(name: str, rows: int, columns: int, bits: int, group_size: int) -> Tensors:
    """The three tensors of a packed matrix [rows, columns]; see nn.linear.PackedLinear."""
    groups = TensorSpec(HALF, (rows, columns // group_size))
    return {
        f"{name}.weight": TensorSpec(PACKED, (rows, columns * bits // 32)),
        f"{name}.scales": groups,
        f"{name}.biases": groups,
    }


def tensor_bytes(tensors: Mapping[str, TensorSpec]) -> int:
    """Bytes these tensors take in a file."""
    return sum(_ITEM_BYTES[spec.dtypes[0]] * math.prod(spec.shape) for spec in tensors.values())
