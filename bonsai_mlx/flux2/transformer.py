"""The FLUX.2 [klein] diffusion transformer over packed weights.

Reference: `diffusers.Flux2Transformer2DModel`, whose module and parameter names these are. One call is one evaluation
of the velocity at one timestep:

    latents [1, image, channels] --x_embedder--> image stream  \\  double-stream blocks: weights of their own,
    projected context [1, text, dim]         --> text stream   /  attention over both
    then text and image tokens together through single-stream blocks, norm_out, proj_out --> velocity

What is easy to get wrong: text tokens come BEFORE image tokens; `norm_out` gives (scale, shift), every other modulation
gives (shift, scale, gate); RoPE rotates neighbouring channel pairs, not halves; there is no text mask, so all padded
positions take part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..nn.activations import swiglu
from ..nn.attention import attend
from ..nn.linear import PackedLinear, dense, stacked
from ..nn.shards import Share, shares, summed
from ..runtime import device
from .checkpoint import TRANSFORMER, Checkpoint
from .config import TransformerConfig

Rope = tuple[mx.array, mx.array]  # cosines and sines, float32 [tokens, head_dim / 2]


@dataclass(frozen=True, slots=True)
class AdaNorm:
    """LayerNorm whose scale and shift come from the timestep: vectors [dim], with the gate of what follows it."""

    scale: mx.array  # already 1 + scale
    shift: mx.array
    gate: mx.array

    def __call__(self, x: mx.array, eps: float) -> mx.array:
        return mx.fast.layer_norm(x, self.scale, self.shift, eps)


@dataclass(frozen=True, slots=True)
class StepModulation:
    """Everything a denoising step takes from its timestep."""

    image: tuple[AdaNorm, AdaNorm]  # before attention, before the MLP
    text: tuple[AdaNorm, AdaNorm]
    single: AdaNorm
    out: AdaNorm  # its gate is unused


class Transformer:
    """The resident part: packed blocks, x_embedder and proj_out.

    What depends on the timestep or the prompt alone is computed beforehand by `modulation_schedule` and
    `project_context`, whose weights (341 MB and 47 MB in the 4B model) are dropped again.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, *, streamed: bool = False) -> None:
        """Load the weights, or with `streamed` only the small ones: blocks are then read anew in every step."""
        self.config = checkpoint.transformer
        self.dtype = dtype
        self.streamed = streamed
        self._checkpoint = checkpoint
        tensors = checkpoint.load(TRANSFORMER)
        self.x_embedder = tensors["x_embedder.weight"]
        self.proj_out = tensors["proj_out.weight"]
        mx.eval(self.x_embedder, self.proj_out)
        self._resident = None if streamed else list(self._load_blocks(tensors))

    def __call__(self, latents: mx.array, context: mx.array, modulation: StepModulation, rope: Rope) -> mx.array:
        """Velocity [1, image, channels] float32 at the modulation's timestep, for latents of the same shape."""
        image, text = dense(latents.astype(self.dtype), self.x_embedder), context
        joined = None
        for block in self.blocks():
            if isinstance(block, DoubleStreamBlock):
                image, text = block(image, text, modulation.image, modulation.text, rope)
                self._settle(image, text)
            else:
                joined = mx.concatenate([text, image], axis=1) if joined is None else joined
                joined = block(joined, modulation.single, rope)
                self._settle(joined)
            del block  # before the next is loaded: where blocks are streamed, there is room for one
        if joined is not None:
            image = joined[:, context.shape[1] :]
        return dense(modulation.out(image, self.config.eps), self.proj_out).astype(mx.float32)

    def blocks(self) -> Iterator[DoubleStreamBlock | SingleStreamBlock]:
        """The blocks in the order they run."""
        if self._resident is not None:
            yield from self._resident
        else:
            yield from self._load_blocks(self._checkpoint.load(TRANSFORMER))

    def _settle(self, *arrays: mx.array) -> None:
        """Compute now if the block's weights are about to be dropped; otherwise a step is one evaluation."""
        if self._resident is None:
            mx.eval(*arrays)

    def _load_blocks(self, tensors: dict[str, mx.array]) -> Iterator[DoubleStreamBlock | SingleStreamBlock]:
        """Blocks in the order they run, each read from disk when it is reached, its tensors taken out of `tensors`."""
        for index in range(self.config.num_layers):
            double = DoubleStreamBlock(self.config)
            _load(double, tensors, f"transformer_blocks.{index}.", self.dtype)
            yield double
            del double
        for index in range(self.config.num_single_layers):
            single = SingleStreamBlock(self.config)
            _load(single, tensors, f"single_transformer_blocks.{index}.", self.dtype)
            yield single
            del single


class DoubleStreamBlock(nn.Module):
    """Image and text tokens, each with weights of their own, in one attention. Streams are [1, tokens, dim]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.attn = JointAttention(config)
        self.ff = FeedForward(config)
        self.ff_context = FeedForward(config)

    def __call__(
        self,
        image: mx.array,
        text: mx.array,
        image_modulation: tuple[AdaNorm, AdaNorm],
        text_modulation: tuple[AdaNorm, AdaNorm],
        rope: Rope,
    ) -> tuple[mx.array, mx.array]:
        (image_attn, image_mlp), (text_attn, text_mlp) = image_modulation, text_modulation
        image_out, text_out = self.attn(image_attn(image, self.eps), text_attn(text, self.eps), rope)
        image = _add_gated(image, image_attn.gate, image_out)
        image = _add_gated(image, image_mlp.gate, self.ff(image_mlp(image, self.eps)))
        text = _add_gated(text, text_attn.gate, text_out)
        text = _add_gated(text, text_mlp.gate, self.ff_context(text_mlp(text, self.eps)))
        return image, text


class SingleStreamBlock(nn.Module):
    """Attention and MLP in parallel, over text and image tokens together [1, tokens, dim]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.attn = ParallelAttention(config)

    def __call__(self, x: mx.array, modulation: AdaNorm, rope: Rope) -> mx.array:
        return _add_gated(x, modulation.gate, self.attn(modulation(x, self.eps), rope))


class JointAttention(nn.Module):
    """Attention over text and image tokens that are projected separately."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dim = d = config.dim
        self.head_dim, self.shares = config.attention_head_dim, shares(config)
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            self[name] = PackedLinear(d, d, config.bits, config.group_size)
        self.to_out = [PackedLinear(d, d, config.bits, config.group_size)]
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            self[name] = nn.RMSNorm(self.head_dim, eps=config.eps)

    def fuse(self) -> None:
        """Stack q, k and v, which the checkpoint stores apart, so that each stream's projection is one product."""
        self.to_qkv = stacked([self.pop(name) for name in ("to_q", "to_k", "to_v")])
        self.add_qkv = stacked([self.pop(name) for name in ("add_q_proj", "add_k_proj", "add_v_proj")])

    def __call__(self, image: mx.array, text: mx.array, rope: Rope) -> tuple[mx.array, mx.array]:
        image_out, text_out = summed(
            lambda share: self._share(image, text, rope, share), self.shares, [image, text, *rope]
        )
        return image_out, text_out

    def _share(self, image: mx.array, text: mx.array, rope: Rope, share: Share) -> tuple[mx.array, mx.array]:
        """What some of the heads add to the image stream and to the text stream."""
        parts = (self.dim,) * 3
        q, k, v = _heads(self.to_qkv.rows(share, *parts)(image), self.head_dim)
        text_q, text_k, text_v = _heads(self.add_qkv.rows(share, *parts)(text), self.head_dim)
        q = mx.concatenate([self.norm_added_q(text_q), self.norm_q(q)], axis=2)
        k = mx.concatenate([self.norm_added_k(text_k), self.norm_k(k)], axis=2)
        v = mx.concatenate([text_v, v], axis=2)
        out = _merge_heads(attend(_rotate(q, *rope), _rotate(k, *rope), v, self.head_dim**-0.5))
        text_out, image_out = mx.split(out, [text.shape[1]], axis=1)
        to_image, to_text = self.to_out[0].columns(share, self.dim), self.to_add_out.columns(share, self.dim)
        return to_image(image_out), to_text(text_out)


class ParallelAttention(nn.Module):
    """Attention and gated MLP from one projection into one projection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dim, self.mlp_dim, self.head_dim = config.dim, config.mlp_dim, config.attention_head_dim
        self.shares = shares(config)
        packing = config.bits, config.group_size
        self.to_qkv_mlp_proj = PackedLinear(self.dim, 3 * self.dim + 2 * config.mlp_dim, *packing)
        self.to_out = PackedLinear(self.dim + config.mlp_dim, self.dim, *packing)
        self.norm_q = nn.RMSNorm(self.head_dim, eps=config.eps)
        self.norm_k = nn.RMSNorm(self.head_dim, eps=config.eps)

    def __call__(self, x: mx.array, rope: Rope) -> mx.array:
        return summed(lambda share: [self._share(x, rope, share)], self.shares, [x, *rope])[0]

    def _share(self, x: mx.array, rope: Rope, share: Share) -> mx.array:
        """What some of the heads and some of the MLP's channels add to the output."""
        dim, mlp_dim = self.dim, self.mlp_dim
        projection = self.to_qkv_mlp_proj.rows(share, dim, dim, dim, mlp_dim, mlp_dim)(x)
        ends = [3 * dim // share.count, (3 * dim + mlp_dim) // share.count]
        qkv, gate, value = mx.split(projection, ends, axis=-1)
        q, k, v = _heads(qkv, self.head_dim)
        q, k = _rotate(self.norm_q(q), *rope), _rotate(self.norm_k(k), *rope)
        out = _merge_heads(attend(q, k, v, self.head_dim**-0.5))
        return self.to_out.columns(share, dim, mlp_dim)(mx.concatenate([out, swiglu(gate, value)], axis=-1))


class FeedForward(nn.Module):
    """Gated MLP."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.mlp_dim, self.shares = config.mlp_dim, shares(config)
        self.linear_in = PackedLinear(config.dim, 2 * config.mlp_dim, config.bits, config.group_size)
        self.linear_out = PackedLinear(config.mlp_dim, config.dim, config.bits, config.group_size)

    def __call__(self, x: mx.array) -> mx.array:
        return summed(lambda share: [self._share(x, share)], self.shares, [x])[0]

    def _share(self, x: mx.array, share: Share) -> mx.array:
        """What some of the hidden channels add to the output."""
        gate_and_value = self.linear_in.rows(share, self.mlp_dim, self.mlp_dim)(x)
        return self.linear_out.columns(share, self.mlp_dim)(swiglu(*mx.split(gate_and_value, 2, axis=-1)))


def rotary_embedding(config: TransformerConfig, text_tokens: int, rows: int, columns: int) -> Rope:
    """Cosines and sines for `text_tokens` positions (0,0,0,i), then a rows x columns image at (0,row,column,0).

    Computed in float64, as the reference does.
    """
    positions = np.zeros((text_tokens + rows * columns, 4))
    positions[:text_tokens, 3] = np.arange(text_tokens)
    grid = np.indices((rows, columns)).reshape(2, -1)
    positions[text_tokens:, 1], positions[text_tokens:, 2] = grid
    angles = [
        np.outer(positions[:, axis], config.rope_theta ** -(np.arange(0, width, 2) / width))
        for axis, width in enumerate(config.axes_dims_rope)
    ]
    joined = np.concatenate(angles, axis=1)
    return mx.array(np.cos(joined), dtype=mx.float32), mx.array(np.sin(joined), dtype=mx.float32)


def modulation_schedule(checkpoint: Checkpoint, timesteps: Sequence[float], dtype: mx.Dtype) -> list[StepModulation]:
    """The modulation of every step of a run, from weights that are read, used on a few vectors and dropped.

    `timesteps` are the sigmas times 1000. Computed in float32 whatever the activations are: it is next to no work.
    """
    tensors = checkpoint.load(TRANSFORMER)
    config = checkpoint.transformer

    def linear(name: str, x: mx.array) -> mx.array:
        weight = tensors.pop(f"{name}.weight")
        mx.eval(weight)  # read first, see `_load`
        y = dense(x, weight)
        mx.eval(y)
        return y

    embedder = "time_guidance_embed.timestep_embedder"
    x = _sinusoids(timesteps, config.timestep_guidance_channels)
    hidden = linear(f"{embedder}.linear_1", x)
    x = linear(f"{embedder}.linear_2", hidden * mx.sigmoid(hidden))
    x = x * mx.sigmoid(x)
    image = linear("double_stream_modulation_img.linear", x)
    text = linear("double_stream_modulation_txt.linear", x)
    single = linear("single_stream_modulation.linear", x)
    scale, shift = mx.split(linear("norm_out.linear", x), 2, axis=-1)
    out = mx.concatenate([shift, scale, mx.zeros_like(scale)], axis=-1)
    steps = []
    for vectors in zip(image, text, single, out, strict=True):
        image_norms, text_norms, (single_norm,), (out_norm,) = (_ada_norms(v, config.dim, dtype) for v in vectors)
        steps.append(StepModulation(image_norms, text_norms, single_norm, out_norm))  # type: ignore[arg-type]
    mx.eval([[n.scale, n.shift, n.gate] for s in steps for n in (*s.image, *s.text, s.single, s.out)])
    return steps


def project_context(checkpoint: Checkpoint, embeddings: mx.array, dtype: mx.Dtype) -> mx.array:
    """Prompt embeddings [1, text, joint_attention_dim] -> context [1, text, dim], through a weight that is dropped."""
    weight = checkpoint.load(TRANSFORMER)["context_embedder.weight"]
    mx.eval(weight)
    context = dense(embeddings.astype(dtype), weight)
    mx.eval(context)
    return context


def _ada_norms(vector: mx.array, dim: int, dtype: mx.Dtype) -> tuple[AdaNorm, ...]:
    """A modulation vector [sets * 3 * dim] as its (shift, scale, gate) sets."""
    shift_scale_gate = vector.reshape(-1, 3, dim)
    return tuple(
        AdaNorm(scale=(1 + scale).astype(dtype), shift=shift.astype(dtype), gate=gate.astype(dtype))
        for shift, scale, gate in shift_scale_gate
    )


def _sinusoids(timesteps: Sequence[float], channels: int) -> mx.array:
    """Sinusoidal embedding, cosines first, float32 [steps, channels]."""
    half = channels // 2
    frequencies = np.exp(-np.log(10000.0) * np.arange(half, dtype=np.float32) / half)
    angles = np.asarray(timesteps, dtype=np.float32)[:, None] * frequencies[None]
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=-1), dtype=mx.float32)


def _load(block: nn.Module, tensors: dict[str, mx.array], prefix: str, dtype: mx.Dtype) -> None:
    """Move the tensors under `prefix` into `block` (strictly), read them from disk, and fuse.

    They are read before anything is made of them: a GPU stops work that waits for some seconds, as for a slow disk.
    """
    read = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
    mx.eval(read)
    weights = [(name, tensor.astype(dtype) if "norm_" in name else tensor) for name, tensor in read.items()]
    block.load_weights(weights, strict=True)
    if isinstance(block, DoubleStreamBlock):
        block.attn.fuse()
    mx.eval(block.parameters())


def _heads(qkv: mx.array, head_dim: int) -> list[mx.array]:
    """[1, tokens, 3 * dim] -> q, k, v, each [1, heads, tokens, head_dim]."""
    batch, tokens, _ = qkv.shape
    split = qkv.reshape(batch, tokens, 3, -1, head_dim).transpose(2, 0, 3, 1, 4)
    return [split[0], split[1], split[2]]


def _merge_heads(x: mx.array) -> mx.array:
    batch, heads, tokens, head_dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * head_dim)


@device.compiled
def _rotate(x: mx.array, cosines: mx.array, sines: mx.array) -> mx.array:
    """Rotate neighbouring channel pairs of [1, heads, tokens, head_dim], in float32."""
    pairs = x.astype(mx.float32).reshape(*x.shape[:-1], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    rotated = mx.stack([even * cosines - odd * sines, odd * cosines + even * sines], axis=-1)
    return rotated.reshape(x.shape).astype(x.dtype)


@device.compiled
def _add_gated(x: mx.array, gate: mx.array, y: mx.array) -> mx.array:
    return x + gate * y
