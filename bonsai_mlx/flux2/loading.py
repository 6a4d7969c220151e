"""Where the transformer's blocks come from: memory, or the disk each time one is reached.

A block is read from the checkpoint, cut for the cores of a CPU (see `nn.shards`), fused, and handed over. Heads are cut
through q, k and v, channels of the MLP through gate and value; what a part makes of them is one term of the output,
because the projection back is cut by its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, Protocol

import mlx.core as mx
from mlx.utils import tree_unflatten

from ..adapters.active import ActiveAdapters
from ..nn.composed import Adapted
from ..nn.layers import read, take
from ..nn.limits import share_count
from ..nn.linear import Linear, StoredLinear
from ..nn.shards import Sharded, Share, cut
from ..runtime import device
from ..weights.layout import TRANSFORMER
from .blocks import DoubleStreamBlock, JointAttention, SingleStreamBlock, make_linear
from .checkpoint import Checkpoint
from .parts.config import TransformerConfig

HALF_BYTES = 2  # of a value of the types that a GPU computes with


class Blocks(Protocol):
    """Where a step takes its blocks from, by their place."""

    def double(self, index: int) -> DoubleStreamBlock: ...

    def single(self, index: int) -> SingleStreamBlock: ...


class StoredBlocks:
    """Blocks that are read from the checkpoint's file when they are asked for, each once."""

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, adapters: ActiveAdapters | None = None) -> None:
        self._config, self._dtype, self._adapters = checkpoint.transformer, dtype, adapters
        self._tensors = checkpoint.load(TRANSFORMER)

    def double(self, index: int) -> DoubleStreamBlock:
        block = DoubleStreamBlock(self._config)
        self._load(block, f"transformer_blocks.{index}.")
        return block

    def single(self, index: int) -> SingleStreamBlock:
        block = SingleStreamBlock(self._config)
        self._load(block, f"single_transformer_blocks.{index}.")
        return block

    def replace_linears(self, block: DoubleStreamBlock | SingleStreamBlock, prefix: str) -> None:
        """Called with each block, whole and still on the disk, and the prefix of its names: for others than stored."""

    def _fit(self, block: DoubleStreamBlock | SingleStreamBlock, prefix: str) -> None:
        """Linears of their own kind for the few that are not stored as most of the blocks' are."""
        for name, linear in block.named_modules():
            if isinstance(linear, StoredLinear) and prefix + name in self._config.others:
                stored = self._config.storage(prefix + name)
                other = make_linear(linear.in_features, linear.out_features, stored)
                block.update_modules(tree_unflatten([(name, other)]))

    def _typed(self, name: str, tensor: mx.array) -> mx.array:
        """The tensor in the activations' type, so that no product converts it, unless that would widen a matrix."""
        vector = "norm_" in name
        dense = name.endswith(".weight") and tensor.dtype != mx.uint32 and self._dtype.size == HALF_BYTES
        return tensor.astype(self._dtype) if vector or dense else tensor

    def _load(self, block: DoubleStreamBlock | SingleStreamBlock, prefix: str) -> None:
        """Move the tensors under `prefix` into `block` (strictly), read them from disk, cut and fuse.

        Nothing else holds them, so that what is cut up is freed as it is read. On a GPU, which cuts nothing, they are
        read before anything is made of them: it stops work that waits for some seconds, as for a slow disk.
        """
        tensors, count = take(self._tensors, prefix), shares(self._config)
        if count == 1:
            mx.eval(tensors)
        self._fit(block, prefix)
        block.load_weights([(name, self._typed(name, tensor)) for name, tensor in tensors.items()], strict=True)
        del tensors
        self.replace_linears(block, prefix)
        shard(block, count)
        if isinstance(block.attn, JointAttention):
            block.attn.fuse_projections()
        read(block)
        if self._adapters and self._adapters.adapters:
            adapt(block, prefix, self._adapters)


class ResidentBlocks:
    """Blocks that stay in memory."""

    def __init__(self, stored: StoredBlocks, config: TransformerConfig) -> None:
        self._doubles = [stored.double(index) for index in range(config.num_layers)]
        self._singles = [stored.single(index) for index in range(config.num_single_layers)]

    def adapt(self, adapters: ActiveAdapters) -> None:
        """Have all blocks add what these adapters add, and nothing else."""
        for index, double in enumerate(self._doubles):
            adapt(double, f"transformer_blocks.{index}.", adapters)
        for index, single in enumerate(self._singles):
            adapt(single, f"single_transformer_blocks.{index}.", adapters)

    def double(self, index: int) -> DoubleStreamBlock:
        return self._doubles[index]

    def single(self, index: int) -> SingleStreamBlock:
        return self._singles[index]


def shares(config: TransformerConfig) -> int:
    if device.backend() != "cpu":
        return 1
    return share_count(config.dim, config.mlp_dim, config.num_attention_heads, config.widest_group)


def shard(block: DoubleStreamBlock | SingleStreamBlock, count: int) -> None:
    """Cut what a loaded block computes into `count` parts, and read it if its weights are still on the disk."""
    if isinstance(block, SingleStreamBlock):
        block.attn = cut(block.attn, count, _share)
    else:
        block.attn = cut(block.attn, count, _share)
        block.ff = cut(block.ff, count, _share)
        block.ff_context = cut(block.ff_context, count, _share)
    for module in block.children().values():
        if isinstance(module, Sharded):
            module.read()


def adapt(block: DoubleStreamBlock | SingleStreamBlock, prefix: str, adapters: ActiveAdapters) -> None:
    """Have the linears of a loaded block, cut or not, add what these adapters add, and nothing else.

    `prefix` is that of the block's names in the checkpoint.
    """
    for module_name, module in _modules(block):
        parts = module.parts if isinstance(module, Sharded) else [module]
        for name, (side, widths) in parts[0].cuts().items():
            deltas = adapters.deltas(f"{prefix}{module_name}.{name}")
            for index, part in enumerate(parts):
                pieces = Share(index, len(parts)).pieces(*(width * len(parts) for width in widths))
                linear = get_linear(part, name)
                base = linear.linear if isinstance(linear, Adapted) else linear
                own = [getattr(delta, side)(pieces) for delta in deltas] if len(parts) > 1 else deltas
                set_linear(part, name, Adapted(base, own) if own else base)
        for part in parts:
            if isinstance(part, JointAttention):
                part.adapters_changed()
    read(block)


def _modules(block: DoubleStreamBlock | SingleStreamBlock) -> Iterator[tuple[str, Any]]:
    names = ("attn",) if isinstance(block, SingleStreamBlock) else ("attn", "ff", "ff_context")
    return ((name, getattr(block, name)) for name in names)


def get_linear(module: Any, name: str) -> Linear:
    head, _, place = name.partition(".")
    found = getattr(module, head)
    linear: Linear = found[int(place)] if place else found
    return linear


def set_linear(module: Any, name: str, linear: Linear) -> None:
    head, _, place = name.partition(".")
    setattr(module, head, [linear] if place else linear)


def _share(whole: Any, share: Share) -> Any:
    part = copy(whole)
    for size in ("width", "mlp_dim"):
        if hasattr(whole, size):
            setattr(part, size, getattr(whole, size) // share.count)
    for name, (side, widths) in whole.cuts().items():
        linear, pieces = get_linear(whole, name), share.pieces(*widths)
        set_linear(part, name, linear.rows(pieces) if side == "rows" else linear.columns(pieces))
    if isinstance(part, JointAttention):
        part.fuse_projections()
    return part
