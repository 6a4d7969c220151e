"""A process that packs while it downloads, for a test to kill: `main(COMMIT, FOLDER)`."""

from __future__ import annotations

from bonsai_mlx.conversion.download import download_packed
from bonsai_mlx.hub import published

from .conftest import entries


def prepare(commit: str) -> None:
    published.CATALOG = entries(commit)  # type: ignore[assignment]


def main(commit: str, folder: str) -> None:
    prepare(commit)
    for _ in download_packed("klein", folder):
        pass
