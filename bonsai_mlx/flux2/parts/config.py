"""The published layout: typed configs, and the name, dtype and shape of every tensor that a config implies.

Everything is derived from a checkpoint's own JSON files; no dimension of the 4B model is written here. Names are those
of `diffusers` (Flux2Transformer2DModel, AutoencoderKLFlux2) and of `mlx-lm` (Qwen3). Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from ...decoding import Flag
from ...weights.spec import (
    FLOATS,
    Dimension,
    Dimensions,
    LayerCount,
    Pair,
    Positive,
    Storage,
    Tensors,
    TensorSpec,
    matrix_tensors,
    prefixed,
)


@dataclass(frozen=True, slots=True)
class Latents:
    """`latents` of model_index.json, for latents of another kind than Gaussian ones."""

    kind: Annotated[Literal["bernoulli"], Meta(description='"bernoulli", the one other kind that is known')]
    schedule: Annotated[Literal["linear"], Meta(description='"linear"')] = "linear"


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The transformer's `config.json`, and how its matrices are stored.

    `bits` and `group_size` are those of the blocks' linears, 16 or 32 and 1 where they are not packed; `others` says of
    single matrices, by their full names, that they are stored in another way. What is in no block is dense by default.
    """

    in_channels: Dimension
    num_layers: LayerCount
    num_single_layers: LayerCount
    attention_head_dim: Dimension
    num_attention_heads: Dimension
    joint_attention_dim: Dimension
    axes_dims_rope: Dimensions
    timestep_guidance_channels: Dimension = 256
    mlp_ratio: Positive = 3.0
    rope_theta: Positive = 2000.0
    eps: Positive = 1e-6
    known_tokens: Flag = False  # trained to be told which tokens are kept
    bits: Dimension = 2
    group_size: Dimension = 128
    affine: Flag = False  # see `weights.spec.Packing`
    others: Mapping[str, Storage] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @property
    def mlp_dim(self) -> int:
        return int(self.dim * self.mlp_ratio)

    def storage(self, name: str) -> Storage:
        in_block = "transformer_blocks." in name
        return self.others.get(name, Storage(self.bits, self.group_size) if in_block else Storage())

    @property
    def widest_group(self) -> int:
        """Inputs that no cut of a block's linear may come between."""
        inside = (stored.group_size for name, stored in self.others.items() if "transformer_blocks." in name)
        return max(self.group_size, *inside, 1)

    def tensors(self) -> Tensors:
        out: Tensors = {}
        d, channels = self.dim, self.timestep_guidance_channels
        for name, shape in (
            ("x_embedder", (d, self.in_channels)),
            ("context_embedder", (d, self.joint_attention_dim)),
            ("time_guidance_embed.timestep_embedder.linear_1", (d, channels)),
            ("time_guidance_embed.timestep_embedder.linear_2", (d, d)),
            ("double_stream_modulation_img.linear", (6 * d, d)),
            ("double_stream_modulation_txt.linear", (6 * d, d)),
            ("single_stream_modulation.linear", (3 * d, d)),
            ("norm_out.linear", (2 * d, d)),
            ("proj_out", (self.in_channels, d)),
        ):
            out |= self._matrix(name, *shape)
        if self.known_tokens:
            out["known_embedder.weight"] = TensorSpec(FLOATS, (d,))
        for index in range(self.num_layers):
            out |= self.double_block_tensors(index)
        for index in range(self.num_single_layers):
            out |= self.single_block_tensors(index)
        return out

    def linears(self) -> dict[str, tuple[int, int]]:
        """Every linear by its name, with its numbers of outputs and inputs, however it is stored."""
        tensors = self.tensors()
        found = {}
        for name, spec in tensors.items():
            layer, _, kind = name.rpartition(".")
            if kind == "weight" and len(spec.shape) == 2:
                groups = tensors.get(f"{layer}.scales")
                inputs = groups.shape[1] * self.storage(layer).group_size if groups else spec.shape[1]
                found[layer] = (spec.shape[0], inputs)
        return found

    def double_block_tensors(self, index: int = 0) -> Tensors:
        """One double-stream block: image and text tokens with weights of their own, attending to each other."""
        d, mlp, block = self.dim, self.mlp_dim, f"transformer_blocks.{index}"
        out: Tensors = {}
        for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            out |= self._matrix(f"{block}.attn.{name}", d, d)
        for name in ("ff", "ff_context"):
            out |= self._matrix(f"{block}.{name}.linear_in", 2 * mlp, d)
            out |= self._matrix(f"{block}.{name}.linear_out", d, mlp)
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            out[f"{block}.attn.{name}.weight"] = TensorSpec(FLOATS, (self.attention_head_dim,))
        return out

    def single_block_tensors(self, index: int = 0) -> Tensors:
        """One single-stream block: attention and MLP in parallel over text and image tokens together."""
        d, mlp, block = self.dim, self.mlp_dim, f"single_transformer_blocks.{index}"
        out = self._matrix(f"{block}.attn.to_qkv_mlp_proj", 3 * d + 2 * mlp, d)
        out |= self._matrix(f"{block}.attn.to_out", d, d + mlp)
        for name in ("norm_q", "norm_k"):
            out[f"{block}.attn.{name}.weight"] = TensorSpec(FLOATS, (self.attention_head_dim,))
        return out

    def _matrix(self, name: str, rows: int, columns: int) -> Tensors:
        stored = self.storage(name)
        return matrix_tensors(name, rows, columns, stored.bits, stored.group_size)


@dataclass(frozen=True, slots=True)
class TextEncoderConfig:
    """The text encoder's `config.json`: Qwen3, every matrix packed as `mlx-lm` does it, or all dense."""

    vocab_size: Dimension
    hidden_size: Dimension
    intermediate_size: Dimension
    num_hidden_layers: LayerCount
    num_attention_heads: Dimension
    num_key_value_heads: Dimension
    head_dim: Dimension
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = 1e6
    max_position_embeddings: Dimension = 40960
    bits: Dimension = 4
    group_size: Dimension = 64

    def tensors(self) -> Tensors:
        """Every tensor of the text encoder's file (tied embeddings: there is no head)."""
        out = matrix_tensors("model.embed_tokens", self.vocab_size, self.hidden_size, self.bits, self.group_size)
        for index in range(self.num_hidden_layers):
            out |= prefixed(f"model.layers.{index}.", self.layer_tensors())
        out["model.norm.weight"] = TensorSpec(FLOATS, (self.hidden_size,))
        return out

    def layer_tensors(self) -> Tensors:
        d, inner = self.hidden_size, self.intermediate_size
        heads, kv_heads = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        out: Tensors = {}
        for name, shape in (
            ("self_attn.q_proj", (heads, d)),
            ("self_attn.k_proj", (kv_heads, d)),
            ("self_attn.v_proj", (kv_heads, d)),
            ("self_attn.o_proj", (d, heads)),
            ("mlp.gate_proj", (inner, d)),
            ("mlp.up_proj", (inner, d)),
            ("mlp.down_proj", (d, inner)),
        ):
            out |= matrix_tensors(name, *shape, self.bits, self.group_size)
        for name, width in (
            ("input_layernorm", d),
            ("post_attention_layernorm", d),
            ("self_attn.q_norm", self.head_dim),
            ("self_attn.k_norm", self.head_dim),
        ):
            out[f"{name}.weight"] = TensorSpec(FLOATS, (width,))
        return out


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """`vae/config.json` of AutoencoderKLFlux2."""

    block_out_channels: Dimensions
    layers_per_block: LayerCount
    latent_channels: Dimension
    norm_num_groups: Dimension
    in_channels: Dimension = 3
    out_channels: Dimension = 3
    batch_norm_eps: Positive = 1e-4
    patch_size: Pair = (2, 2)
    decoder_block_out_channels: Dimensions | None = None  # where the decoder is narrower than the encoder

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """Of the decoder's blocks, in the order of the encoder's: those at the picture's resolution first."""
        return self.decoder_block_out_channels or self.block_out_channels

    @property
    def scale_factor(self) -> int:
        """Pixels per latent, each way."""
        return int(2 ** (len(self.block_out_channels) - 1))

    def tensors(self) -> Tensors:
        latents = self.latent_channels
        packed_channels = latents * math.prod(self.patch_size)
        out: Tensors = {
            "bn.running_mean": TensorSpec(FLOATS, (packed_channels,)),
            "bn.running_var": TensorSpec(FLOATS, (packed_channels,)),
            "bn.num_batches_tracked": TensorSpec(("I64", *FLOATS), ()),
        }
        out |= _conv("quant_conv", 2 * latents, 2 * latents, 1) | _conv("post_quant_conv", latents, latents, 1)
        return out | prefixed("encoder.", self.encoder_tensors()) | prefixed("decoder.", self.decoder_tensors())

    def encoder_tensors(self) -> Tensors:
        channels = self.block_out_channels
        out = _conv("conv_in", channels[0], self.in_channels, 3)
        previous = channels[0]
        for index, width in enumerate(channels):
            for layer in range(self.layers_per_block):
                out |= _resnet(f"down_blocks.{index}.resnets.{layer}", previous if layer == 0 else width, width)
            if index < len(channels) - 1:
                out |= _conv(f"down_blocks.{index}.downsamplers.0.conv", width, width, 3)
            previous = width
        return out | _mid_block(previous) | _head(previous, 2 * self.latent_channels)

    def decoder_tensors(self) -> Tensors:
        channels = self.decoder_channels[::-1]
        out = _conv("conv_in", channels[0], self.latent_channels, 3) | _mid_block(channels[0])
        previous = channels[0]
        for index, width in enumerate(channels):
            for layer in range(self.layers_per_block + 1):
                out |= _resnet(f"up_blocks.{index}.resnets.{layer}", previous if layer == 0 else width, width)
            if index < len(channels) - 1:
                out |= _conv(f"up_blocks.{index}.upsamplers.0.conv", width, width, 3)
            previous = width
        return out | _head(previous, self.out_channels)


def _affine(name: str, width: int) -> Iterator[tuple[str, TensorSpec]]:
    yield f"{name}.weight", TensorSpec(FLOATS, (width,))
    yield f"{name}.bias", TensorSpec(FLOATS, (width,))


def _conv(name: str, out_channels: int, in_channels: int, kernel: int) -> Tensors:
    return {
        f"{name}.weight": TensorSpec(FLOATS, (out_channels, in_channels, kernel, kernel)),
        f"{name}.bias": TensorSpec(FLOATS, (out_channels,)),
    }


def _resnet(name: str, in_channels: int, out_channels: int) -> Tensors:
    out = dict(_affine(f"{name}.norm1", in_channels)) | dict(_affine(f"{name}.norm2", out_channels))
    out |= _conv(f"{name}.conv1", out_channels, in_channels, 3) | _conv(f"{name}.conv2", out_channels, out_channels, 3)
    if in_channels != out_channels:
        out |= _conv(f"{name}.conv_shortcut", out_channels, in_channels, 1)
    return out


def _mid_block(width: int) -> Tensors:
    out = _resnet("mid_block.resnets.0", width, width) | _resnet("mid_block.resnets.1", width, width)
    out |= dict(_affine("mid_block.attentions.0.group_norm", width))
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        out[f"mid_block.attentions.0.{name}.weight"] = TensorSpec(FLOATS, (width, width))
        out[f"mid_block.attentions.0.{name}.bias"] = TensorSpec(FLOATS, (width,))
    return out


def _head(width: int, out_channels: int) -> Tensors:
    return dict(_affine("conv_norm_out", width)) | _conv("conv_out", out_channels, width, 3)
