"""What a prompt asks for, in terms that the judge can check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """One kind that must be there, so many times; what is "" is free."""

    kind: str
    count: int = 1
    colour: str = ""
    accent: str = ""
    form: str = ""
    season: str = ""
    size: str = ""


@dataclass(frozen=True)
class Expectation:
    """What a picture must show. `relation` is how the first thing lies to the second; the rest is the place."""

    things: tuple[Thing, ...] = ()
    relation: str = ""
    ground: str = ""
    sky: str = ""
    land: str = ""
    weather: str = ""
    body: str = ""
    heights: str = ""

    @property
    def outdoors(self) -> bool:
        """Whether the words name a landscape."""
        return bool(self.sky or self.land or self.weather or self.body or self.heights)


@dataclass(frozen=True)
class Prompt:
    """A text, the category it is counted in, and what it asks for."""

    text: str
    category: str
    expected: Expectation
