"""Qwen3 as a prompt encoder, streamed: one layer's weights are in memory at a time.

Encoding is a single forward pass, so every layer is used once. Layers after the last one that is wanted, the final norm
and the output head are never read, and of the embedding table only the rows of the prompt's tokens are. The blocks are
`mlx-lm`'s own, with their linears packed.
"""

from __future__ import annotations

from collections.abc import Generator

import mlx.core as mx
import mlx.nn as nn

from .checkpoint import TEXT_ENCODER, Checkpoint
from .layout import TextEncoderConfig
from .packed import PackedLinear
from .tokenizer import TokenizedPrompt


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
    for index in range(needed):
        hidden = _layer(config, tensors, index, dtype)(hidden, mask)
        mx.eval(hidden)
        if index + 1 in checkpoint.prompt_layers:
            kept[index + 1] = hidden
        yield index + 1, needed
    return mx.concatenate([kept[layer] for layer in checkpoint.prompt_layers], axis=-1)


def _embed(checkpoint: Checkpoint, ids: list[int]) -> mx.array:
    """Token embeddings [1, tokens, hidden], float32, reading only the rows that occur."""
    config = checkpoint.text_encoder
    weight, scales, biases = (
        checkpoint.load_rows(TEXT_ENCODER, f"model.embed_tokens.{name}", ids) for name in ("weight", "scales", "biases")
    )
    rows = mx.dequantize(
        weight,
        scales.astype(mx.float32),
        biases.astype(mx.float32),
        group_size=config.group_size,
        bits=config.bits,
    )
    return rows[None]


def _causal_and_valid(tokens: int, valid: int) -> mx.array:
    """Boolean [1, 1, tokens, tokens]: which keys (last axis) each query sees."""
    positions = mx.arange(tokens)
    mask = (positions[:, None] >= positions[None]) & (positions[None] < valid)
    return mask[None, None]


def _layer(config: TextEncoderConfig, tensors: dict[str, mx.array], index: int, dtype: mx.Dtype) -> nn.Module:
    """Layer `index`, its tensors moved out of `tensors` so that they are freed together with it."""
    from mlx_lm.models.qwen3 import ModelArgs, TransformerBlock  # slow to import, and a cached prompt needs none of it

    args = ModelArgs(
        model_type="qwen3",
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        intermediate_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        rms_norm_eps=config.rms_norm_eps,
        vocab_size=config.vocab_size,
        num_key_value_heads=config.num_key_value_heads,
        max_position_embeddings=config.max_position_embeddings,
        head_dim=config.head_dim,
        tie_word_embeddings=True,
        rope_theta=config.rope_theta,
    )
    block = TransformerBlock(args)
    prefix = f"model.layers.{index}."
    weights = []
    for name in [name for name in tensors if name.startswith(prefix)]:
        tensor = tensors.pop(name)
        weights.append((name.removeprefix(prefix), tensor.astype(dtype) if "norm" in name else tensor))
    block.update_modules(_packed_linears(block, config))
    block.load_weights(weights, strict=True)
    return block


def _packed_linears(block: nn.Module, config: TextEncoderConfig) -> dict[str, dict[str, PackedLinear]]:
    """A packed linear for each of the block's, as a tree that `update_modules` takes."""
    return {
        part: {
            name: PackedLinear(linear.weight.shape[1], linear.weight.shape[0], config.bits, config.group_size)
            for name, linear in block[part].children().items()
            if isinstance(linear, nn.Linear)
        }
        for part in ("self_attn", "mlp")
    }
