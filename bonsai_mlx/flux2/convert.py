"""Write a checkpoint with its transformer in another precision: a tensor at a time, in steps that can be interrupted.

The linears of the blocks are packed, everything else stays bfloat16; text encoder, VAE and tokenizer are hard links to
the source's. A group that holds no more values than the packing has is packed without loss, as an unpacked Bonsai's.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..errors import BonsaiError
from ..nn.layers import take
from ..weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE
from ..weights.packing import pack
from ..weights.random import to_bfloat16
from ..weights.spec import DENSE_BITS, Storage, Tensors, TensorSpec
from .blocks import make_linear
from .checkpoint import Checkpoint
from .parts import gguf_file
from .parts.config import TransformerConfig
from .synthesis import SCHEDULER_CONFIG

GROUP_SIZE = 128
_OURS = ("bits", "group_size", "affine", "others")  # of a config, and in no config.json
_BLOCK_VALUES = 1 << 24  # of a matrix that are in memory as float32 at a time: 64 MB
_LETS_FALL = 0.7  # of the mean size: what is smaller becomes 0 among three values (arXiv:1605.04711)
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Converted:
    """One matrix that was packed; `error` is the root of the squared differences relative to that of the values."""

    name: str
    done: int
    total: int
    error: float


def convert(
    checkpoint: Checkpoint, out: Path, bits: int, group_size: int = GROUP_SIZE, *, affine: bool = False
) -> Iterator[Converted]:
    """Write `out`, a folder that is new or was begun by the same call; yields each matrix as it is done.

    With `affine` 2 bits have four values a group, or three where those lose less. BonsaiError if `out` holds something
    else; OSError for a full disk, after which the same call goes on.
    """
    dense = bits >= DENSE_BITS
    config = replace(checkpoint.transformer, bits=bits, group_size=1 if dense else group_size, affine=affine, others={})
    if any(width % config.group_size for width in (config.dim, config.mlp_dim)):
        raise BonsaiError(f"the model's widths are no multiples of {group_size}; give another --group-size")
    folder = out / (TRANSFORMER if dense else PACKED.folder(TRANSFORMER))
    if (out / "model_index.json").exists() or (out.exists() and not folder.is_dir() and any(out.iterdir())):
        raise BonsaiError(f"{out}: there is something in it already; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _stated(config))
    if not dense:
        packing = {"bits": bits, "group_size": group_size} | ({"affine": True} if affine else {})
        _write_json(folder / "quantization_config.json", packing)
    yield from _transformer(checkpoint, config, folder / PACKED.component(TRANSFORMER).weights)
    _link_others(checkpoint, out)
    _write_json(out / "model_index.json", _index(checkpoint))  # last: a folder without it is not a checkpoint


def _transformer(checkpoint: Checkpoint, config: TransformerConfig, path: Path) -> Iterator[Converted]:
    """The file, from where an earlier call stopped: whole layers, one after the other, in the order of the header."""
    layers, partial = _layers(config.tensors()), path.with_name(f"{path.name}.partial")
    header = _header({name: spec for tensors in layers.values() for name, spec in tensors.items()})
    if path.exists():
        return
    begun = partial.exists() and partial.read_bytes()[: len(header)] == header
    with partial.open("r+b" if begun else "w+b") as file:
        if not begun:
            file.write(header)
        reached, written = file.seek(0, os.SEEK_END), len(header)
        total = sum(len(tensors) > 1 for tensors in layers.values()) or len(layers)
        source, done = checkpoint.load(TRANSFORMER), 0
        for layer, tensors in layers.items():
            size = sum(_size(spec) for spec in tensors.values())
            packed = len(tensors) > 1
            done += packed or total == len(layers)
            if written + size <= reached:
                take(source, f"{layer}.")
            else:
                file.seek(written)
                error = _write_layer(file, _Values(checkpoint.transformer, source, layer), config, layer, tensors)
                if packed or total == len(layers):
                    yield Converted(layer, done, total, error)
            written += size
        file.truncate(written)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _layers(tensors: Tensors) -> dict[str, Tensors]:
    layers: dict[str, Tensors] = {}
    for name, spec in tensors.items():
        layers.setdefault(name.rpartition(".")[0], {})[name] = replace(spec, dtypes=spec.dtypes[:1])
    return layers


class _Values:
    """The values of one layer of the source, some rows at a time."""

    def __init__(self, config: TransformerConfig, source: dict[str, mx.array], layer: str) -> None:
        self._tensors = take(source, f"{layer}.")
        weight, stored = self._tensors["weight"], config.storage(layer)
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


def _write_layer(file: BinaryIO, values: _Values, config: TransformerConfig, layer: str, tensors: Tensors) -> float:
    stored = config.storage(layer)
    parts: list[tuple[NDArray[Any], ...]] = []
    squares = differences = 0.0
    columns = next(iter(tensors.values())).shape[-1] if len(tensors) == 1 else 0
    columns = columns or tensors[f"{layer}.scales"].shape[1] * stored.group_size
    step = max(1, _BLOCK_VALUES // columns)
    for start in range(0, values.rows, step):
        block = values[slice(start, min(start + step, values.rows))]
        if len(tensors) == 1:
            half = to_bfloat16(np.ascontiguousarray(block))
            parts.append((half,))
            back = (half.astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            codes, scales, biases = packed_values(block, stored.bits, stored.group_size, affine=config.affine)
            parts.append((pack(codes, stored.bits), *(to_bfloat16(part) for part in (scales, biases))))
            grouped = codes.reshape(*scales.shape, -1).astype(np.float32)
            back = (grouped * scales[..., None] + biases[..., None]).reshape(block.shape)
        squares += float(np.square(block, dtype=np.float64).sum())
        differences += float(np.square(block - back, dtype=np.float64).sum())
        mx.clear_cache()
    for column in zip(*parts, strict=True):
        for part in column:
            file.write(np.ascontiguousarray(part).data)
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


def _size(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape)) * (4 if spec.dtypes[0] == "U32" else 2)


def _header(tensors: Tensors) -> bytes:
    entries: dict[str, Any] = {}
    offset = 0
    for name, spec in tensors.items():
        end = offset + _size(spec)
        entries[name] = {"dtype": spec.dtypes[0], "shape": spec.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _link_others(checkpoint: Checkpoint, out: Path) -> None:
    for component in (TEXT_ENCODER, VAE, TOKENIZER, SCHEDULER):
        folder = checkpoint.folders.get(component)
        if folder is None:
            _write_json(out / SCHEDULER / "scheduler_config.json", SCHEDULER_CONFIG)
            continue
        target = out / folder.name
        target.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.is_file() and not (target / path.name).exists():
                _link_or_copy(path.resolve(), target / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):  # another disk, or one without hard links
        target.hardlink_to(source)
        return
    shutil.copyfile(source, target)


def _stated(config: TransformerConfig) -> dict[str, Any]:
    """config.json as diffusers has it."""
    stated = {name: value for name, value in asdict(config).items() if name not in _OURS}
    return {"_class_name": "Flux2Transformer2DModel", "guidance_embeds": False, "patch_size": 1, **stated}


def _index(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "_class_name": "Flux2KleinPipeline",
        "is_distilled": checkpoint.distilled,
        "text_encoder_out_layers": list(checkpoint.prompt_layers),
        "max_sequence_length": checkpoint.max_sequence_length,
        "recommended_steps": checkpoint.recommended_steps,
        "recommended_size": list(checkpoint.recommended_size),
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_gguf(checkpoint: Checkpoint, path: Path, *, blocks: str = "", rest: str = "BF16") -> Iterator[Converted]:
    """The transformer alone as a GGUF file, see `parts.gguf_file`; yields each of its tensors as it is done.

    `blocks` and `rest` are "Q8_0" or "BF16", for the linears of the blocks and for the other matrices; without `blocks`
    those stay packed as they are. BonsaiError for weights that cannot be written so.
    """
    source, config = checkpoint.load(TRANSFORMER), checkpoint.transformer

    def stored(name: str) -> dict[str, NDArray[Any]]:
        tensors = take(source, f"{name}.")
        return {
            kind: np.array(tensor if tensor.dtype == mx.uint32 else tensor.astype(mx.float32))
            for kind, tensor in tensors.items()
        }

    def values(name: str) -> Values:
        held = _Values(config, source, name)
        return held[slice(0, held.rows)]

    for name, done, total, error in gguf_file.write(path, config, stored, values, blocks=blocks, rest=rest):
        yield Converted(name, done, total, error)
