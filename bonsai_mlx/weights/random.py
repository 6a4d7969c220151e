"""Random weights for the tensors a config implies, streamed into safetensors files.

Owns how each kind of tensor is filled and a safetensors writer that holds one chunk at a time, so that a checkpoint of
several gigabytes is written in a few hundred megabytes of memory. Which tensors there are is said by a
model's config; folders and presets are for `flux2.synthesis`. Needs no MLX: numpy is enough, with bfloat16 as the upper
half of a float32.

Values are drawn so that activations stay finite and near 1 in size through the whole network, and each tensor has its
own random stream, named after it: a tensor depends on the seed, its name and its shape, never on the order of writing.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .spec import Tensors, TensorSpec

Fill = Callable[[np.random.Generator, int], NDArray[Any]]  # (stream, count) -> the next `count` stored values, flat

_STORAGE: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U32": np.dtype("<u4"),
    "BF16": np.dtype("<u2"),
}
_CHUNK_VALUES = 8_000_000
_MODULATION_GAIN = 2.5  # makes gates, scales and shifts about 0.5: too large to be mistaken for zero
_IMAGE_GAIN = 0.6  # keeps nearly all pixels inside the range, so that clipping hides nothing
# Per bits: (unit for a standard deviation of 1, scale in units, bias in units), where value = code * scale + bias.
# {-s, +s}; {-s, 0, +s}; levels around zero, 4.61 of 16 and 73.9 of 256 to the standard deviation.
_QUANTIZED = {
    1: (1.0, 2.0, -1.0),
    2: (math.sqrt(1.5), 1.0, -1.0),
    3: (1 / 2.29, 1.0, -3.5),
    4: (1 / 4.61, 1.0, -7.5),
    6: (1 / 18.5, 1.0, -31.5),
    8: (1 / 73.9, 1.0, -127.5),
}
# The 81 bytes whose four 2-bit codes are all 0, 1 or 2, spread over 256 entries: random bytes become ternary codes.
_TERNARY_BYTES = np.resize(
    np.array([b for b in range(256) if all(b >> shift & 3 != 3 for shift in (0, 2, 4, 6))], dtype=np.uint8), 256
)


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of float32 values rounded to bfloat16, to nearest and ties to even. Any shape; finite values only."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def write_random_weights(path: Path, tensors: Tensors, *, bits: int | None, seed: int, writer: str | None) -> None:
    """Write the tensors to `path` with random values; packed matrices have codes of `bits` bits.

    `writer` is the "format" the file names in its header: "pt", "mlx" or None. Wider types come first, then the order
    is by name, as the safetensors library writes them. That library pads its header to 8 bytes; MLX does not, so the
    tensors of an "mlx" file may start anywhere.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: (-_storage(item[1]).itemsize, item[0])))
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(_header(ordered, writer))
        for name in ordered:
            for chunk in _chunks(name, ordered, bits, seed):
                file.write(chunk.data)
    partial.replace(path)


def _header(tensors: Tensors, writer: str | None) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": writer}} if writer else {}
    offset = 0
    for name, spec in tensors.items():
        end = offset + math.prod(spec.shape) * _storage(spec).itemsize
        entries[name] = {"dtype": spec.dtypes[0], "shape": spec.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    if writer != "mlx":
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _chunks(name: str, tensors: Tensors, bits: int | None, seed: int) -> Iterator[NDArray[Any]]:
    spec = tensors[name]
    random = np.random.Generator(np.random.SFC64([seed, zlib.crc32(_stream(name).encode())]))
    fill, total = _fill(name, tensors, bits), math.prod(spec.shape)
    for start in range(0, total, _CHUNK_VALUES):
        values = fill(random, min(_CHUNK_VALUES, total - start))
        if spec.dtypes[0] == "F32":  # of bfloat16 values, the upper half
            values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        yield np.ascontiguousarray(values, dtype=_storage(spec))


def _storage(spec: TensorSpec) -> np.dtype[Any]:
    return _STORAGE[spec.dtypes[0]]


def _stream(name: str) -> str:
    """Which random stream a tensor reads. A bias is made from its scale, so the two read the same one."""
    return name.removesuffix(".biases") + ".scales" if name.endswith(".biases") else name


def _fill(name: str, tensors: Tensors, bits: int | None) -> Fill:
    spec = tensors[name]
    layer, _, kind = name.rpartition(".")
    if spec.dtypes[0] == "I64":  # a counter of no consequence
        return _zeros
    if spec.dtypes[0] == "U32":
        return _ternary_codes if bits == 2 else _random_codes
    if kind in ("scales", "biases"):
        return _scales_or_biases(layer, kind, tensors, bits)
    if kind in ("bias", "running_mean"):
        return _normal(0.1 if kind == "bias" else 0.5)
    if kind == "running_var":
        return _positive(0.5)
    if len(spec.shape) == 1:  # the weight of a norm
        return _normal(0.1, mean=1.0)
    return _normal(_gain(layer) / math.sqrt(math.prod(spec.shape[1:])))


def _gain(layer: str) -> float:
    if "modulation" in layer or layer == "norm_out.linear":
        return _MODULATION_GAIN
    return _IMAGE_GAIN if layer == "decoder.conv_out" else 1.0


def _scales_or_biases(layer: str, kind: str, tensors: Tensors, bits: int | None) -> Fill:
    """For values of standard deviation 1/sqrt(inputs), and 1 for an embedding, whose rows are not summed."""
    if bits is None:
        raise ValueError(f"{layer} is packed, but no number of bits was given")
    unit, scale, bias = _QUANTIZED[bits]
    inputs = tensors[f"{layer}.weight"].shape[1] * 32 // bits
    std = 1.0 if layer.endswith("embed_tokens") else 1 / math.sqrt(inputs)
    return _near(unit * std, scale if kind == "scales" else bias)


def _near(size: float, factor: float) -> Fill:
    """`factor` times bfloat16 magnitudes within 30 % of `size`; equal streams give equal magnitudes."""

    def fill(random: np.random.Generator, count: int) -> NDArray[np.uint16]:
        magnitude = to_bfloat16(np.float32(size) * (np.float32(0.7) + np.float32(0.6) * _uniform(random, count)))
        return to_bfloat16((magnitude.astype(np.uint32) << np.uint32(16)).view(np.float32) * np.float32(factor))

    return fill


def _normal(std: float, mean: float = 0.0) -> Fill:
    def fill(random: np.random.Generator, count: int) -> NDArray[np.uint16]:
        return to_bfloat16(random.standard_normal(count, dtype=np.float32) * np.float32(std) + np.float32(mean))

    return fill


def _positive(spread: float) -> Fill:
    def fill(random: np.random.Generator, count: int) -> NDArray[np.uint16]:
        return to_bfloat16(np.exp(random.standard_normal(count, dtype=np.float32) * np.float32(spread)))

    return fill


def _uniform(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    return random.random(count, dtype=np.float32)


def _random_codes(random: np.random.Generator, count: int) -> NDArray[np.uint32]:
    return np.frombuffer(random.bytes(4 * count), dtype="<u4")


def _ternary_codes(random: np.random.Generator, count: int) -> NDArray[np.uint32]:
    return _TERNARY_BYTES[np.frombuffer(random.bytes(4 * count), dtype=np.uint8)].view("<u4")


def _zeros(_: np.random.Generator, count: int) -> NDArray[np.int64]:
    return np.zeros(count, dtype=np.int64)
