"""The transformer: what is precomputed, what is streamed, and the order of things that is easy to get wrong."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bonsai_mlx.flux2.checkpoint import TRANSFORMER, Checkpoint
from bonsai_mlx.flux2.config import TransformerConfig
from bonsai_mlx.flux2.transformer import (
    DoubleStreamBlock,
    SingleStreamBlock,
    Transformer,
    modulation_schedule,
    project_context,
    rotary_embedding,
)

ROWS, COLUMNS = 4, 6


@pytest.fixture
def checkpoint(variant: str, tiny_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint.open(tiny_checkpoint(variant))


def velocity(
    transformer: Transformer, checkpoint: Checkpoint, timestep: float = 900.0, dtype: mx.Dtype = mx.float32
) -> mx.array:
    config = checkpoint.transformer
    keys = mx.random.split(mx.random.key(0))
    latents = mx.random.normal((1, ROWS * COLUMNS, config.in_channels), key=keys[0])
    embeddings = mx.random.normal((1, 64, config.joint_attention_dim), key=keys[1])
    context = project_context(checkpoint, embeddings, dtype)
    (modulation,) = modulation_schedule(checkpoint, [timestep], dtype)
    out = transformer(latents, context, modulation, rotary_embedding(config, 64, ROWS, COLUMNS))
    mx.eval(out)
    return out


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_streamed_equals_resident_bit_for_bit(checkpoint: Checkpoint, dtype: mx.Dtype) -> None:
    resident = velocity(Transformer(checkpoint, dtype), checkpoint, dtype=dtype)
    streamed = velocity(Transformer(checkpoint, dtype, streamed=True), checkpoint, dtype=dtype)
    assert resident.dtype == mx.float32
    assert resident.shape == (1, ROWS * COLUMNS, checkpoint.transformer.in_channels)
    assert float(mx.abs(resident).max()) > 0.01
    assert mx.array_equal(resident, streamed)


def test_streaming_holds_one_block_at_a_time(tiny_checkpoint: Callable[..., Path]) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(transformer={"num_layers": 1, "num_single_layers": 8}))
    mx.clear_cache()
    before = mx.get_active_memory()
    resident = Transformer(checkpoint, mx.float32)
    resident_bytes = mx.get_active_memory() - before
    del resident
    streamed = Transformer(checkpoint, mx.float32, streamed=True)
    held = []
    for _ in streamed.blocks():
        held.append(mx.get_active_memory() - before)
    del _
    assert len(held) == 9
    assert max(held) < 0.45 * resident_bytes
    assert mx.get_active_memory() - before < 0.1 * resident_bytes


def test_a_streamed_block_is_gone_before_the_next_is_read(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan counts one."""
    made: list[weakref.ref[nn.Module]] = []
    beside = []
    for kind in (DoubleStreamBlock, SingleStreamBlock):

        def begin(self: nn.Module, *arguments: object, begin: Callable[..., None] = kind.__init__) -> None:
            beside.append(sum(block() is not None for block in made))
            begin(self, *arguments)
            made.append(weakref.ref(self))

        monkeypatch.setattr(kind, "__init__", begin)
    checkpoint = Checkpoint.open(tiny_checkpoint(transformer={"num_layers": 2, "num_single_layers": 3}))
    velocity(Transformer(checkpoint, mx.float32, streamed=True), checkpoint)
    assert beside == [0] * 5


def test_the_timestep_matters(checkpoint: Checkpoint) -> None:
    transformer = Transformer(checkpoint, mx.float32)
    assert not mx.allclose(velocity(transformer, checkpoint, 900.0), velocity(transformer, checkpoint, 500.0))


def test_modulation_of_many_steps_is_that_of_each(checkpoint: Checkpoint) -> None:
    timesteps = [1000.0, 875.4, 700.7]
    together = modulation_schedule(checkpoint, timesteps, mx.float32)
    for step, timestep in zip(together, timesteps, strict=True):
        (alone,) = modulation_schedule(checkpoint, [timestep], mx.float32)
        for ours, theirs in zip(
            (*step.image, *step.text, step.single), (*alone.image, *alone.text, alone.single), strict=True
        ):
            assert mx.allclose(ours.scale, theirs.scale, rtol=1e-5, atol=1e-6)
            assert mx.allclose(ours.shift, theirs.shift, rtol=1e-5, atol=1e-6)
            assert mx.allclose(ours.gate, theirs.gate, rtol=1e-5, atol=1e-6)


def test_norm_out_gives_scale_before_shift(checkpoint: Checkpoint) -> None:
    (step,) = modulation_schedule(checkpoint, [700.0], mx.float32)
    tensors = {name: np.array(value.astype(mx.float32)) for name, value in _unpacked(checkpoint).items()}
    silu = lambda x: x / (1 + np.exp(-x))  # noqa: E731
    angles = 700.0 * np.exp(-np.log(10000.0) * np.arange(128) / 128)
    x = np.concatenate([np.cos(angles), np.sin(angles)])
    embedder = "time_guidance_embed.timestep_embedder"
    x = tensors[f"{embedder}.linear_2.weight"] @ silu(tensors[f"{embedder}.linear_1.weight"] @ x)
    scale, shift = np.split(tensors["norm_out.linear.weight"] @ silu(x), 2)
    assert np.allclose(np.array(step.out.scale), 1 + scale, rtol=1e-3, atol=1e-3)
    assert np.allclose(np.array(step.out.shift), shift, rtol=1e-3, atol=1e-3)
    shift, scale, gate = np.split(tensors["single_stream_modulation.linear.weight"] @ silu(x), 3)
    assert np.allclose(np.array(step.single.shift), shift, rtol=1e-3, atol=1e-3)
    assert np.allclose(np.array(step.single.scale), 1 + scale, rtol=1e-3, atol=1e-3)
    assert np.allclose(np.array(step.single.gate), gate, rtol=1e-3, atol=1e-3)


def _unpacked(checkpoint: Checkpoint) -> dict[str, mx.array]:
    return {name: value for name, value in checkpoint.load(TRANSFORMER).items() if value.dtype == mx.bfloat16}


def test_context_is_the_projected_embeddings(checkpoint: Checkpoint) -> None:
    embeddings = mx.random.normal((1, 5, checkpoint.transformer.joint_attention_dim), key=mx.random.key(4))
    weight = _unpacked(checkpoint)["context_embedder.weight"].astype(mx.float32)
    assert mx.allclose(project_context(checkpoint, embeddings, mx.float32), embeddings @ weight.T, atol=1e-5)


def test_positions_are_text_first_then_rows_and_columns(checkpoint: Checkpoint) -> None:
    config = checkpoint.transformer
    cosines, sines = (np.array(part) for part in rotary_embedding(config, 3, 2, 2))
    quarter = config.axes_dims_rope[0] // 2
    frequencies = config.rope_theta ** -(np.arange(quarter) / quarter)
    positions = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 2), (0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 1, 1, 0)]
    angles = np.concatenate([np.outer(axis, frequencies) for axis in np.array(positions).T], axis=1)
    assert np.allclose(cosines, np.cos(angles), atol=1e-6)
    assert np.allclose(sines, np.sin(angles), atol=1e-6)


def test_blocks_come_in_order_and_joint_projections_are_one(checkpoint: Checkpoint) -> None:
    config: TransformerConfig = checkpoint.transformer
    kinds = [type(block) for block in Transformer(checkpoint, mx.float32).blocks()]
    assert kinds == [DoubleStreamBlock] * config.num_layers + [SingleStreamBlock] * config.num_single_layers
    double = next(iter(Transformer(checkpoint, mx.float32).blocks()))
    assert double.attn.to_qkv.weight.shape[0] == 3 * config.dim
    assert "to_q" not in double.attn


def test_bfloat16_is_close_to_float32(checkpoint: Checkpoint) -> None:
    exact = velocity(Transformer(checkpoint, mx.float32), checkpoint)
    rounded = velocity(Transformer(checkpoint, mx.bfloat16), checkpoint, dtype=mx.bfloat16)
    assert float(mx.linalg.norm(exact - rounded) / mx.linalg.norm(exact)) < 0.05
