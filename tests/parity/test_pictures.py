"""Pictures that go in, against diffusers' two pipelines in float32 on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import diffusers.pipelines.flux2.pipeline_flux2_klein_inpaint as inpainting
import mlx.core as mx
import numpy as np
import pytest
import torch
from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline
from PIL import Image

from bonsai_mlx import Pipeline

from .reference import reference_prompt_embeds, to_uint8

PROMPT, STEPS = "a red fox", 4
SIZE = (128, 96)


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Soft blobs of colour."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def masked(box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, box)
    return mask


@torch.no_grad()
def drawn_by_reference(
    theirs: Flux2KleinPipeline, latents: np.ndarray[Any, Any], pictures: Sequence[Image.Image], steps: int
) -> np.ndarray[Any, Any]:
    found = theirs(
        prompt_embeds=torch.from_numpy(reference_prompt_embeds(theirs, PROMPT)),
        image=list(pictures),
        latents=torch.from_numpy(latents),
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=steps,
        guidance_scale=1.0,
        output_type="np",
    )
    return to_uint8(found.images[0])


@torch.no_grad()
def repainted_by_reference(
    theirs: Flux2KleinPipeline,
    latents: np.ndarray[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    **given: Any,
) -> np.ndarray[Any, Any]:
    """With this noise: what it takes as `latents` would replace the start as well."""
    monkeypatch.setattr(inpainting, "randn_tensor", lambda *_args, **_options: torch.from_numpy(latents))
    pipe = Flux2KleinInpaintPipeline(
        scheduler=theirs.scheduler,
        vae=theirs.vae,
        text_encoder=theirs.text_encoder,
        tokenizer=theirs.tokenizer,
        transformer=theirs.transformer,
        is_distilled=True,
    )
    pipe.set_progress_bar_config(disable=True)
    embeds = torch.from_numpy(reference_prompt_embeds(theirs, PROMPT))
    found = pipe(prompt_embeds=embeds, num_inference_steps=STEPS, guidance_scale=1.0, output_type="np", **given)
    return to_uint8(found.images[0])


def assert_same(found: Image.Image, expected: np.ndarray[Any, Any]) -> None:
    difference = np.abs(np.asarray(found).astype(int) - expected.astype(int))
    assert (difference <= 1).mean() >= 0.999
    assert difference.max() <= 2


@pytest.fixture
def both(
    variant: str, reference: Callable[..., Flux2KleinPipeline], tiny_checkpoint: Callable[..., Any]
) -> tuple[Pipeline, Flux2KleinPipeline]:
    folder = tiny_checkpoint(variant)
    return Pipeline.from_pretrained(folder, dtype=mx.float32), reference(folder)


def noise_for(pipe: Pipeline, seed: int = 3) -> np.ndarray[Any, Any]:
    channels = pipe.model.checkpoint.transformer.in_channels
    shape = (1, channels, SIZE[1] // 16, SIZE[0] // 16)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("variant", "sizes"),
    [
        *(
            (variant, sizes)
            for variant in ("ternary", "binary")
            for sizes in ([(128, 96)], [(128, 96), (80, 80), (200, 71)])
        ),
        ("binary", [(101, 99)]),  # odd
    ],
)
def test_references(sizes: list[tuple[int, int]], both: tuple[Pipeline, Flux2KleinPipeline]) -> None:
    assert_same_references(sizes, STEPS, *both)


def test_a_reference_of_more_than_a_megapixel(
    reference: Callable[..., Flux2KleinPipeline], tiny_checkpoint: Callable[..., Any]
) -> None:
    """By two blocks of one head, for there are four thousand tokens to look at."""
    blocks = {"num_layers": 1, "num_single_layers": 1}
    blocks |= {"num_attention_heads": 1, "attention_head_dim": 128, "axes_dims_rope": [32] * 4}
    narrow = {"block_out_channels": [8] * 4, "norm_num_groups": 4}
    folder = tiny_checkpoint("ternary", transformer=blocks, vae=narrow)
    ours = Pipeline.from_pretrained(folder, dtype=mx.float32)
    assert_same_references([(1100, 1000)], 1, ours, reference(folder))


def assert_same_references(
    sizes: list[tuple[int, int]], steps: int, ours: Pipeline, theirs: Flux2KleinPipeline
) -> None:
    pictures, latents = [photo(size, seed) for seed, size in enumerate(sizes)], noise_for(ours)
    found = ours.generate(
        PROMPT, seed=0, steps=steps, width=SIZE[0], height=SIZE[1], latents=latents, references=pictures
    )
    assert_same(found.image, drawn_by_reference(theirs, latents, pictures, steps))


@pytest.mark.parametrize("further", [False, True])
@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("variant", ["ternary"])
def test_masks(
    strength: float, further: bool, both: tuple[Pipeline, Flux2KleinPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = both
    image, mask, latents = photo(SIZE), masked((30, 20, 90, 70)), noise_for(ours)
    reference = photo((64, 80), 5) if further else None
    found = ours.generate(
        PROMPT,
        seed=0,
        steps=STEPS,
        latents=latents,
        init_image=image,
        mask=mask,
        strength=strength,
        strength_rule="steps",
        restore_unmasked=False,
        source_as_reference=True,
        references=[reference] if reference else [],
    )
    expected = repainted_by_reference(
        theirs,
        latents,
        monkeypatch,
        image=image,
        mask_image=mask,
        image_reference=[reference] if reference else None,
        strength=strength,
    )
    assert_same(found.image, expected)


@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("variant", ["binary"])
def test_redrawing(strength: float, both: tuple[Pipeline, Flux2KleinPipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference has no pipeline for it: its mask pipeline with a white mask is what it is."""
    ours, theirs = both
    image, latents = photo((132, 101)), noise_for(ours)
    found = ours.generate(
        PROMPT,
        seed=0,
        steps=STEPS,
        latents=latents,
        init_image=image,
        strength=strength,
        strength_rule="steps",
        source_as_reference=True,
    )
    white = Image.new("L", image.size, 255)
    expected = repainted_by_reference(theirs, latents, monkeypatch, image=image, mask_image=white, strength=strength)
    assert_same(found.image, expected)


def test_in_half_precision_nearly_the_same(variant: str, tiny_checkpoint: Callable[..., Any]) -> None:
    folder = tiny_checkpoint(variant)
    given: dict[str, Any] = {
        "init_image": photo(SIZE),
        "mask": masked((30, 20, 90, 70)),
        "references": [photo((64, 64))],
    }
    whole, half = (
        np.asarray(
            Pipeline.from_pretrained(folder, dtype=dtype)
            .generate(PROMPT, seed=1, steps=2, strength=0.8, restore_unmasked=False, **given)
            .image
        ).astype(float)
        for dtype in (mx.float32, mx.bfloat16)
    )
    assert 10 * np.log10(255**2 / np.mean((whole - half) ** 2)) >= 35
