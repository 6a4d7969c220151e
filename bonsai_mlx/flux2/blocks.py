"""The blocks of the FLUX.2 transformer, as the paper has them; see `transformer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import mlx.core as mx
import mlx.nn as nn

from ..nn.activations import swiglu
from ..nn.attention import attend
from ..nn.composed import FusedLinear
from ..nn.linear import DenseLinear, MakeLinear, PackedLinear, StoredLinear
from ..runtime import device
from ..weights.spec import Storage
from .parts.config import TransformerConfig

Rope = tuple[mx.array, mx.array]  # cosines and sines, float32 [tokens, head_dim / 2]
# How a module's linears are shared out: name -> side, and the widths of the parts of each of which a share has some.
Cut = tuple[Literal["rows", "columns"], tuple[int, ...]]
Cuts = Mapping[str, Cut]


@dataclass(frozen=True, slots=True)
class AdaNorm:
    """LayerNorm whose scale and shift come from the timestep: vectors [dim], with the gate of what follows it."""

    scale: mx.array  # already 1 + scale
    shift: mx.array
    gate: mx.array

    def __call__(self, x: mx.array, eps: float) -> mx.array:
        return mx.fast.layer_norm(x, self.scale, self.shift, eps)


class DoubleStreamBlock(nn.Module):
    """Image and text tokens, each with weights of their own, in one attention. Streams are [1, tokens, dim]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps, linear = config.eps, _linears(config)
        self.attn: Callable[[mx.array, mx.array, Rope], tuple[mx.array, mx.array]]
        self.attn = JointAttention(config.dim, config.attention_head_dim, config.eps, linear)
        self.ff: Callable[[mx.array], mx.array] = FeedForward(config.dim, config.mlp_dim, linear)
        self.ff_context: Callable[[mx.array], mx.array] = FeedForward(config.dim, config.mlp_dim, linear)

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
        self.attn: Callable[[mx.array, Rope], mx.array]
        self.attn = ParallelAttention(
            config.dim, config.mlp_dim, config.attention_head_dim, config.eps, _linears(config)
        )

    def __call__(self, x: mx.array, modulation: AdaNorm, rope: Rope) -> mx.array:
        return _add_gated(x, modulation.gate, self.attn(modulation(x, self.eps), rope))


class JointAttention(nn.Module):
    """Attention over text and image tokens that are projected separately."""

    def __init__(self, dim: int, head_dim: int, eps: float, linear: MakeLinear) -> None:
        super().__init__()
        self.width, self.head_dim = dim, head_dim
        self.to_q, self.to_k, self.to_v = linear(dim, dim), linear(dim, dim), linear(dim, dim)
        self.add_q_proj, self.add_k_proj, self.add_v_proj = linear(dim, dim), linear(dim, dim), linear(dim, dim)
        self.to_out, self.to_add_out = [linear(dim, dim)], linear(dim, dim)
        self.norm_q, self.norm_k = nn.RMSNorm(head_dim, eps=eps), nn.RMSNorm(head_dim, eps=eps)
        self.norm_added_q, self.norm_added_k = nn.RMSNorm(head_dim, eps=eps), nn.RMSNorm(head_dim, eps=eps)
        self.fuse_projections()

    def fuse_projections(self) -> None:
        """Compute q, k and v in one product a stream: once the weights are there, which the checkpoint stores apart."""
        self.to_qkv = FusedLinear([self.to_q, self.to_k, self.to_v])
        self.to_added_qkv = FusedLinear([self.add_q_proj, self.add_k_proj, self.add_v_proj])

    def adapters_changed(self) -> None:
        """Have the products that are computed together know of other adapters beside the same weights."""
        self.to_qkv.parts = [self.to_q, self.to_k, self.to_v]
        self.to_added_qkv.parts = [self.add_q_proj, self.add_k_proj, self.add_v_proj]

    def cuts(self) -> Cuts:
        """By heads; what they give is projected back."""
        into = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
        cuts: dict[str, Cut] = dict.fromkeys(into, ("rows", (self.width,)))
        return cuts | dict.fromkeys(("to_out.0", "to_add_out"), ("columns", (self.width,)))

    def __call__(self, image: mx.array, text: mx.array, rope: Rope) -> tuple[mx.array, mx.array]:
        q, k, v = _heads(self.to_qkv(image), self.head_dim)
        text_q, text_k, text_v = _heads(self.to_added_qkv(text), self.head_dim)
        q = mx.concatenate([self.norm_added_q(text_q), self.norm_q(q)], axis=2)
        k = mx.concatenate([self.norm_added_k(text_k), self.norm_k(k)], axis=2)
        v = mx.concatenate([text_v, v], axis=2)
        out = _merge_heads(attend(_rotate(q, *rope), _rotate(k, *rope), v, self.head_dim**-0.5))
        text_out, image_out = mx.split(out, [text.shape[1]], axis=1)
        return self.to_out[0](image_out), self.to_add_out(text_out)


class ParallelAttention(nn.Module):
    """Attention and gated MLP from one projection into one projection."""

    def __init__(self, dim: int, mlp_dim: int, head_dim: int, eps: float, linear: MakeLinear) -> None:
        super().__init__()
        self.width, self.mlp_dim, self.head_dim = dim, mlp_dim, head_dim
        self.to_qkv_mlp_proj = linear(dim, 3 * dim + 2 * mlp_dim)
        self.to_out = linear(dim + mlp_dim, dim)
        self.norm_q, self.norm_k = nn.RMSNorm(head_dim, eps=eps), nn.RMSNorm(head_dim, eps=eps)

    def cuts(self) -> Cuts:
        qkv, mlp = (self.width,) * 3, (self.mlp_dim,) * 2
        return {"to_qkv_mlp_proj": ("rows", qkv + mlp), "to_out": ("columns", (self.width, self.mlp_dim))}

    def __call__(self, x: mx.array, rope: Rope) -> mx.array:
        ends = [3 * self.width, 3 * self.width + self.mlp_dim]
        qkv, gate, value = mx.split(self.to_qkv_mlp_proj(x), ends, axis=-1)
        q, k, v = _heads(qkv, self.head_dim)
        q, k = _rotate(self.norm_q(q), *rope), _rotate(self.norm_k(k), *rope)
        out = _merge_heads(attend(q, k, v, self.head_dim**-0.5))
        return self.to_out(mx.concatenate([out, swiglu(gate, value)], axis=-1))


class FeedForward(nn.Module):
    """Gated MLP."""

    def __init__(self, dim: int, mlp_dim: int, linear: MakeLinear) -> None:
        super().__init__()
        self.mlp_dim = mlp_dim
        self.linear_in, self.linear_out = linear(dim, 2 * mlp_dim), linear(mlp_dim, dim)

    def cuts(self) -> Cuts:
        return {"linear_in": ("rows", (self.mlp_dim,) * 2), "linear_out": ("columns", (self.mlp_dim,))}

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear_out(swiglu(*mx.split(self.linear_in(x), 2, axis=-1)))


def _linears(config: TransformerConfig) -> MakeLinear:
    return partial(make_linear, stored=Storage(config.bits, config.group_size))


def make_linear(in_features: int, out_features: int, stored: Storage) -> StoredLinear:
    if stored.packed:
        return PackedLinear(in_features, out_features, stored.bits, stored.group_size)
    return DenseLinear(in_features, out_features)


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
