"""The transformer: what is precomputed, what is streamed, and the order of things that is easy to get wrong."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.transformer import (
    StoredBlocks,
    Transformer,
    modulation_schedule,
    project_context,
    rotary_embedding,
)
from bonsai_mlx.nn.shards import Sharded
from bonsai_mlx.runtime import device
from bonsai_mlx.weights.layout import TRANSFORMER
from bonsai_mlx.weights.spec import tensor_bytes

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
    out = transformer(latents, context, modulation, rotary_embedding(config, 64, [(0, ROWS, COLUMNS)]))
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


WIDE = {"attention_head_dim": 64, "axes_dims_rope": [16] * 4, "num_attention_heads": 8}  # cut in two on a CPU


@pytest.mark.parametrize("overrides", [{}, WIDE], ids=["whole", "cut"])
def test_streaming_drops_a_block_before_it_reads_the_next(
    overrides: dict[str, Any], tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = {"num_layers": 3, "num_single_layers": 4}
    checkpoint = Checkpoint.open(tiny_checkpoint(transformer={**overrides, **layers}))
    config, held = checkpoint.transformer, []
    transformer = Transformer(checkpoint, mx.float32, streamed=True)
    (modulation,) = modulation_schedule(checkpoint, [900.0], mx.float32)
    inputs = mx.ones((1, 4, config.in_channels)), mx.ones((1, 2, config.dim))
    rope = rotary_embedding(config, 2, [(0, 2, 2)])
    mx.eval(inputs, rope)
    load = StoredBlocks._load
    gc.collect()
    before = mx.get_active_memory()

    def watched(self: StoredBlocks, *arguments: Any) -> None:
        held.append(mx.get_active_memory() - before)
        mx.reset_peak_memory()
        load(self, *arguments)
        peaks.append(mx.get_peak_memory() - before)

    peaks: list[int] = []
    monkeypatch.setattr(StoredBlocks, "_load", watched)
    mx.eval(transformer(*inputs, modulation, rope))
    block = tensor_bytes(config.single_block_tensors())
    assert len(held) == 7
    assert max(held) < 0.2 * block
    largest = tensor_bytes({n: t for n, t in config.single_block_tensors().items() if "to_qkv_mlp_proj" in n})
    assert max(peaks[3:]) < 1.2 * block + largest  # what is read is cut one tensor after the other


def test_the_resident_blocks_are_in_memory_once(tiny_checkpoint: Callable[..., Path]) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(transformer={**WIDE, "num_layers": 2, "num_single_layers": 2}))
    gc.collect()
    before = mx.get_active_memory()
    transformer = Transformer(checkpoint, mx.float32)
    config = checkpoint.transformer
    blocks = 2 * tensor_bytes(config.double_block_tensors()) + 2 * tensor_bytes(config.single_block_tensors())
    edges = 2 * 2 * config.in_channels * config.dim
    assert mx.get_active_memory() - before == pytest.approx(blocks + edges, rel=0.05)  # buffers are rounded up
    assert transformer.blocks() is transformer.blocks()


@pytest.mark.skipif(device.backend() != "cpu", reason="a GPU's blocks are not cut")
def test_a_block_that_is_cut_computes_what_the_whole_does(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(transformer=WIDE))
    cut = Transformer(checkpoint, mx.float32)
    assert isinstance(cut.blocks().single(0).attn, Sharded)
    monkeypatch.setattr("bonsai_mlx.flux2.loading.shares", lambda _: 1)
    whole = Transformer(checkpoint, mx.float32)
    assert not isinstance(whole.blocks().single(0).attn, Sharded)
    assert mx.allclose(velocity(cut, checkpoint), velocity(whole, checkpoint), rtol=1e-4, atol=1e-5)


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


def test_positions_are_text_first_then_the_rows_and_columns_of_each_grid(checkpoint: Checkpoint) -> None:
    config = checkpoint.transformer
    cosines, sines = (np.array(part) for part in rotary_embedding(config, 3, [(0, 2, 2), (10, 1, 2), (20, 2, 1)]))
    quarter = config.axes_dims_rope[0] // 2
    frequencies = config.rope_theta ** -(np.arange(quarter) / quarter)
    positions = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 2), (0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 1, 1, 0)]
    positions += [(10, 0, 0, 0), (10, 0, 1, 0), (20, 0, 0, 0), (20, 1, 0, 0)]
    angles = np.concatenate([np.outer(axis, frequencies) for axis in np.array(positions).T], axis=1)
    assert np.allclose(cosines, np.cos(angles), atol=1e-6)
    assert np.allclose(sines, np.sin(angles), atol=1e-6)


def test_the_projections_of_a_stream_are_one_product_and_keep_their_names(checkpoint: Checkpoint) -> None:
    config, attention = checkpoint.transformer, Transformer(checkpoint, mx.float32).blocks().double(0).attn
    assert attention.to_qkv.out_features == 3 * config.dim
    stored = checkpoint.load(TRANSFORMER)
    for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "to_out.0"):
        layer, _, index = name.partition(".")
        linear = attention[layer][int(index)] if index else attention[layer]
        assert mx.array_equal(linear.weight, stored[f"transformer_blocks.0.attn.{name}.weight"]), name


def test_bfloat16_is_close_to_float32(checkpoint: Checkpoint) -> None:
    exact = velocity(Transformer(checkpoint, mx.float32), checkpoint)
    rounded = velocity(Transformer(checkpoint, mx.bfloat16), checkpoint, dtype=mx.bfloat16)
    assert float(mx.linalg.norm(exact - rounded) / mx.linalg.norm(exact)) < 0.05
