"""Every stress case with fewer rounds (its `reduced`), and the same bars but those of time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .registry import cases


@pytest.mark.stress
@pytest.mark.parametrize("name", list(cases()))
def test_reduced(name: str, tmp_path: Path) -> None:
    case = cases()[name]
    figures = case.run(case.reduced, random.Random(20_261_121), tmp_path)
    assert case.failures(figures, timed=False) == [], figures
