"""Qwen3 as a prompt encoder, streamed: one layer's weights are in memory at a time.

Encoding is a single forward pass, so every layer is used once. Layers after the last one that is wanted, the final norm
and the output head are never read, and of the embedding table only the rows of the prompt's tokens are. While one layer
is computed the next is read, so two are in memory. Reference: `transformers.Qwen3Model`, whose names these are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..nn.activations import swiglu
from ..nn.attention import attend
from ..nn.layers import read, take
from ..nn.linear import PackedLinear, StoredLinear
from ..text.tokenizer import TokenizedPrompt
from ..weights.layout import TEXT_ENCODER
from ..weights.spec import Storage
from .blocks import make_linear
from .checkpoint import Checkpoint
from .parts.config import TextEncoderConfig

CACHED_EMBEDDINGS = 1  # 8 MB in the 4B model: what a picture by the other variant is made from


class EmbeddingCache:
    """What was made of the latest prompts, by what determines it. Pipelines with one text encoder can share one."""

    def __init__(self, capacity: int = CACHED_EMBEDDINGS) -> None:
        self._items: OrderedDict[tuple[Any, ...], mx.array] = OrderedDict()
        self._capacity = capacity

    def get(self, key: tuple[Any, ...]) -> mx.array | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def clear(self) -> None:
        self._items.clear()

    def put(self, key: tuple[Any, ...], value: mx.array) -> None:
        """Keep `value`, dropping the least recently used beyond the capacity."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)


def encode(
    checkpoint: Checkpoint, prompt: TokenizedPrompt, dtype: mx.Dtype
) -> Generator[tuple[int, int], None, mx.array]:
    """Prompt embeddings [1, tokens, joint_attention_dim]: the chosen layers' hidden states, side by side.

    A generator, so that it can be watched and stopped: yields (layers done, layers needed), returns the embeddings.
    Padding is masked as attention keys only; its positions are part of the result, as the transformer was trained.
    """
    config = checkpoint.text_encoder
    needed = max(checkpoint.prompt_layers)
    hidden = _embed(checkpoint, prompt.ids).astype(dtype)
    mask = _causal_and_valid(len(prompt.ids), prompt.length)
    tensors = checkpoint.load(TEXT_ENCODER)
    kept = {}
    layer = _layer(config, tensors, 0, dtype)
    for done in range(1, needed + 1):
        read(layer)
        hidden = layer(hidden, mask)
        mx.async_eval(hidden)  # type: ignore[no-untyped-call]
        del layer
        if done < needed:  # the next is read meanwhile
            layer = _layer(config, tensors, done, dtype)
            mx.async_eval(layer.parameters())  # type: ignore[no-untyped-call]
        mx.eval(hidden)
        if done in checkpoint.prompt_layers:
            kept[done] = hidden
        yield done, needed
    embeddings = mx.concatenate([kept[layer] for layer in checkpoint.prompt_layers], axis=-1)
    mx.eval(embeddings)  # before anybody keeps them: if the device fails, there is nothing to keep
    return embeddings


def _embed(checkpoint: Checkpoint, ids: list[int]) -> mx.array:
    """Token embeddings [1, tokens, hidden], float32, reading only the rows that occur."""
    config = checkpoint.text_encoder
    if not Storage(config.bits, config.group_size).packed:
        return checkpoint.load_rows(TEXT_ENCODER, "model.embed_tokens.weight", ids).astype(mx.float32)[None]
    weight, scales, biases = (
        checkpoint.load_rows(TEXT_ENCODER, f"model.embed_tokens.{name}", ids) for name in ("weight", "scales", "biases")
    )
    if config.bits == 1:  # which `mx.dequantize` lacks on some devices, without an error
        linear = PackedLinear(config.hidden_size, len(ids), config.bits, config.group_size)
        linear.weight, linear.scales, linear.biases = weight, scales, biases
        return linear.dequantized()[None]
    rows = mx.dequantize(
        weight,
        scales.astype(mx.float32),
        biases.astype(mx.float32),
        group_size=config.group_size,
        bits=config.bits,
    )
    return rows[None]


def _causal_and_valid(tokens: int, valid: int) -> mx.array:
    """Boolean [tokens, tokens]: which keys (last axis) each query sees."""
    positions = mx.arange(tokens)
    return (positions[:, None] >= positions[None]) & (positions[None] < valid)


class Layer(nn.Module):
    """One decoder layer: [1, tokens, hidden] -> the same shape."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        x = x + self.self_attn(self.input_layernorm(x), mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys, and RoPE over the two halves of a head."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.head_dim, self.rope_theta = config.head_dim, config.rope_theta
        width, hidden = config.num_attention_heads * config.head_dim, config.hidden_size
        kv_width = config.num_key_value_heads * config.head_dim
        self.q_proj = _linear(config, hidden, width)
        self.k_proj = _linear(config, hidden, kv_width)
        self.v_proj = _linear(config, hidden, kv_width)
        self.o_proj = _linear(config, width, hidden)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        queries = self._rotated(self.q_norm(self._heads(self.q_proj(x))))
        keys = self._rotated(self.k_norm(self._heads(self.k_proj(x))))
        out = attend(queries, keys, self._heads(self.v_proj(x)), self.head_dim**-0.5, mask)
        return self.o_proj(out.transpose(0, 2, 1, 3).flatten(-2))

    def _heads(self, x: mx.array) -> mx.array:
        """[1, tokens, heads * head_dim] -> [1, heads, tokens, head_dim]"""
        return x.reshape(*x.shape[:2], -1, self.head_dim).transpose(0, 2, 1, 3)

    def _rotated(self, x: mx.array) -> mx.array:
        return mx.fast.rope(x, self.head_dim, traditional=False, base=self.rope_theta, scale=1.0, offset=0)


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.gate_proj = _linear(config, config.hidden_size, config.intermediate_size)
        self.up_proj = _linear(config, config.hidden_size, config.intermediate_size)
        self.down_proj = _linear(config, config.intermediate_size, config.hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))


def _linear(config: TextEncoderConfig, inputs: int, outputs: int) -> StoredLinear:
    return make_linear(inputs, outputs, Storage(config.bits, config.group_size))


def _layer(config: TextEncoderConfig, tensors: dict[str, mx.array], index: int, dtype: mx.Dtype) -> Layer:
    """Layer `index`, its tensors moved out of `tensors` so that they are freed together with it."""
    layer, weights = Layer(config), take(tensors, f"model.layers.{index}.")
    layer.load_weights([(n, t.astype(dtype) if "norm" in n else t) for n, t in weights.items()], strict=True)
    return layer
