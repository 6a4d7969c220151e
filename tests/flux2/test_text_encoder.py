"""The streamed text encoder against mlx-lm's whole Qwen3, and what it leaves unread."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bonsai_mlx.flux2 import text_encoder
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.text_encoder import EmbeddingCache
from bonsai_mlx.text.tokenizer import TokenizedPrompt, Tokenizer
from bonsai_mlx.weights.layout import TEXT_ENCODER, TOKENIZER


def finish(encoding: Generator[tuple[int, int], None, mx.array]) -> tuple[list[tuple[int, int]], mx.array]:
    events = []
    while True:
        try:
            events.append(next(encoding))
        except StopIteration as stop:
            return events, stop.value


@pytest.fixture
def checkpoint(seedling: Path) -> Checkpoint:
    return Checkpoint.open(seedling)


@pytest.fixture
def prompt(checkpoint: Checkpoint) -> TokenizedPrompt:
    tokenizer = Tokenizer.from_folder(checkpoint.folders[TOKENIZER])
    return tokenizer.encode_prompt("a red house and two stars", checkpoint.max_sequence_length)


def whole_model(checkpoint: Checkpoint) -> Any:
    """mlx-lm's own Qwen3 with the checkpoint's weights expanded to float32."""
    from mlx_lm.models.qwen3 import ModelArgs, Qwen3Model

    config = checkpoint.text_encoder
    names = ModelArgs.__dataclass_fields__
    fields = {name: getattr(config, name) for name in names if hasattr(config, name)}
    model = Qwen3Model(ModelArgs(model_type="qwen3", tie_word_embeddings=True, **fields))
    tensors = {name.removeprefix("model."): value for name, value in checkpoint.load(TEXT_ENCODER).items()}
    weights = []
    for name, value in tensors.items():
        if name.removesuffix("weight") + "scales" in tensors and name.endswith(".weight"):
            stem = name.removesuffix("weight")
            scales, biases = (tensors[stem + part].astype(mx.float32) for part in ("scales", "biases"))
            weights.append((name, mx.dequantize(value, scales, biases, config.group_size, config.bits)))
        elif not name.endswith((".scales", ".biases")):
            weights.append((name, value.astype(mx.float32)))
    model.load_weights(weights, strict=True)
    return model


def test_the_hidden_states_are_those_of_the_whole_model(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    _, embeddings = finish(text_encoder.encode(checkpoint, prompt, mx.float32))
    model = whole_model(checkpoint)
    hidden = model.embed_tokens(mx.array([prompt.ids[: prompt.length]]))  # without padding, so no mask of ours
    states = []
    mask = nn.MultiHeadAttention.create_additive_causal_mask(prompt.length)
    for index, layer in enumerate(model.layers, start=1):
        hidden = layer(hidden, mask)
        if index in checkpoint.prompt_layers:
            states.append(hidden)
    expected = np.array(mx.concatenate(states, axis=-1))
    found = np.array(embeddings[:, : prompt.length])
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_every_position_is_returned_padding_included(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    _, embeddings = finish(text_encoder.encode(checkpoint, prompt, mx.float32))
    assert embeddings.shape == (1, checkpoint.max_sequence_length, checkpoint.transformer.joint_attention_dim)
    assert prompt.length < checkpoint.max_sequence_length
    assert np.abs(np.array(embeddings[:, prompt.length :])).max() > 0


def test_padding_is_not_seen(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    _, embeddings = finish(text_encoder.encode(checkpoint, prompt, mx.float32))
    other = TokenizedPrompt(
        **{
            name: getattr(prompt, name) if name != "ids" else [*prompt.ids[: prompt.length], *[9] * len(prompt.ids)]
            for name in TokenizedPrompt.__dataclass_fields__
        }
    )
    other.ids[:] = other.ids[: len(prompt.ids)]
    _, changed = finish(text_encoder.encode(checkpoint, other, mx.float32))
    assert mx.array_equal(embeddings[:, : prompt.length], changed[:, : prompt.length])
    assert not mx.array_equal(embeddings[:, prompt.length :], changed[:, prompt.length :])


def test_the_mask_is_causal_and_hides_padding() -> None:
    mask = np.array(text_encoder._causal_and_valid(4, 3))
    assert mask.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, False],
    ]


def test_layers_after_the_last_wanted_one_are_not_run(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    events, _ = finish(text_encoder.encode(checkpoint, prompt, mx.float32))
    needed = max(checkpoint.prompt_layers)
    assert needed < checkpoint.text_encoder.num_hidden_layers
    assert events == [(done, needed) for done in range(1, needed + 1)]


def test_two_layers_are_in_memory_at_a_time(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    finish(text_encoder.encode(checkpoint, prompt, mx.float32))  # imports done
    before = mx.get_active_memory()
    encoding = text_encoder.encode(checkpoint, prompt, mx.float32)
    held = []
    while True:
        try:
            next(encoding)
        except StopIteration:
            break
        held.append(mx.get_active_memory() - before)
    hidden_bytes = checkpoint.max_sequence_length * checkpoint.text_encoder.hidden_size * 4
    *earlier, last = held  # with the last layer nothing is read ahead
    assert max(earlier) < min(earlier) + 4 * hidden_bytes + 4096  # grows by the states that are kept, not by weights
    assert last < min(earlier)


def test_the_activations_type_is_kept(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> None:
    _, embeddings = finish(text_encoder.encode(checkpoint, prompt, mx.bfloat16))
    assert embeddings.dtype == mx.bfloat16


def test_the_cache_drops_what_was_used_least_recently() -> None:
    cache = EmbeddingCache(2)
    for name in ("a", "b"):
        cache.put((name,), mx.array(1))
    cache.get(("a",))
    cache.put(("c",), mx.array(1))
    assert [cache.get((name,)) is not None for name in "abc"] == [True, False, True]
