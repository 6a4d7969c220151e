"""`bonsai-mlx show`: what a picture says about how it was made, whichever program made it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..images.metadata import FoundMetadata
from ..printable import printable
from .like import found_in


def show_command(path: Path, *, as_json: bool) -> int:
    """Print the settings. Returns 0; BonsaiError or OSError where there are none to be had."""
    found = found_in(path)
    text = json.dumps(found.as_dict(), indent=2) if as_json else "\n".join(_lines(found))
    sys.stdout.write(f"{text}\n")
    return 0


def _lines(found: FoundMetadata) -> list[str]:
    size = f"{found.width}x{found.height}" if found.width and found.height else None
    recipe = found.recipe
    rows = {
        "Made by": f"{found.program} {recipe.app_version}" if recipe else found.program,
        "Prompt": found.prompt,
        "Negative prompt": found.negative,
        "Seed": found.seed,
        "Steps": found.steps,
        "Size": size,
        "Model": found.model,
        "Revision": recipe.revision if recipe else None,
        **found.extra,
    }
    present = {printable(name): value for name, value in rows.items() if value not in (None, "")}
    width = max(map(len, present))
    return [f"{name:<{width}}  {_value(value, width + 2)}" for name, value in present.items()]


def _value(value: object, indent: int) -> str:
    """A value, its further lines below its first."""
    return f"\n{' ' * indent}".join(printable(line) for line in str(value).split("\n"))
