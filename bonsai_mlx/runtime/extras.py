"""Where this program was installed from, and how what is installed apart is got there."""

from __future__ import annotations

from pathlib import Path

_BACKENDS = ("cpu", "cuda")


def checkout() -> Path | None:
    """The folder of the sources where the program runs from them; None where it was installed as a package."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else None


def install_command(extra: str) -> str:
    """What brings the libraries of this extra of pyproject.toml, for the way in which the program was installed."""
    if not checkout():
        return f"pip install 'bonsai-mlx[{extra}]'"
    # setting up chooses the backend by itself, and does nothing if nothing has changed
    return "scripts/setup --force" if extra in _BACKENDS else f"scripts/setup --extra {extra}"
