"""A run of the preset "smoke", trained once for all tests that look at its results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run, with every stage but evaluation and report complete; do not write into its weights."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from seedling.model.run import Run
    from seedling.options import STAGES, TIMED, preset
    from seedling.stages import train

    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("run")
    run = Run(folder, replace(preset("smoke"), minutes=dict.fromkeys(TIMED, 0.002)))  # a few steps each
    for stage in STAGES[: STAGES.index("export") + 1]:
        train(run, stage)
    return run
