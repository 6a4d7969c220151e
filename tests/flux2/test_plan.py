"""The memory plan: what it promises, what it refuses, and that the pipeline keeps to it."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.errors import OutOfMemory
from bonsai_mlx.flux2 import plan
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.parts.config import TextEncoderConfig, TransformerConfig, VaeConfig
from bonsai_mlx.result import GenerationResult
from bonsai_mlx.runtime import blas, device
from bonsai_mlx.weights.layout import PACKED
from bonsai_mlx.weights.spec import Storage

LEVELS = ["default", "drop", "stream"]


def full_size(bits: int, group_size: int = 128, encoder: Storage = Storage(4, 64)) -> Checkpoint:  # noqa: B008  frozen
    """The 4B model's dimensions; only its shapes are used, so no files are needed."""
    transformer = TransformerConfig(128, 5, 20, 128, 24, 7680, (32, 32, 32, 32), bits=bits, group_size=group_size)
    encoder = TextEncoderConfig(151936, 2560, 9728, 36, 32, 8, 128, bits=encoder.bits, group_size=encoder.group_size)
    return Checkpoint(
        root=Path("4b"),
        layout=PACKED,
        transformer=transformer,
        text_encoder=encoder,
        vae=VaeConfig((128, 256, 512, 512), 2, 32, 32),
        prompt_layers=(9, 18, 27),
        max_sequence_length=512,
        recommended_steps=4,
        recommended_size=(512, 512),
        folders={},
    )


@pytest.mark.parametrize(
    ("bits", "side", "most_gb"),
    [(2, 512, 1.5), (2, 1024, 2.0), (1, 512, 1.05), (1, 1024, 1.6)],
)
def test_the_4b_model_stays_within_its_budget_on_a_gpu(bits, side, most_gb):
    assert plan.choose(full_size(bits), side, side).peak_bytes <= most_gb * 1e9


@pytest.mark.parametrize(
    ("bits", "group_size", "encoder", "side", "streamed", "most_gb"),
    [
        (4, 64, Storage(4, 64), 512, False, 2.4),
        (4, 64, Storage(4, 64), 1024, False, 2.9),
        (16, 1, Storage(), 512, True, 1.0),
        (16, 1, Storage(), 1024, True, 1.5),
    ],
)
def test_klein_stays_within_its_budget_on_a_gpu(bits, group_size, encoder, side, streamed, most_gb):
    limit = int(most_gb * 1e9)
    chosen = plan.choose(full_size(bits, group_size, encoder), side, side, limit_bytes=limit)
    assert chosen.streamed is streamed


@pytest.mark.parametrize(("bits", "most_gb"), [(2, 1.06), (1, 0.60)])
def test_the_4b_model_between_pictures(bits, most_gb):
    assert plan.choose(full_size(bits), 512, 512).resident_bytes <= most_gb * 1e9


@pytest.mark.parametrize(("side", "most_gb"), [(512, 0.6), (1024, 1.0)])
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize(("backend", "item_bytes"), [("metal", 2), ("cpu", 4)])
def test_the_smallest_limit_of_the_4b_model(bits, side, most_gb, backend, item_bytes, monkeypatch):
    monkeypatch.setattr(blas, "threads", lambda: 2)
    limit = int(most_gb * 1e9)
    chosen = plan.choose(full_size(bits), side, side, device=backend, item_bytes=item_bytes, limit_bytes=limit)
    assert chosen.streamed


def test_an_impossible_limit_is_refused_with_the_smallest_that_can_be_met():
    checkpoint = full_size(2)
    with pytest.raises(OutOfMemory, match=r"the smallest that can be met is [0-9.]+ MB") as refusal:
        plan.choose(checkpoint, 1024, 1024, limit_bytes=10**8)
    smallest = (float(re.findall(r"([0-9.]+) MB", str(refusal.value))[-1]) + 0.05) * 1e6
    assert plan.choose(checkpoint, 1024, 1024, limit_bytes=int(smallest)).peak_bytes <= smallest


def test_a_limit_chooses_the_fastest_plan_that_fits():
    checkpoint = full_size(2)
    on_cpu = functools.partial(plan.choose, checkpoint, 1024, 1024, device="cpu", item_bytes=4)  # decoding is widest
    unlimited = on_cpu()
    assert unlimited.level == "default"
    assert on_cpu(limit_bytes=unlimited.peak_bytes).level == "default"
    dropping = on_cpu(limit_bytes=unlimited.peak_bytes - 1)
    assert dropping.level == "drop"
    assert on_cpu(limit_bytes=dropping.peak_bytes - 1).level == "stream"


def follow(
    pipe: Pipeline, width: int, height: int, level: str, *, preview: plan.PreviewKind | None = None
) -> plan.Plan:
    """Has the pipeline use the smallest plan of this level, also where another would need less."""
    plans = plan.levels(pipe.model.checkpoint, width, height, device.backend(), 4, preview=preview)
    followed = [p for p in plans if p.level == level][-1]
    pipe.model.plan = lambda *_, **__: followed
    return followed


def own_phases(result: GenerationResult, held_by_others: int) -> dict[str, int]:
    return {phase: held - held_by_others for phase, held in result.memory["phases"].items()}


def phases_are_as_predicted(checkpoint: Checkpoint, measured: dict[str, int], predicted: dict[str, int]) -> bool:
    """Whether none is a tenth above its prediction; encoding has what was made of the prompt before beside it."""
    transformer = checkpoint.transformer
    before = checkpoint.max_sequence_length * (transformer.joint_attention_dim + transformer.dim) * 4
    return all(measured[phase] <= 1.1 * limit + before * (phase == "encode") for phase, limit in predicted.items())


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "width", "height"), [("ternary", 128, 128), ("binary", 256, 128)])
def test_prediction_is_within_a_tenth_of_what_is_measured_and_every_plan_makes_the_same_picture(
    held_by_others, width, height, seedling
):
    drawn = []
    for level in LEVELS:
        pipe = Pipeline.from_pretrained(seedling)
        drawn.append(assert_as_predicted(pipe, width, height, level, held_by_others))
        del pipe  # its weights are none of the next one's
    assert np.ptp(drawn[0]) > 50
    assert all(np.abs(other - drawn[0]).max() <= 1 for other in drawn[1:])


@pytest.mark.slow
@pytest.mark.parametrize("level", ["default", "stream"])  # what drops its blocks has the same ones while it draws
@pytest.mark.parametrize("variant", ["ternary"])
def test_so_it_is_with_shares_at_once(held_by_others, level, seedling, two_threads):
    assert_as_predicted(Pipeline.from_pretrained(seedling), 128, 128, level, held_by_others)


def assert_as_predicted(
    pipe: Pipeline, width: int, height: int, level: str, held_by_others: int
) -> np.ndarray[Any, Any]:
    """The picture that was drawn."""
    followed = follow(pipe, width, height, level)
    pipe.generate("a red circle", seed=1, steps=1, width=64, height=64)  # what it leaves is the same at any size
    result = pipe.generate("a blue boat", seed=1, steps=1, width=width, height=height)
    assert result.memory["peak_bytes"] - held_by_others == pytest.approx(followed.peak_bytes, rel=0.10)
    phases = own_phases(result, held_by_others)
    assert phases_are_as_predicted(pipe.model.checkpoint, phases, followed.phases), phases
    return np.asarray(result.image, dtype=int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "made_before"), [("default", False), ("default", True), ("drop", True), ("stream", False)]
)
@pytest.mark.parametrize("variant", ["ternary"])
def test_a_first_preview_alone_is_in_the_plan(held_by_others, level, made_before, seedling, tmp_path, monkeypatch):
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path))
    pipe = Pipeline.from_pretrained(seedling)
    request = GenerationRequest("a red circle", seed=1, steps=1, width=64, height=64)
    counted = pipe.plan(request, preview=True).peak_bytes
    assert counted > pipe.plan(request).peak_bytes
    without = follow(pipe, 64, 64, level)
    if made_before:
        pipe.generate("a blue boat", seed=1, steps=1, width=64, height=64)
    followed = follow(pipe, 64, 64, level, preview="to be fitted")
    *_, last = pipe.run(request, preview=True)
    measured = own_phases(last.result, held_by_others)
    assert phases_are_as_predicted(pipe.model.checkpoint, measured, followed.phases), measured
    assert measured["load"] == pytest.approx(followed.phases["load"], rel=0.15)
    assert followed.phases["load"] > without.phases["load"]
    del pipe.model.plan  # what it follows
    for opened in (pipe, Pipeline.from_pretrained(seedling)):
        assert opened.plan(request, preview=True).peak_bytes == opened.plan(request).peak_bytes < counted


@pytest.mark.parametrize(
    ("variant", "first", "second"), [("ternary", "default", "stream"), ("binary", "stream", "default")]
)
def test_nothing_is_there_that_another_plan_has_left(held_by_others, first, second, seedling):
    pipe = Pipeline.from_pretrained(seedling)
    for level in (first, second):
        followed = follow(pipe, 64, 64, level)
        result = pipe.generate(level, seed=1, steps=1, width=64, height=64)
    phases = own_phases(result, held_by_others)
    assert phases_are_as_predicted(pipe.model.checkpoint, phases, followed.phases), phases


def test_planning_needs_no_mlx():
    code = "import sys, bonsai_mlx.flux2.plan; sys.exit('mlx.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
