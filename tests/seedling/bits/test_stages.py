"""All stages of the bits on tiny networks, and the engine's equality with what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.torch import load_file  # noqa: E402

from bonsai_mlx import Pipeline  # noqa: E402
from bonsai_mlx.flux2 import vae  # noqa: E402
from bonsai_mlx.flux2.transformer import project_context, rotary_embedding  # noqa: E402
from seedling.bits import autoencoder, bernoulli, codes, diffusion  # noqa: E402
from seedling.bits.corpus import BitCorpus  # noqa: E402
from seedling.model.distil import unpack_transformer  # noqa: E402
from seedling.model.networks import build_transformer, from_uint8, patchify, unpatchify  # noqa: E402
from seedling.model.run import EXPORT, Run  # noqa: E402
from seedling.options import BITS_STAGES, TIMED, preset  # noqa: E402
from seedling.stages import train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose text encoder is the published one, so that no run of the seedling goes before it."""
    torch.set_num_threads(1)
    text: dict[str, Any] = {"text_hidden": 128, "text_heads": 4, "text_inner": 384, "vocabulary": 1024}
    options = replace(preset("smoke"), **text, minutes=dict.fromkeys(TIMED, 0.002))
    run = Run(tmp_path_factory.mktemp("run"), options)
    for stage in BITS_STAGES[:-1]:
        train(run, stage, "bits")
    transformer = build_transformer(
        options, in_channels=options.token_channels + 1, out_channels=options.token_channels
    )
    torch.manual_seed(0)
    with torch.no_grad():  # after so few steps much of what was trained is still zero
        for weight in transformer.parameters():
            weight.copy_(torch.randn_like(weight) / weight.shape[-1] ** 0.5)
    run.keep(diffusion.PACKED, diffusion.packed_bits(transformer, options))
    train(run, BITS_STAGES[-1], "bits")
    return run


@pytest.fixture(scope="module")
def pipe(run: Run) -> Pipeline:
    return Pipeline.from_pretrained(run.folder / EXPORT / "bits", dtype=mx.float32)


def finished(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def test_every_stage_is_done_and_noted(run: Run) -> None:
    assert all(run.done(stage) for stage in BITS_STAGES)
    assert {"psnr", "undecided"} <= run.progress["bits-decoder"].keys()
    assert 0 <= run.progress["bits-codes"]["entropy"] <= 1


def test_codes_are_the_pictures_bits(run: Run) -> None:
    model = autoencoder.load_autoencoder(run).eval()
    pixels = torch.from_numpy(np.load(run.cache / "pictures-0.npy")[:2])
    bits = autoencoder.encode(model, from_uint8(pixels))
    stored = autoencoder.unpacked_codes(np.load(autoencoder.codes_file(run))[:2])
    assert (bits.flatten(2).transpose(1, 2) == stored).float().mean() > 0.98  # the decoder's stage keeps the encoder
    batch = BitCorpus(run).batch(4, torch.Generator().manual_seed(0))
    assert set(batch.latents.unique().tolist()) == {-1.0, 1.0}
    assert batch.latents.shape == (4, 16, run.options.token_channels)


def test_a_run_goes_on_from_the_published_autoencoder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = run.folder / EXPORT / "bits" / "vae" / "diffusion_pytorch_model.safetensors"
    monkeypatch.setattr(autoencoder, "AUTOENCODER_FILE", published)
    later = Run(tmp_path / "later", run.options)
    train(later, "bits-ae", "bits")
    assert later.done("bits-ae")
    pixels = torch.from_numpy(np.load(run.cache / "pictures-0.npy")[:2])
    before, after = (autoencoder.load_autoencoder(one).eval().logits(from_uint8(pixels)) for one in (run, later))
    decided = before.abs() > 0.1  # weights were rounded to bfloat16
    assert ((before >= 0) == (after >= 0))[decided].float().mean() > 0.995


def test_the_engine_codes_and_decodes_as_training_does(run: Run, pipe: Pipeline) -> None:
    """The normalisation of logits is inside of a convolution there, and weights are rounded to bfloat16."""
    checkpoint = pipe.model.checkpoint  # type: ignore[attr-defined]
    model = autoencoder.load_autoencoder(run).eval()
    pixels = np.load(run.cache / "pictures-0.npy")[0]
    engine = np.array(finished(vae.encode(checkpoint, pixels, mx.float32)))
    with torch.no_grad():
        ours = patchify(model.logits(from_uint8(torch.from_numpy(pixels[None]))))
    decided = np.abs(ours.numpy()) > 0.1
    assert decided.mean() > 0.5
    assert ((engine >= 0) == (ours.numpy() >= 0))[decided].mean() > 0.995
    bits = codes.binarised(ours).detach()
    model.vae.load_state_dict(load_file(run.folder / EXPORT / "bits" / "vae" / "diffusion_pytorch_model.safetensors"))
    with torch.no_grad():
        expected = model.decoded(unpatchify(bits)).clamp(-1, 1).permute(0, 2, 3, 1)[0].numpy() * 127.5 + 127.5
    found = finished(vae.decode(checkpoint, mx.array(bits.numpy()), mx.float32))
    assert np.abs(found - expected).max() <= 1.5


def test_the_engine_says_of_flips_what_training_says_also_with_known_tokens(run: Run, pipe: Pipeline) -> None:
    options, model = run.options, pipe.model
    tensors = load_file(
        run.folder / EXPORT / "bits" / "transformer-packed-mflux" / "diffusion_pytorch_model.safetensors"
    )
    known_column = tensors.pop("known_embedder.weight")
    tensors["x_embedder.weight"] = torch.cat([tensors["x_embedder.weight"], known_column[:, None]], 1)
    generator = diffusion.BitGenerator(options, BitCorpus(run).tokenizer.vocabulary)
    unpack_transformer(tensors, generator.transformer, "binary")
    embeddings = finished(model.prompt_embeddings("a red fox"))  # type: ignore[attr-defined]
    random = np.random.default_rng(0)
    bits = random.choice([-1.0, 1.0], (1, options.grid**2, options.token_channels)).astype(np.float32)
    known = (random.random((1, options.grid**2, 1)) < 0.5).astype(np.float32)
    assert known_column.float().abs().max() > 0
    context = torch.from_numpy(np.array(embeddings.astype(mx.float32)))
    with torch.no_grad():
        tokens = torch.from_numpy(np.concatenate([bits, known], -1))
        expected = generator.velocity(tokens, torch.tensor([0.5]), context).numpy()
    checkpoint, transformer = model.checkpoint, model.transformer(streamed=False)  # type: ignore[attr-defined]
    rope = rotary_embedding(checkpoint.transformer, context.shape[1], [(0, options.grid, options.grid)])
    found = transformer(
        mx.array(bits),
        project_context(checkpoint, embeddings, mx.float32),
        model.modulation([0.5, 0.0])[0],  # type: ignore[attr-defined]
        rope,
        None,
        model.marks(1 - mx.array(known)),  # type: ignore[attr-defined]
    )
    assert np.abs(np.array(found) - expected).max() <= 1e-3 * np.abs(expected).max()


def test_the_exported_model_draws(pipe: Pipeline) -> None:
    assert pipe.model.describe().recommended_steps == 16
    first, again = (pipe.generate("a red fox", seed=3, steps=2).image.tobytes() for _ in "12")
    assert first == again


def test_known_tokens_are_a_rectangle_or_all_around_it() -> None:
    torch.manual_seed(0)
    known = diffusion.known_tokens(torch.zeros(400, 16, 4), 0.5)
    some = known.flatten(1).any(1).float().mean().item()
    assert 0.4 < some < 0.6
    assert known.shape == (400, 16, 1)
    shares = known.flatten(1).mean(1)
    assert ((shares > 0.5) & (shares < 1)).any()
    marked = diffusion.marked(-torch.ones(400, 16, 4), torch.ones(400, 16, 4), known)
    assert torch.equal(marked[..., :4].mean(-1, keepdim=True), known * 2 - 1)
    assert torch.equal(marked[..., 4:], known)


def test_the_own_path_is_a_drawing_step_by_step() -> None:
    coins = torch.where(torch.rand(2, 4, 8) < 0.5, -1.0, 1.0)
    seen: list[float] = []

    def flips(tokens: Any, sigmas: Any, _: Any) -> Any:
        seen.append(sigmas[0].item())
        return -tokens[..., :-1] * 40.0  # the picture is all ones, for certain

    path = diffusion.own_path(flips, coins, torch.zeros(2, 1, 1), [1.0, 0.5, 0.25, 0.0])
    assert seen == [1.0, 0.5]
    assert path.shape == (3, 2, 4, 8)
    assert torch.equal(path[0], coins)
    assert path[2].mean() > path[1].mean() > 0.2


def test_a_transformer_begins_with_the_published_one_where_it_fits(tmp_path: Path) -> None:
    run = Run(tmp_path, replace(preset("cpu"), images=1))
    model = build_transformer(run.options, in_channels=65, out_channels=64)
    diffusion.begin(run, model)
    assert model.x_embedder.weight[:, 64].abs().max() == 0
    assert model.transformer_blocks[0].attn.to_q.weight.unique().numel() > 2
    assert torch.equal(bernoulli.noised(torch.ones(1, 4, 4), torch.zeros(1)), torch.ones(1, 4, 4))


def test_gradients_pass_bits_and_flips_are_as_many_as_asked() -> None:
    logits = torch.tensor([-2.0, -0.1, 0.0, 3.0], requires_grad=True)
    bits = codes.binarised(logits)
    assert bits.tolist() == [-1.0, -1.0, 1.0, 1.0]
    bits.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, 1 - torch.tanh(logits.detach()) ** 2)
    torch.manual_seed(0)
    drawn = codes.binarised(torch.full((20_000,), 0.25), gain=4.0)
    assert drawn.mean().item() == pytest.approx(np.tanh(0.5), abs=0.03)
    turned = codes.flipped(torch.ones(2, 100, 100), torch.tensor([0.0, 0.1])).mean((1, 2))
    assert turned.tolist() == pytest.approx([1.0, 0.8], abs=0.02)
    assert codes.indecision(torch.tensor([0.0])).item() == 0.25
