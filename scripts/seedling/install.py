"""Put a finished run's checkpoints, model card and page into the project, in place of what is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from bonsai_mlx.flux2.checkpoint import Checkpoint

from .judge.report import CARD, PAGE, PICTURES, REPORT
from .model.export import COMMON, total_bytes
from .model.run import EXPORT, Run
from .options import VARIANTS

LIMIT_BYTES = 20_000_000  # of both checkpoints and what they share: they are part of the package


def install(run: Run, project: Path) -> None:
    """Copy into `project`. Raises ValueError, having changed nothing, if the run is not complete or too large."""
    exported, report = run.folder / EXPORT, run.folder / REPORT
    missing = [path for path in (*(exported / name for name in VARIANTS), report / PAGE) if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} is missing; run every stage first")
    size = sum(total_bytes(exported / name) for name in (*VARIANTS, COMMON))
    if size > LIMIT_BYTES:
        raise ValueError(f"the checkpoints take {size / 1e6:.1f} MB; the limit is {LIMIT_BYTES / 1e6:.0f} MB")
    embedded = project / "bonsai_mlx" / "seedling"
    for name in (*VARIANTS, COMMON):
        _replace_folder(exported / name, embedded / name)
    shutil.copy(report / CARD, embedded / CARD)
    shutil.copy(report / PAGE, project / "docs" / PAGE)
    _replace_folder(report / PICTURES, project / "docs" / PICTURES)
    for name in VARIANTS:
        Checkpoint.open(embedded / name)


def _replace_folder(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors writes files for the owner alone
