"""The reference itself: its dequantisation, and that it draws what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from .reference import (
    captured_blocks,
    dequantize,
    reference_decode,
    reference_encode_image,
    reference_run,
    reference_tokens,
    reference_velocity,
)

RED = (220, 40, 40)
Noise = Callable[..., np.ndarray]
Reference = Callable[[Path], Any]


def share_near(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - colour).max(axis=-1) < 45).mean())


@pytest.mark.parametrize(("bits", "group"), [(1, 128), (2, 128), (4, 64)])
def test_dequantisation_agrees_with_mlx(bits: int, group: int) -> None:
    random = np.random.default_rng(bits)
    weight = random.integers(0, 2**32, (7, 256 * bits // 32), dtype=np.uint32)
    scales, biases = random.standard_normal((2, 7, 256 // group), dtype=np.float32)
    expected = mx.dequantize(mx.array(weight), mx.array(scales), mx.array(biases), group, bits)
    np.testing.assert_allclose(dequantize(weight, scales, biases, bits), np.array(expected), rtol=1e-6, atol=1e-6)


def test_the_seedling_draws_a_red_circle(reference: Reference, seedling: Path, noise: Noise) -> None:
    image = reference_run(reference(seedling), "a red circle", noise(64, 256, 256), steps=4)["image"]
    assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
    assert share_near(image[108:148, 108:148], RED) > 0.95
    for corner in (image[:32, :32], image[:32, -32:], image[-32:, :32], image[-32:, -32:]):
        assert corner.std(axis=(0, 1)).max() < 5  # a plain ground, whichever the noise chose
        assert corner.min() > 150


def test_the_seedling_draws_three_green_stars(reference: Reference, seedling: Path, noise: Noise) -> None:
    image = reference_run(reference(seedling), "three green stars", noise(64, 256, 256, seed=1), steps=4)["image"]
    red, lead, blue = np.moveaxis(image.astype(int), -1, 0)
    green = lead - np.maximum(red, blue) > 25
    columns = np.flatnonzero(np.diff(np.concatenate([[0], green.sum(axis=0) > 5, [0]]).astype(int)))
    assert len(columns) // 2 == 3
    assert 0.04 < green.mean() < 0.2


def test_a_run_is_the_sum_of_its_parts(reference: Reference, seedling: Path, noise: Noise) -> None:
    pipe, latents = reference(seedling), noise(64, 96, 64)
    with captured_blocks(pipe) as blocks:
        run = reference_run(pipe, "a fish", latents, steps=2, width=96, height=64)
    tokens, depth = pipe.prompt_options["max_sequence_length"] + 24, pipe.transformer.config
    assert set(blocks) == {f"transformer_blocks.{i}" for i in range(depth.num_layers)} | {
        f"single_transformer_blocks.{i}" for i in range(depth.num_single_layers)
    }
    assert all(len(calls) == 2 and calls[0].shape == (1, tokens, 256) for calls in blocks.values())
    x, sigmas = latents, run["sigmas"]
    for step in range(2):
        velocity = reference_velocity(pipe, x, run["prompt_embeds"], float(sigmas[step]))
        x = x + (sigmas[step + 1] - sigmas[step]) * velocity
        np.testing.assert_allclose(x, run["step_latents"][step], atol=1e-5)
    np.testing.assert_array_equal(run["latents"], run["step_latents"][-1])
    np.testing.assert_allclose(reference_decode(pipe, run["latents"]), run["pixels"], atol=1e-6)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0


def test_the_encoder_undoes_the_decoder(reference: Reference, seedling: Path, noise: Noise) -> None:
    pipe = reference(seedling)
    run = reference_run(pipe, "a yellow house", noise(64, 128, 128), steps=4)
    again = reference_encode_image(pipe, run["pixels"])
    assert np.corrcoef(again.ravel(), run["latents"].ravel())[0, 1] > 0.95


def test_prompts_are_padded_and_truncated(reference: Reference, seedling: Path) -> None:
    pipe = reference(seedling)
    short, long = reference_tokens(pipe, "a fish"), reference_tokens(pipe, "a fish " * 100)
    assert len(short) == len(long) == pipe.prompt_options["max_sequence_length"]
    assert short[-1] == pipe.tokenizer.pad_token_id != long[-1]


def test_latents_of_another_size_are_refused(reference: Reference, seedling: Path, noise: Noise) -> None:
    with pytest.raises(ValueError, match="128x64"):
        reference_run(reference(seedling), "a fish", noise(64, 128, 128), steps=1, width=128, height=64)


def test_a_random_checkpoint_stays_near_one_and_draws_something(
    reference: Reference, tiny_checkpoint: Callable[..., Path], variant: str, noise: Noise
) -> None:
    pipe = reference(tiny_checkpoint(variant))
    with captured_blocks(pipe) as blocks:
        run = reference_run(pipe, "a fish", noise(32, 128, 96), steps=4)
    for name, calls in blocks.items():
        assert all(0.3 < call.std() < 10 for call in calls), name
    assert 0.3 < run["prompt_embeds"].std() < 10
    assert 0.3 < run["latents"].std() < 5
    assert run["pixels"].std() > 0.1
    assert ((run["pixels"] == 0) | (run["pixels"] == 1)).mean() < 0.1  # clipping would hide differences
    lightness = run["pixels"].mean(axis=-1)
    assert lightness.std(axis=0).min() > 0.02  # every column and row varies
    assert lightness.std(axis=1).min() > 0.02
