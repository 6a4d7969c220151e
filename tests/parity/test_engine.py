"""The engine against diffusers and transformers, in float32 on the same weights, from tokens to pixels."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
import torch

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2 import scheduler, vae
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.transformer import modulation_schedule, project_context, rotary_embedding

from .reference import (
    captured_blocks,
    reference_encode_image,
    reference_prompt_embeds,
    reference_run,
    reference_tokens,
)

RELATIVE_ERROR = 1e-4
SIZES = [(64, 64), (128, 128), (256, 64), (96, 208)]  # smallest, square, wide, tall
PROMPTS = ["a red fox, ink wash", ".", "🦊 狐狸在雪地里 — ночь", "a very long story about a tree " * 100]


def relative_error(found: mx.array | np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a part of the largest expected value."""
    found = np.array(found.astype(mx.float32)) if isinstance(found, mx.array) else found
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_same_picture(found: np.ndarray, expected: np.ndarray) -> None:
    """At least 99.9 % of the values within 1 level of 255, none off by more than 2."""
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert (difference <= 1).mean() >= 0.999
    assert difference.max() <= 2


def engine_run(pipe: Pipeline, prompt: str, latents: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Final packed latents and pixels of a run; the size follows from the latents."""
    height, width = (16 * side for side in latents.shape[2:])
    seen = []
    decode = vae.decode

    def remember(checkpoint: Checkpoint, final: mx.array, *rest: object, **options: object) -> object:
        seen.append(np.array(final))
        return decode(checkpoint, final, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "decode", remember)
        result = pipe.generate(prompt, seed=0, steps=steps, width=width, height=height, latents=latents)
    return seen[0], np.asarray(result.image)


@pytest.mark.parametrize("tokens", [16, 1024, 4096, 4300, 4301, 16384])
@pytest.mark.parametrize("steps", [1, 2, 4, 8, 50])
def test_sigmas(tokens, steps, reference, tiny_checkpoint):
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    theirs = reference(tiny_checkpoint("ternary")).scheduler
    theirs.set_timesteps(
        sigmas=np.linspace(1.0, 1 / steps, steps), mu=compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
    )
    np.testing.assert_allclose(scheduler.sigmas(tokens, steps), theirs.sigmas.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_tokens_and_prompt_embeddings(prompt, variant, reference, tiny_checkpoint):
    folder = tiny_checkpoint(variant)
    pipe, theirs = Pipeline.from_pretrained(folder), reference(folder)
    assert pipe.model.tokenize(prompt).ids == reference_tokens(theirs, prompt).tolist()
    assert relative_error(_embeddings(pipe, prompt), reference_prompt_embeds(theirs, prompt)) <= RELATIVE_ERROR


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_block(width, height, variant, reference, tiny_checkpoint, noise):
    folder = tiny_checkpoint(variant)
    pipe, theirs = Pipeline.from_pretrained(folder), reference(folder)
    config = pipe.model.checkpoint.transformer
    latents = noise(config.in_channels, width, height)
    with captured_blocks(theirs) as expected:
        reference_run(theirs, PROMPTS[0], latents, steps=1)

    sigmas = scheduler.sigmas(width * height // 256, 1)
    modulation = modulation_schedule(pipe.model.checkpoint, [1000 * sigmas[0]], mx.float32)[0]
    text = project_context(pipe.model.checkpoint, _embeddings(pipe, PROMPTS[0]), mx.float32)
    rope = rotary_embedding(config, text.shape[1], [(0, height // 16, width // 16)])
    transformer = pipe.model.transformer(streamed=False)
    image = transformer.x_embedder(mx.array(latents.reshape(1, config.in_channels, -1).transpose(0, 2, 1)))
    blocks, found = transformer.blocks(), {}
    for index in range(config.num_layers):
        image, text = blocks.double(index)(image, text, modulation.image, modulation.text, rope)
        joined = found[f"transformer_blocks.{index}"] = mx.concatenate([text, image], axis=1)
    for index in range(config.num_single_layers):
        joined = found[f"single_transformer_blocks.{index}"] = blocks.single(index)(joined, modulation.single, rope)
    assert found.keys() == expected.keys()
    for name, states in found.items():
        assert relative_error(states, expected[name][0]) <= RELATIVE_ERROR, name


def test_positions_of_a_picture_and_of_the_pictures_it_looks_at(reference, tiny_checkpoint):
    """Ours as cosines and sines of what the reference numbers, by its own rotary embedding."""
    folder = tiny_checkpoint("ternary")
    theirs, config = reference(folder), Checkpoint.open(folder).transformer
    text, drawn, references = torch.zeros(1, 7, 1), torch.zeros(1, 1, 4, 6), [(3, 5), (2, 2), (4, 1)]
    ids = [theirs._prepare_text_ids(text)[0], theirs._prepare_latent_ids(drawn)[0]]
    ids.append(theirs._prepare_image_ids([torch.zeros(1, 1, *sides) for sides in references])[0])
    cosines, sines = theirs.transformer.pos_embed(torch.cat(ids))
    grids = [(0, 4, 6), *((10 * (place + 1), *sides) for place, sides in enumerate(references))]
    for found, expected in zip(rotary_embedding(config, 7, grids), (cosines, sines), strict=True):
        assert found.shape[0] == 7 + 24 + 15 + 4 + 4
        np.testing.assert_allclose(np.array(found), expected[:, ::2].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "width", "height", "steps"),
    [
        ("ternary", 64, 64, 4),
        ("binary", 128, 128, 4),
        ("ternary", 256, 64, 4),
        ("binary", 96, 208, 4),
        ("ternary", 64, 64, 1),
        ("binary", 64, 64, 8),
    ],
)
def test_whole_run(width, height, steps, variant, reference, tiny_checkpoint, noise):
    folder = tiny_checkpoint(variant)
    pipe, theirs = Pipeline.from_pretrained(folder), reference(folder)
    latents = noise(pipe.model.checkpoint.transformer.in_channels, width, height, seed=steps)
    prompt = PROMPTS[steps % len(PROMPTS)]
    expected = reference_run(theirs, prompt, latents, steps=steps)
    final, pixels = engine_run(pipe, prompt, latents, steps)
    assert relative_error(final, expected["latents"]) <= RELATIVE_ERROR
    assert_same_picture(pixels, expected["image"])


@pytest.mark.parametrize(("variant", "prompt"), list(zip(["ternary", "binary"] * 2, PROMPTS, strict=True)))
def test_whole_run_of_every_prompt(prompt, variant, reference, tiny_checkpoint, noise):
    folder = tiny_checkpoint(variant)
    pipe, theirs = Pipeline.from_pretrained(folder), reference(folder)
    latents = noise(pipe.model.checkpoint.transformer.in_channels, 64, 96)
    expected = reference_run(theirs, prompt, latents, steps=2)
    final, pixels = engine_run(pipe, prompt, latents, 2)
    assert relative_error(final, expected["latents"]) <= RELATIVE_ERROR
    assert_same_picture(pixels, expected["image"])


@pytest.mark.parametrize(
    ("variant", "prompt"),
    [("ternary", "a bonsai tree at sunset"), ("binary", "three green stars")],
)
def test_seedlings_draw_the_reference_pictures(prompt, seedling, reference, noise):
    pipe, theirs = Pipeline.from_pretrained(seedling), reference(seedling)
    width, height = pipe.model.checkpoint.recommended_size
    latents = noise(pipe.model.checkpoint.transformer.in_channels, width, height, seed=len(prompt))
    expected = reference_run(theirs, prompt, latents, steps=2)
    final, pixels = engine_run(pipe, prompt, latents, 2)
    assert relative_error(final, expected["latents"]) <= RELATIVE_ERROR
    assert_same_picture(pixels, expected["image"])


def test_bfloat16_stays_close_to_float32(seedling, noise):
    exact = Pipeline.from_pretrained(seedling, dtype=mx.float32)
    rounded = Pipeline.from_pretrained(seedling, dtype=mx.bfloat16)
    request = {"seed": 0, "steps": 4, "width": 64, "height": 64}
    a = np.asarray(exact.generate("a blue boat on the sea", **request).image, dtype=float)
    b = np.asarray(rounded.generate("a blue boat on the sea", **request).image, dtype=float)
    assert 10 * np.log10(255**2 / np.mean((a - b) ** 2)) >= 35


def test_vae_encoder(variant, reference, tiny_checkpoint):
    folder = tiny_checkpoint(variant)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = reference_encode_image(reference(folder), pixels / 255)
    found = vae.PixelEncoder(Checkpoint.open(folder), mx.float32)(pixels)
    assert relative_error(found, expected) <= RELATIVE_ERROR


def _embeddings(pipe: Pipeline, prompt: str) -> mx.array:
    encoding = pipe.model.prompt_embeddings(prompt)
    while True:
        try:
            next(encoding)
        except StopIteration as stop:
            return stop.value
