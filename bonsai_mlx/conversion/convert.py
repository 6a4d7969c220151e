"""Write a checkpoint with its transformer in another precision: a tensor at a time, in steps that can be interrupted.

The linears of the blocks are packed, everything else stays bfloat16; VAE, tokenizer and, unless it is packed too, the
text encoder are hard links to the source's. A group that holds no more values than the packing has is packed without
loss, as an unpacked Bonsai's.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..errors import BonsaiError
from ..fileio import to_disk
from ..flux2.checkpoint import Checkpoint
from ..flux2.parts import gguf_file
from ..flux2.parts.config import TextEncoderConfig, TransformerConfig
from ..flux2.synthesis import SCHEDULER_CONFIG
from ..nn.layers import take
from ..weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE
from ..weights.spec import DENSE_BITS, Storage
from .layers import LayerValues, Target, Values, encoder_target, transformer_target

GROUP_SIZE = 128
ENCODER_GROUP_SIZE = 64  # of the published checkpoints
_OURS = ("bits", "group_size", "affine", "others")  # of a config, and in no config.json


@dataclass(frozen=True, slots=True)
class Converted:
    """One matrix that was packed; `error` is the root of the squared differences relative to that of the values."""

    name: str
    done: int
    total: int
    error: float


def convert(
    checkpoint: Checkpoint,
    out: Path,
    bits: int,
    group_size: int = GROUP_SIZE,
    *,
    affine: bool = False,
    encoder_bits: int | None = None,
) -> Iterator[Converted]:
    """Write `out`, a folder that is new or was begun by the same call; yields each matrix as it is done.

    With `affine` 2 bits have four values a group, or three where those lose less. The text encoder is packed if it has
    `encoder_bits`. BonsaiError if `out` holds something else; OSError for a full disk, after which the same call goes
    on.
    """
    config = packed_transformer(checkpoint.transformer, bits, group_size, affine=affine)
    folder = out / (PACKED.folder(TRANSFORMER) if bits < DENSE_BITS else TRANSFORMER)
    if (out / "model_index.json").exists() or (out.exists() and not folder.is_dir() and any(out.iterdir())):
        raise BonsaiError(f"{out}: there is something in it already; give a new folder")
    write_transformer_config(config, folder)
    files = [(TRANSFORMER, transformer_target(config), folder / PACKED.component(TRANSFORMER).weights)]
    if encoder_bits is not None:
        encoder, place = packed_encoder(checkpoint.text_encoder, encoder_bits), out / PACKED.folder(TEXT_ENCODER)
        write_encoder_config(encoder, checkpoint.folders[TEXT_ENCODER] / "config.json", place)
        files.append((TEXT_ENCODER, encoder_target(encoder), place / PACKED.component(TEXT_ENCODER).weights))
    done, total = 0, sum(len(target.told) for _, target, _ in files)
    for component, target, path in files:
        for layer, error in _written(checkpoint, component, target, path):
            yield Converted(layer, done + target.told.index(layer) + 1, total, error)
        done += len(target.told)
    _link_others(checkpoint, out, {TEXT_ENCODER} if encoder_bits else set())
    write_json(out / "model_index.json", index_of(checkpoint))  # last: a folder without it is not a checkpoint


def packed_transformer(config: TransformerConfig, bits: int, group_size: int, *, affine: bool) -> TransformerConfig:
    dense = bits >= DENSE_BITS
    config = replace(config, bits=bits, group_size=1 if dense else group_size, affine=affine, others={})
    if any(width % config.group_size for width in (config.dim, config.mlp_dim)):
        raise BonsaiError(f"the model's widths are no multiples of {group_size}; give another --group-size")
    return config


def packed_encoder(config: TextEncoderConfig, bits: int) -> TextEncoderConfig:
    config = replace(config, bits=bits, group_size=ENCODER_GROUP_SIZE)
    widths = config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim
    if any(width % ENCODER_GROUP_SIZE for width in widths):
        raise BonsaiError(f"the text encoder's widths are no multiples of {ENCODER_GROUP_SIZE}; leave it as it is")
    return config


def write_transformer_config(config: TransformerConfig, folder: Path) -> None:
    """config.json as diffusers has it, and beside it how the linears of the blocks are packed."""
    stated = {name: value for name, value in asdict(config).items() if name not in _OURS}
    stated = {"_class_name": "Flux2Transformer2DModel", "guidance_embeds": False, "patch_size": 1, **stated}
    write_json(folder / "config.json", stated)
    if config.bits < DENSE_BITS:
        packing = {"bits": config.bits, "group_size": config.group_size} | ({"affine": True} if config.affine else {})
        write_json(folder / "quantization_config.json", packing)


def write_encoder_config(config: TextEncoderConfig, said: Path, folder: Path) -> None:
    """config.json as mlx-lm has it: what the source's file `said`, if there is one, and how every matrix is packed."""
    stated = {name: value for name, value in asdict(config).items() if name not in _OURS}
    stated |= json.loads(said.read_text("utf-8")) if said.is_file() else {}
    packing = {"bits": config.bits, "group_size": config.group_size}
    write_json(folder / "config.json", stated | {"quantization": packing, "quantization_config": packing})


def _written(checkpoint: Checkpoint, component: str, target: Target, path: Path) -> Iterator[tuple[str, float]]:
    """The file, from where an earlier call stopped: whole layers, one after the other, in the order of the header."""
    if path.exists():
        return
    partial, source = path.with_name(f"{path.name}.partial"), checkpoint.load(component)
    pieces = checkpoint.sources[component].pieces()
    with target.open(partial) as file:
        reached, ends = file.seek(0, os.SEEK_END), [*target.offsets.values(), target.bytes][1:]
        for layer, end in zip(target.layers, ends, strict=True):
            if end <= reached:
                take(source, f"{layer}.")
                continue
            error = target.write(file, layer, _stored(checkpoint, component, layer), source, pieces)
            if layer in target.told:
                yield layer, error
        file.truncate(target.bytes)
        file.flush()
        to_disk(file.fileno())
    partial.replace(path)


def _stored(checkpoint: Checkpoint, component: str, layer: str) -> Storage:
    if component == TRANSFORMER:
        return checkpoint.transformer.storage(layer)
    return Storage(checkpoint.text_encoder.bits, checkpoint.text_encoder.group_size)


def _link_others(checkpoint: Checkpoint, out: Path, written: set[str]) -> None:
    for name in PACKED.documents:
        if (checkpoint.root / name).is_file() and not (out / name).exists():
            link_or_copy((checkpoint.root / name).resolve(), out / name)
    for component in (TEXT_ENCODER, VAE, TOKENIZER, SCHEDULER):
        if component in written:
            continue
        folder = checkpoint.folders.get(component)
        if folder is None:
            write_json(out / SCHEDULER / "scheduler_config.json", SCHEDULER_CONFIG)
            continue
        target = out / folder.name
        target.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.is_file() and not (target / path.name).exists():
                link_or_copy(path.resolve(), target / path.name)


def link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):  # another disk, or one without hard links
        target.hardlink_to(source)
        return
    shutil.copyfile(source, target)


def index_of(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "_class_name": "Flux2KleinPipeline",
        "is_distilled": checkpoint.distilled,
        "text_encoder_out_layers": list(checkpoint.prompt_layers),
        "max_sequence_length": checkpoint.max_sequence_length,
        "recommended_steps": checkpoint.recommended_steps,
        "recommended_size": list(checkpoint.recommended_size),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
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
        held = LayerValues(config.storage(name), source, name)
        return held[slice(0, held.rows)]

    for name, done, total, error in gguf_file.write(path, config, stored, values, blocks=blocks, rest=rest):
        yield Converted(name, done, total, error)
