"""How long things take on this machine, learned from every finished picture: for time left, progress and the watchdog.

Loading and encoding words do not depend on the size of the picture; encoding pictures, a denoising step and decoding
do, about in proportion to its pixels, which is how sizes never drawn before are estimated. Knows nothing of jobs or
processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..engine.protocol import Phase
from ..store import Store

# As the engine goes through them; pictures are encoded if some go in.
PHASES: tuple[Phase, ...] = ("enlarge", "encode", "encode image", "load", "denoise", "decode")
# Of the latest figure in the running average. A picture is slow for many reasons that pass (the first one of all reads
# its weights from the disk, another program works) and quick because the machine can: so quick ones count for more.
_SLOWER_SHARE, _QUICKER_SHARE = 0.4, 0.7
_MOST_SLOWER = 4.0  # times as long as usual: beyond that it is not what pictures take
_FAR = 12  # times as many pixels: most of what so small a picture takes is what every picture takes
_CACHED_SHARE = 0.02  # a phase this much shorter than usual was answered from a cache and teaches nothing
_GUESS_S: Mapping[Phase, float] = {  # only as proportions
    "enlarge": 0.0,  # of a drawing
    "load": 1.0,
    "encode": 1.0,
    "encode image": 1.0,
    "denoise": 1.0,
    "decode": 1.5,
}


class Durations:
    """Seconds per phase of a (model, size); for "denoise", of one step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        rows = store.execute("SELECT model, width, height, phase, seconds FROM durations")
        self._seconds: dict[tuple[str, int, int, str], float] = {row[:4]: row[4] for row in rows if _is_learned(*row)}

    def learn(self, model: str, width: int, height: int, steps: int, timings: Mapping[str, float]) -> None:
        for phase in PHASES:
            seconds = timings.get(phase, 0.0) / (max(steps, 1) if phase == "denoise" else 1)
            key = _key(model, width, height, phase)
            old = self._seconds.get(key)
            if seconds <= 0 or (phase in ("load", "encode") and old is not None and seconds < _CACHED_SHARE * old):
                continue
            new = seconds if old is None else _averaged(old, seconds)
            self._seconds[key] = new
            self._store.execute("INSERT OR REPLACE INTO durations VALUES (?, ?, ?, ?, ?)", (*key, new))

    def seconds(self, model: str, width: int, height: int, phase: Phase) -> float | None:
        """Of a phase, or of one step for "denoise"; None while nothing is known of this model."""
        exact = self._seconds.get(_key(model, width, height, phase))
        if exact is not None or phase in ("load", "encode"):
            return exact
        pixels = width * height
        known = [(w * h, s) for (m, w, h, p), s in self._seconds.items() if m == model and p == phase]
        if not known:
            return None
        nearest, seconds = min(known, key=lambda entry: abs(entry[0] - pixels))
        return seconds * pixels / nearest if pixels <= _FAR * nearest else None

    def forecast(
        self, model: str, width: int, height: int, steps: int, *, loaded: bool, pictures: bool = False
    ) -> Forecast:
        """What the phases of one picture are going to take; without loading if the model is `loaded`.

        `pictures` go in, and are encoded.
        """
        found = {phase: self.seconds(model, width, height, phase) for phase in PHASES}
        drawn = found["denoise"] is not None and found["decode"] is not None
        known = drawn or (found["enlarge"] is not None and steps == 0)
        seconds = {phase: found[phase] or (0.0 if known else _GUESS_S[phase]) for phase in PHASES}
        seconds["denoise"] *= steps
        if loaded:
            seconds["load"] = 0.0
        if not pictures:
            seconds["encode image"] = 0.0
        return Forecast(seconds, known)


def _averaged(old: float, seconds: float) -> float:
    share = _QUICKER_SHARE if seconds < old else _SLOWER_SHARE
    return (1 - share) * old + share * min(seconds, _MOST_SLOWER * old)


def _is_learned(model: object, width: object, height: object, phase: object, seconds: object) -> bool:
    """Whether a row is one of ours: the columns of a table hold whatever was written into them."""
    sides = isinstance(width, int) and isinstance(height, int) and width >= 0 and height >= 0
    sized = sides and ((width == height == 0) if phase in ("load", "encode") else bool(width and height))
    known = isinstance(model, str) and phase in PHASES
    return known and sized and isinstance(seconds, float) and 0 < seconds < math.inf


def _key(model: str, width: int, height: int, phase: str) -> tuple[str, int, int, str]:
    return (model, 0, 0, phase) if phase in ("load", "encode") else (model, width, height, phase)


class Forecast:
    """Seconds per phase, in order; `known` if they were learned rather than guessed."""

    def __init__(self, seconds: Mapping[Phase, float], known: bool) -> None:
        self._seconds = seconds
        self._known = known

    @property
    def total_s(self) -> float | None:
        return sum(self._seconds.values()) if self._known else None

    def progress(self, phase: Phase, step: int, steps: int) -> float:
        total = sum(self._seconds.values()) or 1.0
        return min(1.0, (total - self._left_s(phase, step, steps)) / total)

    def eta_s(self, phase: Phase, step: int, steps: int) -> float | None:
        """Seconds left after `step` of `steps` of a phase; None while nothing is known."""
        return self._left_s(phase, step, steps) if self._known else None

    def _left_s(self, phase: Phase, step: int, steps: int) -> float:
        if phase == "load" and step == 0:  # how every run begins, before the prompt is encoded
            return sum(self._seconds.values())
        later = PHASES[PHASES.index(phase) + 1 :]
        share = 1 - step / steps if steps else 1.0
        return share * self._seconds[phase] + sum(self._seconds[other] for other in later)
