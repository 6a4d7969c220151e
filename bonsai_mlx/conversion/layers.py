"""The layers of a component as they are written: their order in the file, their values, and how those are packed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeAlias

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..fileio import open_regular
from ..flux2.blocks import make_linear
from ..flux2.parts.config import TextEncoderConfig, TransformerConfig
from ..nn.layers import take
from ..weights.packing import pack
from ..weights.random import to_bfloat16
from ..weights.source import Piece, Pieces
from ..weights.spec import Storage, Tensors, TensorSpec

_BLOCK_VALUES = 1 << 22  # of a matrix that are in memory as float32 at a time: 16 MB
_LETS_FALL = 0.7  # of the mean size: what is smaller becomes 0 among three values (arXiv:1605.04711)
Values = NDArray[np.float32]


class Target:
    """How a component's file is to be: its layers in their order, where each begins, and how its matrix is stored."""

    def __init__(self, tensors: Tensors, storage: Callable[[str], Storage], *, affine: bool = False) -> None:
        self.storage, self.affine = storage, affine
        self.layers: dict[str, Tensors] = {}
        for name, spec in tensors.items():
            self.layers.setdefault(name.rpartition(".")[0], {})[name] = replace(spec, dtypes=spec.dtypes[:1])
        self.header = _header({name: spec for layer in self.layers.values() for name, spec in layer.items()})
        self.offsets: dict[str, int] = {}
        self.bytes = len(self.header)
        for layer, parts in self.layers.items():
            self.offsets[layer] = self.bytes
            self.bytes += sum(map(_bytes_of, parts.values()))
        self.packed = [layer for layer, parts in self.layers.items() if len(parts) > 1]
        self.told = self.packed or list(self.layers)  # what somebody who waits is told of

    def is_begun(self, path: Path) -> bool:
        if not path.exists():
            return False
        with path.open("rb") as file:
            return file.read(len(self.header)) == self.header

    def open(self, path: Path) -> BinaryIO:
        """The file at `path` as it was left, or a new one where another is there or none."""
        begun = self.is_begun(path)
        file = path.open("r+b" if begun else "w+b")
        if not begun:
            file.write(self.header)
        return file

    def write(
        self, file: BinaryIO, layer: str, stored: Storage, source: dict[str, mx.array], pieces: Pieces | None = None
    ) -> float:
        """Put a layer into its place; returns the error, see `Converted`. `stored`: as it is in the source.

        With the `pieces` that the source is made of, a matrix is read some rows at a time.
        """
        piece = (pieces or {}).get(f"{layer}.weight")
        if piece is not None and FileValues.can_read(piece):
            take(source, f"{layer}.")
            values: FileValues | LayerValues = FileValues(piece)
        else:
            values = LayerValues(stored, source, layer)
        begin, begins = self.offsets[layer], []
        for spec in self.layers[layer].values():
            begins.append(begin)
            begin += _bytes_of(spec)
        tensors = self.layers[layer]
        return _write_layer(file, begins, values, self.storage(layer), layer, tensors, affine=self.affine)


def encoder_target(config: TextEncoderConfig) -> Target:
    return Target(config.tensors(), lambda _: Storage(config.bits, config.group_size))


def transformer_target(config: TransformerConfig) -> Target:
    return Target(config.tensors(), config.storage, affine=config.affine)


def _bytes_of(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape)) * (4 if spec.dtypes[0] == "U32" else 2)


def _header(tensors: Tensors) -> bytes:
    entries: dict[str, Any] = {}
    offset = 0
    for name, spec in tensors.items():
        end = offset + _bytes_of(spec)
        entries[name] = {"dtype": spec.dtypes[0], "shape": spec.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class LayerValues:
    """The values of one layer of the source, some rows at a time."""

    def __init__(self, stored: Storage, source: dict[str, mx.array], layer: str) -> None:
        self._tensors = take(source, f"{layer}.")
        weight = self._tensors["weight"]
        self._linear = None
        if stored.packed and weight.ndim == 2:
            self._linear = make_linear(stored.group_size, 1, stored)
            self._linear.load_weights(list(self._tensors.items()), strict=False)
        self.rows = weight.shape[0]

    def __getitem__(self, rows: slice) -> Values:
        if self._linear is None:
            values = self._tensors["weight"][rows].astype(mx.float32)
        else:
            values = self._linear.dequantized(rows.start, rows.stop)
        return np.array(values)


class FileValues:
    """The values of one tensor as its file has them, some rows at a time: the whole of it is never in memory."""

    _TYPES: ClassVar = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}

    def __init__(self, piece: Piece) -> None:
        self._stored, self.rows = piece.stored, piece.shape[0]
        self._type = np.dtype(self._TYPES[piece.stored.dtype])

    @classmethod
    def can_read(cls, piece: Piece) -> bool:
        plain = piece.form == "plain" and not piece.rows and not piece.beside
        return plain and piece.stored.dtype in cls._TYPES and piece.stored.path.suffix == ".safetensors"

    def __getitem__(self, rows: slice) -> Values:
        shape = (rows.stop - rows.start, *self._stored.shape[1:])
        row_bytes = self._type.itemsize * math.prod(shape[1:])
        with open_regular(self._stored.path, follow_symlinks=True) as file:
            file.seek(self._stored.offset + rows.start * row_bytes)
            data = file.read(row_bytes * shape[0])
        found = np.frombuffer(data, self._type).reshape(shape)
        if self._type == np.uint16:
            return (found.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return found.astype(np.float32)


def _write_layer(
    file: BinaryIO,
    begins: Sequence[int],
    values: FileValues | LayerValues,
    stored: Storage,
    layer: str,
    tensors: Tensors,
    *,
    affine: bool,
) -> float:
    """`begins`: where each of the layer's tensors begins in the file. Written block by block, the last last."""
    squares = differences = 0.0
    columns = next(iter(tensors.values())).shape[-1] if len(tensors) == 1 else 0
    columns = columns or tensors[f"{layer}.scales"].shape[1] * stored.group_size
    step = max(1, _BLOCK_VALUES // columns)
    for start in range(0, values.rows, step):
        block = values[slice(start, min(start + step, values.rows))]
        if len(tensors) == 1:
            half = to_bfloat16(np.ascontiguousarray(block))
            parts: tuple[NDArray[Any], ...] = (half,)
            back = (half.astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            codes, scales, biases = packed_values(block, stored.bits, stored.group_size, affine=affine)
            parts = (pack(codes, stored.bits), *(to_bfloat16(part) for part in (scales, biases)))
            grouped = codes.reshape(*scales.shape, -1).astype(np.float32)
            back = (grouped * scales[..., None] + biases[..., None]).reshape(block.shape)
        squares += float(np.square(block, dtype=np.float64).sum())
        differences += float(np.square(block - back, dtype=np.float64).sum())
        for begin, part in zip(begins, parts, strict=True):
            file.seek(begin + start * part[0].nbytes)
            file.write(np.ascontiguousarray(part).data)
        mx.clear_cache()
    return float(np.sqrt(differences / squares)) if squares else 0.0


def packed_values(
    values: Values, bits: int, group_size: int, *, affine: bool = False
) -> tuple[NDArray[np.uint8], Values, Values]:
    """Codes [rows, inputs] and, for each group, scale and bias that are bfloat16: value = code * scale + bias.

    1 and 2 bits are binary {-s, s} and ternary {-s, 0, s}, more are as `mx.quantize` has them. With `affine` 2 bits are
    as that has them too, in groups that lose less by it.
    """
    if bits > 2:
        return _affine(values, bits, group_size)
    if bits == 2 and affine:
        return _nearer(values, packed_values(values, 2, group_size), _affine(values, 2, group_size))
    groups = values.reshape(len(values), -1, group_size)
    sizes = np.abs(groups)
    if bits == 1:
        scale = _rounded(sizes.mean(axis=-1))
        return (groups >= 0).astype(np.uint8).reshape(values.shape), 2 * scale, -scale
    kept = sizes > _LETS_FALL * sizes.mean(axis=-1, keepdims=True)
    scale = _rounded((sizes * kept).sum(axis=-1) / np.maximum(kept.sum(axis=-1), 1).astype(np.float32))
    codes = np.where(kept, np.where(groups > 0, 2, 0), 1).astype(np.uint8)
    return codes.reshape(values.shape), scale, -scale


Packed: TypeAlias = tuple[NDArray[np.uint8], Values, Values]


def _nearer(values: Values, first: Packed, second: Packed) -> Packed:
    """Group by group, the one that is nearer to the values; the first where both are as near."""
    shape = first[1].shape
    errors = [
        np.square(values.reshape(*shape, -1) - (codes.reshape(*shape, -1) * scale[..., None] + bias[..., None])).sum(-1)
        for codes, scale, bias in (first, second)
    ]
    better = errors[1] < errors[0]
    codes = np.where(better[..., None], second[0].reshape(*shape, -1), first[0].reshape(*shape, -1))
    scale, bias = (np.where(better, second[part], first[part]) for part in (1, 2))
    return codes.reshape(values.shape), scale, bias


def _affine(values: Values, bits: int, group_size: int) -> tuple[NDArray[np.uint8], Values, Values]:
    words, scales, biases = mx.quantize(mx.array(values).astype(mx.bfloat16), group_size=group_size, bits=bits)
    linear = make_linear(group_size, 1, Storage(bits, group_size))
    linear.weight, linear.scales, linear.biases = words, mx.ones(scales.shape), mx.zeros(scales.shape)
    codes = np.array(linear.dequantized()).astype(np.uint8)
    scale, bias = (np.array(part.astype(mx.float32)) for part in (scales, biases))
    return codes, scale, bias


def _rounded(values: Values) -> Values:
    """To bfloat16."""
    return (to_bfloat16(np.ascontiguousarray(values)).astype(np.uint32) << np.uint32(16)).view(np.float32)
