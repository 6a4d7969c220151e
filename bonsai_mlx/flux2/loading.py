"""Where the transformer's blocks come from: memory, or the disk each time one is reached.

A block is read from the checkpoint, cut for the cores of a CPU (see `sharding`), fused, and handed over.
"""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from ..nn.layers import read, take
from ..weights.layout import TRANSFORMER
from .blocks import DoubleStreamBlock, JointAttention, SingleStreamBlock
from .checkpoint import Checkpoint
from .config import TransformerConfig
from .sharding import shard, shares


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

    def _load(self, block: DoubleStreamBlock | SingleStreamBlock, prefix: str) -> None:
        """Move the tensors under `prefix` into `block` (strictly), read them from disk, cut and fuse.

        Nothing else holds them, so that what is cut up is freed as it is read. On a GPU, which cuts nothing, they are
        read before anything is made of them: it stops work that waits for some seconds, as for a slow disk.
        """
        tensors, count = take(self._tensors, prefix), shares(self._config)
        if count == 1:
            mx.eval(tensors)
        block.load_weights([(n, t.astype(self._dtype) if "norm_" in n else t) for n, t in tensors.items()], strict=True)
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
