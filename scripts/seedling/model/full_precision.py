"""The unpacked student through the engine: `bonsai_mlx`'s own pipeline with the block linears replaced.

The engine runs packed checkpoints alone. To compare like with like, everything but the block weights comes from a
checkpoint in the published layout (the student's, rounded), and only the products with those weights differ.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

from bonsai_mlx.adapters.active import ActiveAdapters
from bonsai_mlx.flux2.blocks import DoubleStreamBlock, SingleStreamBlock
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.loading import StoredBlocks
from bonsai_mlx.flux2.model import Flux2
from bonsai_mlx.flux2.transformer import Transformer
from bonsai_mlx.nn.linear import DenseLinear, PackedLinear

Weights = dict[str, mx.array]


class FullPrecision(Flux2):
    """A model whose transformer has the unpacked block weights of a safetensors file."""

    def __init__(self, checkpoint: Checkpoint, weights: Path) -> None:
        super().__init__(checkpoint)
        self._weights: Weights = mx.load(str(weights))  # type: ignore[assignment]
        self._unpacked: Transformer | None = None

    def transformer(self, *, streamed: bool, adapters: ActiveAdapters | None = None) -> Transformer:  # noqa: ARG002
        """The transformer, loaded on first use; small, so always resident."""
        if self._unpacked is None:
            self._unpacked = _FullPrecisionTransformer(self.checkpoint, self.dtype, self._weights)
        self._unpacked.adapt(adapters or ActiveAdapters(self.dtype))
        return self._unpacked


class _FullPrecisionTransformer(Transformer):
    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, weights: Weights) -> None:
        self._weights = {name: value.astype(dtype) for name, value in weights.items()}
        super().__init__(checkpoint, dtype)

    def stored_blocks(self) -> StoredBlocks:
        return _FullPrecisionBlocks(self._checkpoint, self.dtype, self._weights)


class _FullPrecisionBlocks(StoredBlocks):
    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, weights: Weights) -> None:
        super().__init__(checkpoint, dtype)
        self._weights = weights

    def replace_linears(self, block: DoubleStreamBlock | SingleStreamBlock, prefix: str) -> None:
        """Every packed linear by an unpacked one of the same name."""

        def unpacked(name: str, module: nn.Module) -> nn.Module:
            if not isinstance(module, PackedLinear):
                return module
            linear = DenseLinear(module.in_features, module.out_features)
            linear.weight = self._weights[f"{prefix}{name}.weight"]
            return linear

        block.update_modules(tree_map_with_path(unpacked, block.leaf_modules(), is_leaf=nn.Module.is_module))
