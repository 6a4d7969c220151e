"""Write a transformer as a GGUF file: binary and ternary linears as Q1_0 and Q2_0, exactly, all else as bfloat16.

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
_NUMBERS = {kind.name: number for number, kind in gguf.TYPES.items()}
Layer = Callable[[str], dict[str, NDArray[Any]]]  # a layer's tensors by kind; scales, biases and floats as float32


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    layers: tuple[str, ...]  # ours, one below the other
    shape: tuple[int, ...]
    kind: gguf.Type

    @property
    def size(self) -> int:
        return int(np.prod(self.shape)) // self.kind.weights * self.kind.size


def write(path: Path, config: TransformerConfig, layer: Layer) -> None:
    """BonsaiError for a scale that float16 cannot hold, or a linear that is packed in another way."""
    entries = list(_entries(config))
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(_header(entries))
        for entry in entries:
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            for name in entry.layers:
                file.write(_content(entry, layer(name), swapped=entry.name.startswith(tuple(SWAPPED))))
    partial.replace(path)


def _entries(config: TransformerConfig) -> Iterator[_Entry]:
    tensors = config.tensors()

    def entry(theirs: str, *layers: str) -> _Entry:
        stored = config.storage(layers[0])
        spec = tensors[f"{layers[0]}.weight"].shape
        kind = "BF16"
        if stored.packed and len(spec) == 2:
            kind = {(1, 128): "Q1_0", (2, 64): "Q2_0", (2, 128): "Q2_0"}.get((stored.bits, stored.group_size), "")
            spec = (spec[0], spec[1] * 32 // stored.bits)
        if not kind:
            raise BonsaiError(
                f"{layers[0]} has {stored.bits} bits; a GGUF is written of binary, ternary and bf16 weights"
            )
        return _Entry(theirs, layers, (spec[0] * len(layers), *spec[1:]), gguf.BY_NAME[kind])

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


def _content(entry: _Entry, tensors: dict[str, NDArray[Any]], *, swapped: bool) -> bytes:
    weight = tensors["weight"]
    if entry.kind.name == "BF16":
        halves = np.split(weight, 2)[::-1] if swapped else [weight]
        return to_bfloat16(np.ascontiguousarray(np.concatenate(halves))).tobytes()
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
