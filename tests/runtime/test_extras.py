"""What brings a missing library, in a clone and in a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from bonsai_mlx.runtime import extras

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("extra", "in_clone"),
    [
        ("writer", "scripts/setup --extra writer"),
        ("mcp", "scripts/setup --extra mcp"),
        ("cpu", "scripts/setup --force"),
        ("cuda", "scripts/setup --force"),
    ],
)
def test_the_command_fits_the_installation(
    extra: str, in_clone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert extras.checkout() == ROOT
    assert extras.install_command(extra) == in_clone
    package = tmp_path / "site-packages/bonsai_mlx/runtime/extras.py"
    monkeypatch.setattr(extras, "__file__", str(package))
    assert extras.checkout() is None
    assert extras.install_command(extra) == f"pip install 'bonsai-mlx[{extra}]'"


def test_setting_up_knows_these_options() -> None:
    said = (ROOT / "scripts/setup").read_text("utf-8")
    assert "--force)" in said
    assert "--extra)" in said or "--python | --extra)" in said


def test_no_other_place_names_a_way_to_install_this_program() -> None:
    folders = [ROOT / "bonsai_mlx", ROOT / "server"]
    named = [
        path.name for folder in folders for path in folder.rglob("*.py") if "pip install 'bonsai" in path.read_text()
    ]
    assert named == ["extras.py"]
