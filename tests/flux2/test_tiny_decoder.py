"""Previews by TAEF2: used where it is there and fits, refused where the file is not whole, counted in the plan."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from huggingface_hub import constants

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2 import plan
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.parts.components import Components
from bonsai_mlx.flux2.parts.vae_memory import previewing
from bonsai_mlx.flux2.preview import MOST_PX, TinyDecoder
from bonsai_mlx.hub.catalog import part
from bonsai_mlx.hub.location import repository_folder
from bonsai_mlx.runtime import device
from bonsai_mlx.weights.layout import Elsewhere
from tests.cli.conftest import NARROW
from tests.tiny_decoder import Tensors, write_taef2

pytestmark = pytest.mark.slow

LATENTS = NARROW["vae"] | {"latent_channels": 32}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and none of fitted previews."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> Path:
    """Its latents have as many channels as FLUX.2's."""
    return tiny_checkpoint(**NARROW | {"vae": LATENTS})


def downloaded() -> Path:
    """TAEF2 in the cache, as `bonsai-mlx download taef2` leaves it."""
    entry = part("taef2")
    assert entry is not None
    return write_taef2(repository_folder(entry.repo or "") / "snapshots" / ("0" * 40))


def previews(pipe: Pipeline, **request: Any) -> tuple[list[Any], np.ndarray]:
    asked = GenerationRequest("a fox", **({"seed": 1, "steps": 2, "width": 96, "height": 64} | request))
    events = list(pipe.run(asked, preview=True))
    return [event.preview for event in events if event.preview], np.asarray(events[-1].result.image)


def test_it_is_used_once_it_is_here_and_changes_no_picture(model: Path) -> None:
    fitted, before = previews(Pipeline.from_pretrained(model))
    assert [preview.size for preview in fitted] == [(12, 8), (12, 8)]
    folder = downloaded()
    pipe = Pipeline.from_pretrained(model)
    shown, after = previews(pipe)
    assert [preview.size for preview in shown] == [(96, 64), (96, 64)]
    assert np.array_equal(before, after)
    assert all(np.asarray(preview).std() > 5 for preview in shown)
    assert (np.asarray(shown[0]) != np.asarray(shown[1])).any()
    other = write_taef2(folder.parents[3] / "other", seed=1)
    named, _ = previews(Pipeline.from_pretrained(model, preview_decoder=other))
    assert (np.asarray(named[0]) != np.asarray(shown[0])).any()
    by_name, _ = previews(Pipeline.from_pretrained(model, preview_decoder="taef2"))
    assert (np.asarray(by_name[0]) == np.asarray(shown[0])).all()


def test_the_last_preview_is_what_it_makes_of_the_latents_that_are_decoded(model: Path) -> None:
    downloaded()
    pipe = Pipeline.from_pretrained(model)
    seen: list[mx.array] = []
    show = TinyDecoder(pipe.model.checkpoint, mx.float32)
    pipe.model._preview = lambda packed: seen.append(packed) or show(packed)
    shown, _ = previews(pipe, steps=1)
    assert np.array_equal(np.asarray(shown[0]), np.asarray(show(seen[0])))


@pytest.mark.parametrize("variant", ["ternary"])
def test_other_latents_keep_their_own_previews(seedling: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    folder = downloaded()
    for checkpoint in (seedling, tiny_checkpoint("bf16")):
        assert not Pipeline.from_pretrained(checkpoint, preview_decoder=folder).model.checkpoint.tiny_preview


def test_a_large_preview_is_made_smaller(model: Path) -> None:
    checkpoint = Checkpoint.open(model, elsewhere=Elsewhere(preview=write_taef2(model.parent / "taef2")))
    shown = TinyDecoder(checkpoint, mx.float32)(mx.zeros((1, 128, 2, 40)))
    assert shown.size == (320, 16)
    assert max(shown.size) <= MOST_PX


def without(*starts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: value for name, value in tensors.items() if not name.startswith(starts)}


def latents_of(channels: int) -> Callable[[Tensors], Tensors]:
    name = "decoder.layers.0.weight"
    return lambda tensors: tensors | {name: np.zeros((64, channels, 3, 3), np.float32)}


def test_a_file_without_an_encoder_is_whole(model: Path, tmp_path: Path) -> None:
    folder = write_taef2(tmp_path / "decoder", without("encoder."))
    whole = write_taef2(tmp_path / "whole")
    both = [previews(Pipeline.from_pretrained(model, preview_decoder=one))[0][-1] for one in (folder, whole)]
    assert np.array_equal(*map(np.asarray, both))
    alone, _ = previews(Pipeline.from_pretrained(model, preview_decoder=folder / "taef2.safetensors"))
    assert np.array_equal(np.asarray(alone[-1]), np.asarray(both[0]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("decoder.layers.3.conv.2.weight"), r"tensor decoder.layers.3.conv.2.weight is missing \(1 in all\)"),
        (without("encoder.layers.2.weight"), "tensor encoder.layers.2.weight is missing"),
        (without("decoder.layers.4.pool."), "tensor decoder.layers.4.pool.0.weight is missing"),
        (lambda t: t | {"decoder.layers.18.scale": np.zeros(1, np.float32)}, "unexpected tensor decoder.layers.18.sc"),
        (lambda t: t | {"decoder.layers.6.weight": np.zeros((64, 64, 1, 1), np.float32)}, "decoder.layers.6.weight is"),
        (lambda t: t | {"decoder.layers.18.bias": np.zeros(3, np.int32)}, "decoder.layers.18.bias is I32"),
        (latents_of(16), "a tiny decoder for latents of 16 channels; FLUX.2 has 32"),
        (without("decoder."), "it is no TAEF2: it has no tensor decoder.layers.0.weight"),
    ],
)
def test_every_tensor_is_accounted_for(
    change: Callable[[Tensors], Tensors], told: str, model: Path, tmp_path: Path
) -> None:
    folder = write_taef2(tmp_path / "broken", change)
    with pytest.raises(CheckpointError, match=f"taef2.safetensors: .*{told}.*bonsai-mlx download taef2"):
        Pipeline.from_pretrained(model, preview_decoder=folder)


def test_what_is_no_file_is_refused(model: Path, tmp_path: Path) -> None:
    path = write_taef2(tmp_path / "cut") / "taef2.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"not a complete safetensors file .*bonsai-mlx download taef2"):
        Pipeline.from_pretrained(model, preview_decoder=tmp_path / "cut")
    with pytest.raises(CheckpointError, match="there is no such preview decoder; give the path of one, or taef2"):
        Pipeline.from_pretrained(model, preview_decoder=tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"there is no such tiny decoder; give the file taef2.safetensors"):
        Checkpoint.open(model, elsewhere=Elsewhere(preview=tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        CheckpointError, match=r"taef2.safetensors: the file is missing; get it again .bonsai-mlx download taef2"
    ):
        Pipeline.from_pretrained(model, preview_decoder=tmp_path / "empty")


@pytest.mark.parametrize(("width", "height"), [(64, 64), (256, 192), (512, 256)])
def test_its_memory_is_predicted(width: int, height: int, tmp_path: Path) -> None:
    tiny = Components("").preview(write_taef2(tmp_path / "taef2"))
    tensors = tiny.config.tensors()
    show = TinyDecoder(SimpleNamespace(load=lambda _: tiny.source.load(tensors)), mx.float32)  # type: ignore[arg-type]
    packed = mx.random.normal((1, 128, height // 16, width // 16))
    mx.eval(packed)
    gc.collect()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    show(packed)
    measured = mx.get_peak_memory() - before
    assert previewing(width, height, device.backend(), 4) == pytest.approx(measured, rel=1 / 6)
    assert mx.get_active_memory() == before, "nothing stays"


def test_the_plan_counts_it_between_two_steps(held_by_others: int, model: Path, tmp_path: Path) -> None:
    """Where a step needs less than a preview, this is the widest moment of denoising."""
    checkpoint = Checkpoint.open(model)
    plain, shown = (
        list(plan.levels(checkpoint, 256, 256, device.backend(), 4, preview=kind)) for kind in (None, "tiny")
    )
    for without_it, with_it in zip(plain, shown, strict=True):
        taken = with_it.resident_bytes + previewing(256, 256, device.backend(), 4)
        assert with_it.phases["denoise"] == max(taken, without_it.phases["denoise"])
        assert taken > without_it.phases["denoise"]
    looking = plan.choose(checkpoint, 256, 256, device="cpu", item_bytes=4, preview="tiny", references=[(512, 512)])
    assert (
        looking.phases["denoise"]
        > plan.choose(checkpoint, 256, 256, device="cpu", item_bytes=4, preview="tiny").phases["denoise"]
    )
    pipe = Pipeline.from_pretrained(model, preview_decoder=write_taef2(tmp_path / "taef2"))
    request = GenerationRequest("a red circle", seed=1, steps=1, width=256, height=256)
    resolved = pipe.model.resolve(request)
    predicted = pipe.model.plan(resolved, None, preview=True)
    list(pipe.run(GenerationRequest("a red circle", seed=1, steps=1, width=64, height=64), preview=True))
    *_, last = pipe.run(request, preview=True)
    measured = last.result.memory["phases"]["denoise"] - held_by_others
    assert measured == pytest.approx(predicted.phases["denoise"], rel=0.1)
    assert pipe.model.plan(resolved, None).phases["denoise"] < predicted.phases["denoise"]
