"""Write a transformer as a GGUF file: binary and ternary linears as Q1_0 and Q2_0, exactly, others as Q8_0 or bfloat16.

Names are Black Forest Labs', as other programs read them: q, k and v in one tensor, the last modulation's halves in
their order. Where a tensor's bytes go is known before any is read, so that one is in memory at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BonsaiError
from ...weights import gguf
from ...weights.random import to_bfloat16
from .config import TransformerConfig
from .naming import DOUBLE, FUSED, REST, SINGLE, SWAPPED

_ALIGNMENT = 32
_KEPT = {(1, 128): "Q1_0", (2, 64): "Q2_0", (2, 128): "Q2_0"}  # by bits and group
_NUMBERS = {kind.name: number for number, kind in gguf.TYPES.items()}
Values = NDArray[np.float32]
Stored = Callable[[str], dict[str, NDArray[Any]]]  # a layer's tensors by kind; scales and biases as float32


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    layers: tuple[str, ...]  # ours, one below the other
    shape: tuple[int, ...]
    kind: gguf.Type
    packed: bool = False  # as it is stored

    @property
    def size(self) -> int:
        return int(np.prod(self.shape)) // self.kind.weights * self.kind.size


def write(
    path: Path, config: TransformerConfig, stored: Stored, values: Callable[[str], Values], *, blocks: str, rest: str
) -> Iterator[tuple[str, int, int, float]]:
    """Yields each tensor's name, how many are done, of how many, and its relative error.

    `blocks` and `rest` are types' names; no `blocks` means that those stay as they are packed. BonsaiError for a scale
    that float16 cannot hold, or a linear that is packed in another way.
    """
    entries = list(_entries(config, blocks, rest))
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(_header(entries))
        for done, entry in enumerate(entries, 1):
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            error = 0.0
            for name in entry.layers:
                if entry.packed:
                    file.write(_packed(entry, stored(name)))
                    continue
                wanted = values(name)
                halves = np.split(wanted, 2)[::-1] if entry.name.startswith(tuple(SWAPPED)) else [wanted]
                data, lost = _written(np.ascontiguousarray(np.concatenate(halves)), entry.kind.name)
                file.write(data)
                error = max(error, lost)
            yield entry.name, done, len(entries), error
    partial.replace(path)


def _entries(config: TransformerConfig, blocks: str, rest: str) -> Iterator[_Entry]:
    tensors, linears = config.tensors(), config.linears()

    def entry(theirs: str, *layers: str) -> _Entry:
        stored, shape = config.storage(layers[0]), linears.get(layers[0], tensors[f"{layers[0]}.weight"].shape)
        inside = "transformer_blocks." in layers[0]
        kind, packed = "BF16", False
        if len(shape) == 2:
            kind = blocks if inside else rest
            if not kind and stored.packed:
                kind, packed = _KEPT.get((stored.bits, stored.group_size), ""), True
                if not kind:
                    have = f"{layers[0]} has {stored.bits} bits in groups of {stored.group_size}"
                    raise BonsaiError(f"{have}; a GGUF is written of binary, ternary, 8-bit and bf16 weights")
            kind = kind or "BF16"
            if kind == "Q8_0" and shape[1] % gguf.BY_NAME[kind].weights:
                kind = "BF16"
        return _Entry(theirs, layers, (shape[0] * len(layers), *shape[1:]), gguf.BY_NAME[kind], packed)

    for theirs, ours in {**REST, **SWAPPED}.items():
        yield entry(f"{theirs}.weight", ours)
    for kind, block, count, names in (
        ("double", "transformer_blocks", config.num_layers, DOUBLE),
        ("single", "single_transformer_blocks", config.num_single_layers, SINGLE),
    ):
        for index in range(count):
            for theirs, ours in names.items():
                suffix = "scale" if ".norm." in f".{theirs}" else "weight"
                yield entry(f"{kind}_blocks.{index}.{theirs}.{suffix}", f"{block}.{index}.{ours}")
            for theirs, parts in FUSED.items() if kind == "double" else ():
                yield entry(f"{kind}_blocks.{index}.{theirs}.weight", *(f"{block}.{index}.{part}" for part in parts))


def _header(entries: list[_Entry]) -> bytes:
    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words.encode())) + words.encode()

    parts = [struct.pack("<4sIQQ", gguf.MAGIC, 3, len(entries), 1)]
    parts.append(text("general.architecture") + struct.pack("<I", 8) + text("flux"))
    offset = 0
    for entry in entries:
        shape = tuple(reversed(entry.shape))
        parts.append(text(entry.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
        parts.append(struct.pack("<IQ", _NUMBERS[entry.kind.name], offset))
        offset += -(-entry.size // _ALIGNMENT) * _ALIGNMENT
    return b"".join(parts)


def _written(values: Values, kind: str) -> tuple[bytes, float]:
    """Values as BF16 or Q8_0, and the error of those relative to them."""
    if kind == "BF16":
        half = to_bfloat16(values)
        return half.tobytes(), _error(values, (half.astype(np.uint32) << np.uint32(16)).view(np.float32))
    blocks = values.reshape(len(values), -1, gguf.BY_NAME["Q8_0"].weights)
    factor = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        inverse, half = np.where(factor == 0, 0, 1 / factor).astype(np.float32), factor.astype(np.float16)
    if not np.isfinite(half).all():
        raise BonsaiError("a value is too large for Q8_0, whose scales are float16")
    scaled = blocks * inverse
    codes = (np.trunc(np.abs(scaled) + np.float32(0.5)) * np.sign(scaled)).astype(np.int8)  # as the format's own code
    data = np.concatenate([half.view(np.uint8).reshape(*half.shape[:2], 2), codes.view(np.uint8)], axis=-1)
    return data.tobytes(), _error(blocks, codes * half.astype(np.float32))


def _error(values: Values, found: Values) -> float:
    size = float(np.square(values, dtype=np.float64).sum())
    return float(np.sqrt(np.square(values - found, dtype=np.float64).sum() / size)) if size else 0.0


def _packed(entry: _Entry, tensors: dict[str, NDArray[Any]]) -> bytes:
    weight = tensors["weight"]
    scales, codes = tensors["scales"], weight.view(np.uint8).reshape(-1, 16)
    if not np.array_equal(tensors["biases"], -scales / (2 if entry.kind.name == "Q1_0" else 1)):
        raise BonsaiError(f"{entry.layers[0]} is neither binary nor ternary")
    factors = scales / 2 if entry.kind.name == "Q1_0" else scales
    each = np.repeat(factors.reshape(-1), len(codes) // factors.size)
    with np.errstate(over="ignore"):
        half = each.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), each):
        raise BonsaiError(f"{entry.layers[0]} has a scale that float16, and so a GGUF, cannot hold exactly")
    return np.concatenate([half.view(np.uint8).reshape(-1, 2), codes], axis=1).tobytes()
