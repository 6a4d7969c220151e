"""What a file of tensors must hold, and typed configs from a checkpoint's JSON.

Owns how a tensor is described and how a JSON value becomes a bounded field. Which tensors a model has is said by the
model's own config. Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, TypeAlias

HALF = ("BF16", "F16")  # the floating types a checkpoint may store; computing in another type is the engine's choice
PACKED = ("U32",)
# Far beyond any checkpoint, and small enough that what is derived from them stays computable.
MAX_DIMENSION, MAX_LAYERS, MAX_LIST, MAX_FLOAT = 1 << 18, 1024, 16, 1e12
_ITEM_BYTES = {"U32": 4, "BF16": 2, "F16": 2, "I64": 8}
_LAYER_COUNTS = ("num_layers", "num_single_layers", "num_hidden_layers", "layers_per_block")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What one tensor of a file must look like; `dtypes` in safetensors' own spelling."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]


Tensors: TypeAlias = dict[str, TensorSpec]


class FromJson:
    """Build a config from a JSON object. Unknown keys are ignored and lists become tuples.

    Raises KeyError for a missing key, ValueError naming the key for a value of the wrong type or out of bounds.
    """

    __slots__ = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        known = {}
        for item in fields(cls):  # type: ignore[arg-type]
            if item.name in values:
                known[item.name] = _value(item.name, str(item.type), values[item.name])
            elif item.default is MISSING:
                raise KeyError(item.name)
        return cls(**known)


def _value(name: str, kind: str, value: object) -> Any:
    """A JSON value as what the field's annotation `kind` says."""
    if kind == "float":
        return positive_number(name, value)
    limit = MAX_LAYERS if name in _LAYER_COUNTS else MAX_DIMENSION
    if kind == "int":
        return whole_number(name, value, limit)
    length = kind.count("int") if "..." not in kind else None
    return whole_numbers(name, value, length, limit)


def whole_number(name: str, value: object, limit: int = MAX_DIMENSION) -> int:
    """`value` if it is an integer from 1 to `limit`; ValueError otherwise. JSON's true is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise ValueError(f"{name} must be a whole number from 1 to {limit}, not {_shown(value)}")
    return value


def whole_numbers(name: str, value: object, length: int | None = None, limit: int = MAX_DIMENSION) -> tuple[int, ...]:
    """A JSON list of integers from 1 to `limit` as a tuple, `length` of them if that is given; ValueError otherwise."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_LIST or length not in (None, len(value)):
        count = "some" if length is None else str(length)
        raise ValueError(f"{name} must be a list of {count} whole numbers, not {_shown(value)}")
    return tuple(whole_number(name, item, limit) for item in value)


def positive_number(name: str, value: object) -> float:
    """`value` as a finite float above zero; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_FLOAT:
        raise ValueError(f"{name} must be a finite number above 0, not {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
