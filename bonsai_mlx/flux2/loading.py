"""Where the transformer's blocks come from: memory, or the disk each time one is reached.

A block is read from the checkpoint, cut for the cores of a CPU (see `nn.shards`), fused, and handed over. Heads are cut
through q, k and v, channels of the MLP through gate and value; what a part makes of them is one term of the output,
because the projection back is cut by its inputs.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

import mlx.core as mx
from mlx.utils import tree_unflatten

from ..nn.layers import read, take
from ..nn.limits import share_count
from ..nn.linear import StoredLinear
from ..nn.shards import Sharded, Share, cut
from ..runtime import device
from ..weights.layout import TRANSFORMER
from .blocks import (
    DoubleStreamBlock,
    FeedForward,
    JointAttention,
    ParallelAttention,
    SingleStreamBlock,
    make_linear,
)
from .checkpoint import Checkpoint
from .parts.config import TransformerConfig

HALF_BYTES = 2  # of a value of the types that a GPU computes with


class Blocks(Protocol):
    """Where a step takes its blocks from, by their place."""

    def double(self, index: int) -> DoubleStreamBlock:
        """Double-stream block `index`."""
        ...

    def single(self, index: int) -> SingleStreamBlock:
        """Single-stream block `index`."""
        ...


class StoredBlocks:
    """Blocks that are read from the checkpoint's file when they are asked for, each once."""

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype) -> None:
        self._config, self._dtype = checkpoint.transformer, dtype
        self._tensors = checkpoint.load(TRANSFORMER)

    def double(self, index: int) -> DoubleStreamBlock:
        """See Blocks."""
        block = DoubleStreamBlock(self._config)
        self._load(block, f"transformer_blocks.{index}.")
        return block

    def single(self, index: int) -> SingleStreamBlock:
        """See Blocks."""
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


class ResidentBlocks:
    """Blocks that stay in memory."""

    def __init__(self, stored: StoredBlocks, config: TransformerConfig) -> None:
        self._doubles = [stored.double(index) for index in range(config.num_layers)]
        self._singles = [stored.single(index) for index in range(config.num_single_layers)]

    def double(self, index: int) -> DoubleStreamBlock:
        """See Blocks."""
        return self._doubles[index]

    def single(self, index: int) -> SingleStreamBlock:
        """See Blocks."""
        return self._singles[index]


def shares(config: TransformerConfig) -> int:
    """Into how many parts a block is cut on this device."""
    if device.backend() != "cpu":
        return 1
    return share_count(config.dim, config.mlp_dim, config.num_attention_heads, config.widest_group)


def shard(block: DoubleStreamBlock | SingleStreamBlock, count: int) -> None:
    """Cut what a loaded block computes into `count` parts, and read it if its weights are still on the disk."""
    if isinstance(block, SingleStreamBlock):
        block.attn = cut(block.attn, count, _parallel_attention)
    else:
        block.attn = cut(block.attn, count, _joint_attention)
        block.ff = cut(block.ff, count, _feed_forward)
        block.ff_context = cut(block.ff_context, count, _feed_forward)
    for module in block.children().values():
        if isinstance(module, Sharded):
            module.read()


def _joint_attention(whole: JointAttention, share: Share) -> JointAttention:
    heads = share.pieces(whole.width)
    part = copy(whole)
    part.width = whole.width // share.count
    part.to_q, part.to_k, part.to_v = whole.to_q.rows(heads), whole.to_k.rows(heads), whole.to_v.rows(heads)
    part.add_q_proj, part.add_k_proj = whole.add_q_proj.rows(heads), whole.add_k_proj.rows(heads)
    part.add_v_proj = whole.add_v_proj.rows(heads)
    part.to_out, part.to_add_out = [whole.to_out[0].columns(heads)], whole.to_add_out.columns(heads)
    part.fuse_projections()
    return part


def _parallel_attention(whole: ParallelAttention, share: Share) -> ParallelAttention:
    width, mlp_dim = whole.width, whole.mlp_dim
    part = copy(whole)
    part.width, part.mlp_dim = width // share.count, mlp_dim // share.count
    part.to_qkv_mlp_proj = whole.to_qkv_mlp_proj.rows(share.pieces(width, width, width, mlp_dim, mlp_dim))
    part.to_out = whole.to_out.columns(share.pieces(width, mlp_dim))
    return part


def _feed_forward(whole: FeedForward, share: Share) -> FeedForward:
    part = copy(whole)
    part.mlp_dim = whole.mlp_dim // share.count
    part.linear_in = whole.linear_in.rows(share.pieces(whole.mlp_dim, whole.mlp_dim))
    part.linear_out = whole.linear_out.columns(share.pieces(whole.mlp_dim))
    return part
