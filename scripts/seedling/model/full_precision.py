"""The unpacked student through the engine: `bonsai_mlx`'s own pipeline with the block linears replaced.

The engine runs packed checkpoints alone. To compare like with like, everything but the block weights comes from a
checkpoint in the published layout (the student's, rounded), and only the products with those weights differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.transformer import DoubleStreamBlock, SingleStreamBlock, Transformer
from bonsai_mlx.nn.linear import dense
from bonsai_mlx.nn.shards import Share
from bonsai_mlx.pipeline import Pipeline

Weights = dict[str, mx.array]
_FUSED = {"to_qkv": ("to_q", "to_k", "to_v"), "add_qkv": ("add_q_proj", "add_k_proj", "add_v_proj")}


class FullPrecisionPipeline(Pipeline):
    """A pipeline whose transformer has the unpacked block weights of a safetensors file."""

    def __init__(self, checkpoint: Checkpoint, weights: Path) -> None:
        super().__init__(checkpoint, name="full precision")
        self._weights: Weights = mx.load(str(weights))  # type: ignore[assignment]
        self._unpacked: Transformer | None = None

    def transformer(self, *, streamed: bool) -> Transformer:  # noqa: ARG002  small: always resident
        """The transformer, loaded on first use."""
        if self._unpacked is None:
            self._unpacked = _FullPrecisionTransformer(self.checkpoint, self.dtype, self._weights)
        return self._unpacked


class _FullPrecisionTransformer(Transformer):
    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, weights: Weights) -> None:
        self._weights = {name: value.astype(dtype) for name, value in weights.items()}
        super().__init__(checkpoint, dtype)

    def _load_blocks(self, tensors: Weights) -> Iterator[DoubleStreamBlock | SingleStreamBlock]:
        doubles = singles = 0
        for block in super()._load_blocks(tensors):
            if isinstance(block, DoubleStreamBlock):
                _unpack_double(block, self._weights, f"transformer_blocks.{doubles}.")
                doubles += 1
            else:
                prefix = f"single_transformer_blocks.{singles}.attn."
                block.attn.to_qkv_mlp_proj = Unpacked(self._weights[f"{prefix}to_qkv_mlp_proj.weight"])
                block.attn.to_out = Unpacked(self._weights[f"{prefix}to_out.weight"])
                singles += 1
            mx.eval(block.parameters())  # by now: no thread but this one may compute them
            yield block


def _unpack_double(block: Any, weights: Weights, prefix: str) -> None:
    for fused, names in _FUSED.items():
        parts = [weights[f"{prefix}attn.{name}.weight"] for name in names]
        setattr(block.attn, fused, Unpacked(mx.concatenate(parts)))
    block.attn.to_out = [Unpacked(weights[f"{prefix}attn.to_out.0.weight"])]
    block.attn.to_add_out = Unpacked(weights[f"{prefix}attn.to_add_out.weight"])
    for part in ("ff", "ff_context"):
        for name in ("linear_in", "linear_out"):
            setattr(block[part], name, Unpacked(weights[f"{prefix}{part}.{name}.weight"]))


class Unpacked(nn.Module):
    """An unpacked linear, which takes shares as `PackedLinear` does."""

    def __init__(self, weight: mx.array) -> None:
        super().__init__()
        self.weight = weight

    def __call__(self, x: mx.array) -> mx.array:
        return dense(x, self.weight)

    def rows(self, share: Share, *sizes: int) -> Unpacked:
        """The linear of a share of the outputs."""
        return Unpacked(mx.concatenate([self.weight[piece] for piece in share.pieces(*sizes)]))

    def columns(self, share: Share, *sizes: int) -> Unpacked:
        """The linear of a share of the inputs."""
        return Unpacked(mx.concatenate([self.weight[:, piece] for piece in share.pieces(*sizes)], axis=1))
