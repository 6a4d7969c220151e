"""A decoder, and a text encoder, in place of a model's own: the pictures of diffusers with the same parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import PRESETS

from .reference import load_reference, reference_run
from .test_engine import assert_same_picture

PROMPT, STEPS = "a red fox", 2


def small_decoder(folder: Path) -> AutoencoderKLFlux2:
    """Random weights as the published one has them, written by diffusers itself."""
    torch.manual_seed(3)
    fields = {name: value for name, value in PRESETS["tiny"].vae.items() if not name.startswith("_")}
    vae = AutoencoderKLFlux2(**fields, decoder_block_out_channels=(8, 8, 16, 16)).eval()
    vae.save_pretrained(folder)
    return vae


def test_a_small_decoder(
    tiny_checkpoint: Callable[..., Path], noise: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    folder = tiny_checkpoint("ternary")
    latents = noise(Checkpoint.open(folder).transformer.in_channels, 96, 64)
    theirs, small = load_reference(folder), small_decoder(tmp_path / "small")
    plain = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    theirs.vae.decoder, theirs.vae.post_quant_conv = small.decoder, small.post_quant_conv
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    assert np.abs(plain.astype(int) - expected).mean() > 3
    ours = Pipeline.from_pretrained(folder, decoder=tmp_path / "small")
    found = ours.generate(PROMPT, steps=STEPS, width=96, height=64, latents=latents)
    assert_same_picture(np.asarray(found.image), expected)


def test_another_text_encoder(
    tiny_checkpoint: Callable[..., Path], noise: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    folder, other = tiny_checkpoint("ternary"), tiny_checkpoint("ternary", seed=4)
    latents = noise(Checkpoint.open(folder).transformer.in_channels, 96, 64)
    theirs = load_reference(folder)
    theirs.text_encoder = load_reference(other).text_encoder
    expected = reference_run(theirs, PROMPT, latents, STEPS)["image"]
    ours = Pipeline.from_pretrained(folder, text_encoder=other)
    found = ours.generate(PROMPT, steps=STEPS, width=96, height=64, latents=latents)
    assert_same_picture(np.asarray(found.image), expected)
    theirs.text_encoder.save_pretrained(tmp_path / "dense")  # float32, by transformers
    ours = Pipeline.from_pretrained(folder, text_encoder=tmp_path / "dense")
    found = ours.generate(PROMPT, steps=STEPS, width=96, height=64, latents=latents)
    assert_same_picture(np.asarray(found.image), expected)
