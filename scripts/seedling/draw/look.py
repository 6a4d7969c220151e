"""What a drawing is told: its colours, its form, and a seed for what no caption speaks of."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .canvas import Point
from .palette import COLOURS, Tones


@dataclass
class Look:
    """How one subject looks. `accent` colours the second part (pot, roof, sail); `form` and `season` are a bonsai's;
    `lit` says that it is dark outside and lamps are on."""

    tones: Tones
    accent: Tones = COLOURS["brown"]
    form: str = "informal"
    season: str = ""
    lit: bool = False
    seed: int = 0
    _rng: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def pick(self, low: float, high: float) -> float:
        """The next free measure between two bounds."""
        return self._rng.uniform(low, high)

    def choice(self, *options: int) -> int:
        """The next free number out of a few."""
        return self._rng.choice(options)

    def chance(self, share: float) -> bool:
        """The next free decision."""
        return self._rng.random() < share


def scaled(points: Sequence[Point], scale: float, dx: float = 0.0, dy: float = 0.0) -> list[Point]:
    """The points drawn in towards the origin and moved: the lit body inside a shaded rim."""
    return [(x * scale + dx, y * scale + dy) for x, y in points]
