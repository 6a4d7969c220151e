"""What the stages are given: pictures that do not depend on how they were made, normalised latents, captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from seedling.draw import rendering  # noqa: E402
from seedling.model.corpus import Corpus, Pictures  # noqa: E402
from seedling.model.networks import from_tokens, from_uint8, patchify, to_tokens, unpatchify  # noqa: E402
from seedling.model.text import PromptTokenizer  # noqa: E402
from seedling.model.vae import encode, load_vae, reconstruction_loss  # noqa: E402
from seedling.options import preset  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


def test_pictures_do_not_depend_on_the_chunks_they_are_drawn_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(preset("smoke"), size=32)
    for name, chunk in (("one", 8), ("other", 3)):
        monkeypatch.setattr(rendering, "CHUNK", chunk)
        (tmp_path / name).mkdir()
        rendering.render(tmp_path / name, options, 8)
    assert np.array_equal(rendering.pictures(tmp_path / "one"), rendering.pictures(tmp_path / "other"))
    assert rendering.captions(tmp_path / "one") == rendering.captions(tmp_path / "other")


def test_held_back_pictures_are_others(trained: Any) -> None:
    ours, held = Pictures(trained), Pictures(trained, rendering.HELD_BACK)
    same = [bool((ours.pixels == picture).all((1, 2, 3)).any()) for picture in held.pixels]
    assert not any(same)


def test_crops_are_parts_of_pictures(trained: Any) -> None:
    pictures = Pictures(trained)
    crops = pictures.crops(3, 16, torch.Generator().manual_seed(0))
    assert crops.shape == (3, 3, 16, 16)
    assert crops.abs().max() <= 1
    whole = pictures.crops(2, trained.options.size, torch.Generator().manual_seed(0))
    levels = ((whole + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
    assert bool((pictures.pixels.cpu() == levels[0]).all((1, 2, 3)).any())


def test_latents_are_normalised_at_both_sizes(trained: Any) -> None:
    corpus = Corpus(trained)
    for half, side in ((False, trained.options.grid), (True, trained.options.grid // 2)):
        batch = corpus.batch(256, torch.Generator().manual_seed(0), half=half)
        assert batch.latents.shape == (256, side**2, trained.options.token_channels)
        tolerance = 0.5 if half else 0.15  # the statistics are those of the full size
        assert batch.latents.mean().abs() < tolerance
        assert abs(batch.latents.std() - 1) < tolerance


def test_latents_are_those_of_their_pictures(trained: Any) -> None:
    """However little the VAE has been trained: a slow machine takes few steps."""
    corpus, vae = Corpus(trained), load_vae(trained).eval()
    stored = (corpus._full[:4].float() - corpus._mean) / corpus._std
    pixels = from_uint8(Pictures(trained).pixels[:4])
    encoded = (to_tokens(encode(vae, pixels)) - corpus._mean) / corpus._std
    assert (stored - encoded).abs().mean() < 0.02
    assert (stored - encoded.flip(0)).abs().mean() > 0.2


def test_some_captions_are_left_empty(trained: Any) -> None:
    corpus = Corpus(trained)
    none = corpus.batch(64, torch.Generator().manual_seed(0), unconditional=1.0)
    ids, lengths = corpus.without_text(64)
    assert torch.equal(none.ids, ids)
    assert torch.equal(none.lengths, lengths)
    some = corpus.batch(64, torch.Generator().manual_seed(0), unconditional=0.0)
    assert (some.lengths > none.lengths).all()


def test_captions_belong_to_their_pictures(trained: Any) -> None:
    corpus = Corpus(trained)
    texts = rendering.captions(trained.cache)
    tokenizer = PromptTokenizer(trained.folder / "tokenizer", trained.options.text_tokens)
    ids, _ = tokenizer([options[1] for options in texts])
    assert np.array_equal(corpus._ids[:, 1].cpu().numpy(), ids)


def test_packing_latents_is_undone() -> None:
    latents = torch.randn(2, 4, 8, 8)
    assert torch.equal(unpatchify(from_tokens(to_tokens(patchify(latents)))), latents)


def test_a_perfect_reconstruction_costs_nothing() -> None:
    assert reconstruction_loss(torch.zeros(1, 3, 8, 8)) == 0
    flat, edge = torch.full((1, 3, 8, 8), 0.1), torch.zeros(1, 3, 8, 8)
    edge[..., ::2] = 0.2
    assert reconstruction_loss(edge) > reconstruction_loss(flat)  # equal levels, wrong edges
