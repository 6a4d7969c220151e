"""A model whose latents are bits, tiny and random, through the pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.bits.model import Bits
from bonsai_mlx.errors import CheckpointError, RequestError
from bonsai_mlx.flux2 import vae
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.request import GenerationRequest


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray[Any, Any]]:
    """The latents of every picture that is decoded."""
    seen: list[np.ndarray[Any, Any]] = []
    decode = vae.decode

    def remember(checkpoint: Any, latents: mx.array, *rest: Any, **options: Any) -> Any:
        seen.append(np.array(latents))
        return decode(checkpoint, latents, *rest, **options)

    monkeypatch.setattr(vae, "decode", remember)
    return seen


def test_it_draws_bits_the_same_for_a_seed(pipe: Pipeline, decoded: list[Any]) -> None:
    assert isinstance(pipe.model, Bits)
    assert pipe.model.describe().family == "bits"
    results = [pipe.generate("a fox", seed=seed, steps=3, width=64, height=96) for seed in (5, 5, 6)]
    assert np.array_equal(np.unique(decoded[0]), [-1, 1])
    assert decoded[0].shape == (1, pipe.model.checkpoint.transformer.in_channels, 6, 4)
    assert np.array_equal(decoded[0], decoded[1])
    assert not np.array_equal(decoded[0], decoded[2])
    assert results[0].image.tobytes() == results[1].image.tobytes()
    recipe = results[0].recipe
    assert recipe is not None
    assert (recipe.scheduler, recipe.shift) == ("BernoulliScheduler", None)


@pytest.mark.slow
def test_steps_are_its_own_and_previews_come(pipe: Pipeline) -> None:
    assert pipe.resolve(GenerationRequest("a fox")).steps == 16
    events = list(pipe.run(GenerationRequest("a fox", seed=1, steps=2, width=64, height=64), preview=True))
    shown = [event.preview for event in events if event.preview is not None]
    assert [picture.size for picture in shown] == [(8, 8), (8, 8)]
    bits = [event.bits for event in events if event.bits is not None]
    assert [(picture.size, picture.mode) for picture in bits] == [((24, 24), "1")] * 2  # 8 channels, in rows of three
    last = events[-1].result
    assert last is not None
    assert last.code is not None
    final = np.unpackbits(np.frombuffer(BitCode.of_text(last.code).bits, np.uint8), bitorder="little").reshape(8, 8, 8)
    tiles = np.array(bits[-1])
    assert np.array_equal(tiles[:8, 8:16], final[..., 1])
    assert np.array_equal(tiles[16:, 8:16], final[..., 7])
    assert not tiles[16:, 16:].any()
    assert not np.array_equal(np.array(bits[0]), tiles)


def test_memory_is_as_planned(held_by_others: int, folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    request = GenerationRequest("a fox", seed=1, steps=2, width=256, height=256)
    plan = pipe.plan(request)
    *_, last = pipe.run(request)
    assert last.result is not None
    peak = last.result.memory["peak_bytes"] - held_by_others
    assert peak == pytest.approx(plan.peak_bytes, rel=0.10)


def test_known_tokens_keep_their_bits_and_the_transformer_is_told(pipe: Pipeline, decoded: list[Any]) -> None:
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    mask = Image.new("L", (96, 96))
    mask.paste(255, (0, 0, 48, 96))
    options: dict[str, Any] = {"init_image": picture, "mask": mask, "feather_px": 0, "only_masked": False, "steps": 2}
    pipe.generate("a fox", seed=1, **options)
    coded = np.array(_finish(vae.encode(pipe.model.checkpoint, np.asarray(picture), pipe.model.dtype)))
    assert np.array_equal(decoded[0][..., 3:], np.where(coded >= 0, 1, -1)[..., 3:])
    assert not np.array_equal(decoded[0][..., :3], np.where(coded >= 0, 1, -1)[..., :3])
    drawn = mx.array([[[1.0], [0.0]]])
    marks = pipe.model.marks(drawn)
    assert marks is not None
    assert not mx.any(marks[:, 0])
    assert mx.all(mx.any(marks[:, 1] != 0))


def test_a_picture_is_redrawn_from_its_own_bits(pipe: Pipeline, decoded: list[Any]) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for strength in (0.05, 1.0):
        pipe.generate("a fox", seed=1, steps=16, init_image=picture, strength=strength)
    coded = np.array(_finish(vae.encode(pipe.model.checkpoint, np.asarray(picture), pipe.model.dtype)))
    own = np.where(coded >= 0, 1, -1)
    alike = [float((latents == own).mean()) for latents in decoded]
    assert alike[0] > 0.9
    assert alike[1] < 0.75


def test_what_it_cannot_do_is_said(pipe: Pipeline) -> None:
    picture = Image.new("RGB", (64, 64))
    with pytest.raises(RequestError, match="looks at no pictures"):
        pipe.generate("a fox", references=[picture])
    with pytest.raises(RequestError, match="variation_amount: this model draws from coins"):
        pipe.generate("a fox", variation_amount=0.5)
    with pytest.raises(RequestError, match="latents: holds values other than -1 and \\+1"):
        pipe.generate("a fox", width=64, height=64, latents=np.zeros((1, 32, 4, 4)))


def test_bits_to_start_from(pipe: Pipeline, decoded: list[Any]) -> None:
    shape = (1, pipe.model.checkpoint.transformer.in_channels, 4, 4)
    first, second = (np.random.default_rng(seed).choice([-1.0, 1.0], shape) for seed in (0, 1))
    for latents in (first, first, second):
        pipe.generate("a fox", seed=3, steps=2, width=64, height=64, latents=latents)
    assert np.array_equal(decoded[0], decoded[1])


@pytest.mark.parametrize(
    ("latents", "said"),
    [
        ({"kind": "ternary"}, 'latents: kind must be "bernoulli"'),
        ("bits", "latents must be a JSON object"),
        ({"kind": "bernoulli", "schedule": "cosine"}, 'schedule must be "linear"'),
    ],
)
def test_other_latents_are_refused(folder: Path, tmp_path: Path, latents: Any, said: str) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    path = damaged / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"latents": latents}))
    with pytest.raises(CheckpointError, match=said.partition(": ")[2] or said):
        Pipeline.from_pretrained(damaged)


def test_a_flow_checkpoint_that_says_bits_is_refused(tiny_checkpoint: Any, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_checkpoint("binary"), tmp_path / "damaged")
    path = damaged / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"latents": {"kind": "bernoulli"}}))
    with pytest.raises(CheckpointError, match="FlowMatchEulerDiscreteScheduler', not BernoulliScheduler"):
        Pipeline.from_pretrained(damaged)


def _finish(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value
