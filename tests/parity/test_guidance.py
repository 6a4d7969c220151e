"""Guidance of models that are not distilled, against diffusers in float32 on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline

from bonsai_mlx import Pipeline

from .reference import load_reference, reference_prompt_embeds, to_uint8
from .test_family import PROMPT, saved
from .test_pictures import assert_same, photo

STEPS = 3


@torch.no_grad()
def drawn_by_reference(theirs: Flux2KleinPipeline, latents: np.ndarray, negative: str, **given: object) -> np.ndarray:
    prompts = [torch.from_numpy(reference_prompt_embeds(theirs, text)) for text in (PROMPT, negative)]
    found = theirs(
        prompt_embeds=prompts[0],
        negative_prompt_embeds=prompts[1],
        latents=torch.from_numpy(latents),
        width=128,
        height=96,
        num_inference_steps=STEPS,
        output_type="np",
        **given,
    )
    return to_uint8(found.images[0])


@pytest.mark.parametrize("negative", ["", "blurry, a green house"], ids=["none", "some"])
def test_two_passes(
    negative: str, tiny_checkpoint: Callable[..., Path], tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    theirs = load_reference(tiny_checkpoint("8-bit"))
    theirs.register_to_config(is_distilled=False)
    ours = Pipeline.from_pretrained(saved(theirs, tmp_path), dtype=mx.float32)
    assert ours.model.describe().recommended_guidance == 4.0
    latents = noise(ours.model.checkpoint.transformer.in_channels, 128, 96)
    given = {"seed": 0, "steps": STEPS, "width": 128, "height": 96, "latents": latents}
    found = ours.generate(PROMPT, negative_prompt=negative, guidance=4.0, **given)
    assert found.request.guidance == 4.0
    assert_same(found.image, drawn_by_reference(theirs, latents, negative, guidance_scale=4.0))
    if negative:
        looked = ours.generate(PROMPT, negative_prompt=negative, guidance=2.5, references=[photo((64, 80))], **given)
        expected = drawn_by_reference(theirs, latents, negative, guidance_scale=2.5, image=[photo((64, 80))])
        assert_same(looked.image, expected)
    else:
        plain = ours.generate(PROMPT, guidance=1.0, **given)
        assert_same(plain.image, drawn_by_reference(theirs, latents, negative, guidance_scale=1.0))
