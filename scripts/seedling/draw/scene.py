"""What a picture shows: subjects, where they are, what they stand before. Plain data; knows no pixels and no words.

Positions and sizes are fractions of the picture's side. `said` names the attributes that the caption speaks of;
the others are free, and were chosen by chance.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Subject:
    """One thing. `r` is half its square's side, `accent` a second part's colour; a bonsai has `form` and `season`."""

    kind: str
    colour: str
    cx: float = 0.5
    cy: float = 0.5
    r: float = 0.3
    size: str = ""
    accent: str = ""
    form: str = ""
    season: str = ""
    mirror: bool = False
    tilt: float = 0.0
    seed: int = 0
    said: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Place:
    """A landscape. `sky` is a time of day, a weather or a colour; `body` stands in it at (`body_x`, `body_y`)."""

    sky: str = "day"
    land: str = "meadow"
    heights: str = ""
    weather: str = ""
    body: str = ""
    body_colour: str = ""
    body_x: float = 0.75
    body_y: float = 0.2
    horizon: float = 0.64
    clouds: bool = False
    said: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Scene:
    """A whole picture. Without a `place` its ground is plain: the named colour `ground`, else the quiet `tint`."""

    layout: str
    subjects: tuple[Subject, ...]
    ground: str = ""
    tint: str = "cream"
    place: Place | None = None
    corner: str = ""
    seed: int = 0
