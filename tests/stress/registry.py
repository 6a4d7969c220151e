"""All stress cases, in the order they are run."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from .case import Case

_NOT_CASES = {"__init__", "case", "registry"}


@cache
def cases() -> dict[str, Case]:
    """Name -> case, from every module of this folder that defines `CASE`."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    found = [
        importlib.import_module(f"{__package__}.{name}").CASE
        for name in modules
        if name not in _NOT_CASES and not name.startswith(("test_", "_"))
    ]
    return {case.name: case for case in found}
