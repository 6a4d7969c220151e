"""What a stress case is: something done many times, the figures it gives, and the bars they must meet."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Figures = dict[str, float]

_OF_TIME = re.compile(r"_m?s(_|$)")  # what a figure is named that counts seconds
_OPERATORS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


@dataclass(frozen=True, slots=True)
class Case:
    """`run(rounds, rng, folder)` does the work in an empty folder; `bars` maps a figure to what it must be.

    A bar is text such as "== 0" or "<= 50"; a figure without one is only reported. A bar that has no figure fails.
    """

    name: str
    what: str  # one line for people
    rounds: int  # in full
    reduced: int  # in the ordinary test run
    bars: Mapping[str, str]
    run: Callable[[int, random.Random, Path], Figures]

    def failures(self, figures: Figures, *, timed: bool = True) -> list[str]:
        """The bars that `figures` do not meet, in words; unless `timed`, those of seconds count as met.

        How long something takes says as much of the machine and of what else it does as of the code.
        """
        bars = {name: bar for name, bar in self.bars.items() if timed or not _OF_TIME.search(name)}
        return [
            f"{name} is {figures.get(name, 'missing')}, not {bar}"
            for name, bar in bars.items()
            if name not in figures or not _meets(figures[name], bar)
        ]


def _meets(value: float, bar: str) -> bool:
    sign, _, limit = bar.partition(" ")
    return bool(_OPERATORS[sign](value, float(limit)))


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile of `values`, which must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
