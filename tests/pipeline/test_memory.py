"""What a picture takes of memory is given back, however it ends, and MLX aims at what the plan says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Event, GenerationRequest, Pipeline
from bonsai_mlx.errors import DeviceError, OutOfMemory
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.model import Flux2
from bonsai_mlx.runtime import device
from tests.pipeline.conftest import NARROWER, SMALL, active, pixels

SHORT = SMALL | {"steps": 1, "height": 64}  # drawn once for each of its events


def stopped_after(pipe: Pipeline, events: int, prompt: str) -> Event:
    running = pipe.run(GenerationRequest(prompt, **SHORT), preview=True)
    for _ in range(events):
        event = next(running)
    running.close()
    return event


@pytest.mark.slow
def test_stopping_anywhere_frees_what_the_run_took(tiny: Pipeline) -> None:
    expected = pixels(tiny, **SHORT)
    idle = active()
    for events in (9, 15):  # while previews are prepared
        assert stopped_after(tiny, events, "a red house").phase == "load"
        assert active() == idle
    list(tiny.run(GenerationRequest("a red house", **SHORT), preview=True))
    count = len(list(tiny.run(GenerationRequest("a red house", **SHORT), preview=True)))
    idle = active()
    for events in range(1, count + 1):
        stopped_after(tiny, events, "a red house")
        assert active() == idle, f"after event {events}"
        assert mx.get_cache_memory() < 100_000  # small change that the closed frames held
    assert np.array_equal(expected, pixels(tiny, **SHORT))


@pytest.mark.parametrize("limited", [False, True])
def test_mlx_aims_at_the_plan_s_peak_while_it_draws(tiny_checkpoint: Callable[..., Path], limited: bool) -> None:
    request = GenerationRequest("a red house", **SMALL)
    checkpoint = Checkpoint.open(tiny_checkpoint())
    peak = Pipeline(Flux2(checkpoint), name="tiny").plan(request).peak_bytes
    pipe = Pipeline(Flux2(checkpoint), name="tiny", memory_limit_bytes=peak if limited else None)
    cache = device.SMALL_CACHE_LIMIT_BYTES if limited else device.CACHE_LIMIT_BYTES
    before, others = memory_goal(), active()
    running = pipe.run(request)
    phases = set()
    for event in running:
        phases.add(event.phase)
        assert 0 <= memory_goal() - (others + peak + cache) < 1_000  # the seed's key
        if event.phase == "denoise":
            break
    running.close()
    assert phases == {"load", "encode", "denoise"}
    assert memory_goal() == before


def test_a_second_picture_aims_at_the_same(tiny_checkpoint: Callable[..., Path]) -> None:
    """What the pipeline has kept of the first is part of the second's peak, and counts once."""
    tiny = Pipeline.from_pretrained(tiny_checkpoint(transformer={"num_layers": 4, "num_single_layers": 12}))
    request = GenerationRequest("a red house", **SMALL)
    goals = []
    for _ in range(2):
        running = tiny.run(request)
        next(running)
        goals.append(memory_goal())
        list(running)
    resident = tiny.plan(request).resident_bytes
    assert goals[1] - goals[0] < resident / 4


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_runs_that_overlap_leave_mlx_s_limits_as_they_were(tiny: Pipeline, first_to_end: int) -> None:
    before = memory_goal()
    runs = [tiny.run(GenerationRequest("a red house", **SMALL)) for _ in range(2)]
    for running in runs:
        next(running)
    assert memory_goal() != before
    for _ in runs[first_to_end]:
        pass
    runs[1 - first_to_end].close()
    assert memory_goal() == before


def memory_goal() -> int:
    """What MLX aims at; reading it means setting it."""
    goal = mx.set_memory_limit(1 << 30)
    mx.set_memory_limit(goal)
    return goal


@pytest.mark.slow
def test_stopping_a_first_run_keeps_nothing_beyond_the_pipeline(tiny_checkpoint: Callable[..., Path]) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(**NARROWER))
    expected = pixels(Pipeline(Flux2(checkpoint), name="tiny"), **SHORT)
    list(
        Pipeline(Flux2(checkpoint), name="tiny").run(GenerationRequest("a red house", **SHORT), preview=True)
    )  # fits the previews
    count = len(
        list(Pipeline(Flux2(checkpoint), name="tiny").run(GenerationRequest("a red house", **SHORT), preview=True))
    )
    before = active()
    for events in range(1, count + 1, 3):
        pipe = Pipeline(Flux2(checkpoint), name="tiny")
        resident = pipe.plan(GenerationRequest("a red house", **SHORT)).resident_bytes
        phase = stopped_after(pipe, events, "a red house").phase
        kept = active() - before
        assert kept < (1.2 * resident + 200_000 if phase != "encode" else 100_000), f"{phase}, after event {events}"
        if events in (4, 10, 16):
            assert np.array_equal(expected, pixels(pipe, **SHORT))
        del pipe
        assert active() == before, f"after event {events}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum", OutOfMemory),
        ("[METAL] Command buffer execution failed: Impacting Interactivity (0000000e:kIOGPU)", DeviceError),
        ("[broadcast_shapes] Shapes (2) and (3) cannot be broadcast.", RuntimeError),
    ],
)
def test_a_run_that_fails_frees_what_it_took(
    tiny: Pipeline, monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception]
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError(text)
        yield

    expected = pixels(tiny)
    idle = active()
    with monkeypatch.context() as patch:
        patch.setattr("bonsai_mlx.flux2.vae.decode", fails)
        with pytest.raises(kind, match="cannot be broadcast" if kind is RuntimeError else "64x80.* a smaller size"):
            pixels(tiny)
    assert active() == idle
    assert np.array_equal(expected, pixels(tiny))


def test_unloading_frees_every_weight(tiny: Pipeline) -> None:
    before = active()
    expected = pixels(tiny)
    loaded = active() - before
    tiny.unload()
    embeddings = tiny.model.checkpoint.max_sequence_length * tiny.model.checkpoint.transformer.joint_attention_dim * 4
    assert loaded > 2 * embeddings
    assert active() - before <= embeddings + 4096
    assert np.array_equal(expected, pixels(tiny))
