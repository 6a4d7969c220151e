"""A run stops when it is told to, goes on where it stopped, and travels in small files."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from seedling.model import run as run_module  # noqa: E402
from seedling.model.run import Loop, Paused, Run, bundle, history, unbundle  # noqa: E402
from seedling.options import Options, preset  # noqa: E402
from seedling.stages import check  # noqa: E402

BUDGET = replace(preset("smoke"), minutes={"flow": 0.02}, log_seconds=0.1)


def _steps(run: Run, model: torch.nn.Module, limit: int | None = None) -> Loop:
    loop = Loop(run, "flow", lambda: run.save("teacher", model))
    for _ in loop:
        torch.linalg.qr(torch.randn(40, 40))
        loop.record(2, loss=torch.tensor(1.0))
        if limit is not None and loop.session_step >= limit:
            run.deadline = 0.0
    return loop


def test_a_paused_stage_goes_on_where_it_stopped(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 3)
    with pytest.raises(Paused):
        _steps(Run(tmp_path, BUDGET), model, limit=5)
    resumed = Run(tmp_path, BUDGET)
    assert resumed.progress["flow"]["step"] == 6
    assert not resumed.done("flow")
    before = resumed.progress["flow"]["seconds"]
    loop = _steps(resumed, model)
    assert loop.seconds >= 60 * 0.02
    assert loop.seconds > before
    assert loop.samples == 2 * loop.step
    assert sum(1 for _ in history(tmp_path)["flow"]) > 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="time on a GPU is wall time")
def test_waiting_does_not_count_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(Run(tmp_path, BUDGET), "flow", lambda: None)
    steps = iter(loop)
    monkeypatch.setattr(time, "process_time", lambda: 100.0)  # nothing is computed, whatever the clock on the wall says
    for _ in range(5):
        next(steps)
        time.sleep(0.01)
    assert loop.step == 4
    worked = loop.seconds
    next(steps)
    assert loop.seconds == worked


def test_a_resumed_stage_draws_other_noise(tmp_path: Path) -> None:
    run = Run(tmp_path, BUDGET)
    run.seed("flow")
    first = torch.rand(1)
    run.note("flow", step=7)
    run.seed("flow")
    assert torch.rand(1) != first


def test_weights_come_back_as_bfloat16(tmp_path: Path) -> None:
    run, model, other = Run(tmp_path, BUDGET), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    assert not run.restore("teacher", other)
    run.save("teacher", model)
    assert run.restore("teacher", other)
    assert torch.equal(other.weight, model.weight.to(torch.bfloat16).float())


def test_a_folder_belongs_to_one_set_of_options(tmp_path: Path) -> None:
    Run(tmp_path, BUDGET)
    Run(tmp_path, replace(BUDGET, minutes={"flow": 9.0}))  # more time is no other run
    with pytest.raises(ValueError, match="other options"):
        Run(tmp_path, replace(BUDGET, seed=1))


def test_a_run_travels_in_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_PART_BYTES", 500)
    run = Run(tmp_path / "run", BUDGET)
    run.save("teacher", torch.nn.Linear(64, 64))
    (run.cache / "latents.npy").write_bytes(b"large")
    paths = bundle(run.folder, tmp_path / "parts")
    assert len(paths) > 10  # more than one digit: their order is by number
    assert all(path.stat().st_size <= 500 for path in paths)
    unbundle(tmp_path / "parts", tmp_path / "again")
    for path in run.folder.glob("*.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "again" / "cache").exists()


def test_finishing_a_stage_drops_what_only_it_needed(tmp_path: Path) -> None:
    run = Run(tmp_path, BUDGET)
    run.save("teacher", torch.nn.Linear(3, 3))
    run.finish("flow")
    assert run.weights("teacher").is_file()
    run.finish("guidance")
    assert not run.weights("teacher").is_file()


@pytest.mark.parametrize("name", ["gpu", "cpu", "smoke"])
def test_presets_fit_the_quantisers_groups(name: str) -> None:
    options: Options = preset(name)
    assert json.loads(options.to_json())["preset"] == name
    assert options.dim % 128 == 0
    assert options.text_hidden % 64 == 0
    assert options.text_inner % 64 == 0
    assert options.batch % 16 == 0
    assert options.size % (2 * 16) == 0
    assert np.gcd.reduce([*options.vae_channels, 8]) == 8


def test_a_trained_stage_is_not_trained_again_in_its_folder(tmp_path: Path) -> None:
    run = Run(tmp_path, BUDGET)
    check(run, "ternary")
    run.finish("ternary")
    run.finish("evaluate")
    check(run, "evaluate")
    check(run, None)
    with pytest.raises(ValueError, match="'ternary' is complete; to train it again"):
        check(run, "ternary")
