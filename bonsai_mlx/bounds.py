"""What a request's fields may hold: marks in annotations, each of which checks a value and says what is wrong with it.

An annotation carries its mark, as in `Annotated[int, Whole(1, 100)]`; the bodies of the server's interface and their
document are made from the same marks.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from os import PathLike
from typing import Any, Protocol, get_args, get_type_hints

from .errors import RequestError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Bounds(Protocol):
    """What a field may hold."""

    def checked(self, name: str, value: object) -> object:
        """`value` in the form that the program uses; RequestError naming the field for what it may not hold."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int
    multiple_of: int = 1

    def checked(self, name: str, value: object) -> int:
        try:
            number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            number = None
        if number is None:
            raise RequestError(name, f"{value!r} is not a whole number")
        if not self.low <= number <= self.high:
            raise RequestError(name, f"{number} is out of range; give a whole number from {self.low} to {self.high}")
        if number % self.multiple_of:
            below = number - number % self.multiple_of
            near = f"{below} and {below + self.multiple_of} are"
            raise RequestError(name, f"{number} is not a multiple of {self.multiple_of}; {near}")
        return number


@dataclass(frozen=True, slots=True)
class Part:
    """A number above 0, or from 0 on, up to 1."""

    zero: bool = False  # 0 is one too

    def checked(self, name: str, value: object) -> float:
        try:
            number = None if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not 0 <= number <= 1 or (number == 0 and not self.zero):
            least = "from 0" if self.zero else "above 0"
            raise RequestError(name, f"{value!r} is out of range; give a number {least}, and 1 at most")
        return number


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`."""

    low: float
    high: float

    def checked(self, name: str, value: object) -> float:
        try:
            number = None if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not self.low <= number <= self.high:
            asked = f"give a number from {self.low:g} to {self.high:g}"
            raise RequestError(name, f"{value!r} is out of range; {asked}")
        return number


@dataclass(frozen=True, slots=True)
class Words:
    """Text with something in it, unless it may be `empty`."""

    max_chars: int
    empty: bool = False
    remedy: str = "describe the picture in a few words"

    def checked(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise RequestError(name, f"is not text but {type(value).__name__}; {self.remedy}")
        if not value.strip() and not self.empty:
            raise RequestError(name, f"is empty; {self.remedy}")
        if len(value) > self.max_chars:
            raise RequestError(name, f"has {len(value)} characters; at most {self.max_chars} are accepted")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def checked(self, name: str, value: object) -> object:
        for known in self.values:
            if type(value) is type(known) and value == known:
                return known
        raise RequestError(name, f"{value!r} is not known; give one of {', '.join(map(str, self.values))}")


@dataclass(frozen=True, slots=True)
class PictureDigest:
    """A picture that goes in, by the SHA-256 of its pixels (see `editing.pictures`)."""

    def checked(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            raise RequestError(name, f"{value!r} names no picture; give the id that it got when it was added")
        return value


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter as a request names it; `sha256` is that of its file, once somebody has looked."""

    name: str
    strength: float = 1.0
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class AdapterUse:
    """An adapter and its strength: a `Lora`, a pair of name and strength, or an object with the fields of one."""

    max_chars: int = 1_000
    most: float = 10.0

    def checked(self, name: str, value: object) -> Lora:
        one = self._read(value)
        if one is None:
            raise RequestError(name, f"{value!r} is no adapter; give its name and its strength")
        words = str(one.name) if isinstance(one.name, str | PathLike) else ""
        if not words.strip() or len(words) > self.max_chars:
            raise RequestError(name, f"{one.name!r} is no name of an adapter")
        if one.sha256 is not None and not (isinstance(one.sha256, str) and _DIGEST.fullmatch(one.sha256)):
            raise RequestError(name, f"{one.sha256!r} is no SHA-256 of a file")
        return Lora(words, self._strength(name, one.strength), one.sha256)

    def _read(self, value: Any) -> Lora | None:
        match value:
            case Lora():
                return value
            case {"name": _} if value.keys() <= {"name", "strength", "sha256"}:
                return Lora(**value)
            case [_, *others] if len(others) <= 2:  # a list or a tuple
                return Lora(*value)
        return None

    def _strength(self, name: str, value: object) -> float:
        try:
            number = None if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not -self.most <= number <= self.most:
            raise RequestError(
                name, f"the strength {value!r} is out of range; give a number from {-self.most:g} to {self.most:g}"
            )
        return number


@dataclass(frozen=True, slots=True)
class Several:
    """From `least` to `most` values of one kind."""

    kind: Bounds
    least: int
    most: int

    def checked(self, name: str, value: object) -> tuple[object, ...]:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise RequestError(name, f"{value!r} is no list")
        if not self.least <= len(value) <= self.most:
            asked = f"exactly {self.most}" if self.least == self.most else f"at most {self.most}"
            raise RequestError(name, f"has {len(value)} entries; give {asked}")
        return tuple(self.kind.checked(name, entry) for entry in value)


@dataclass(frozen=True, slots=True)
class Objects:
    """At most so many JSON objects, which are looked at when they are used."""

    most: int

    def checked(self, name: str, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list) or len(value) > self.most or not all(isinstance(one, dict) for one in value):
            raise RequestError(name, f"is no list of at most {self.most} objects")
        return value


@dataclass(frozen=True, slots=True)
class Maybe:
    """A field that may be left open."""

    bounds: Bounds

    def checked(self, name: str, value: object) -> object:
        return None if value is None else self.bounds.checked(name, value)


YES_OR_NO = Choice((True, False))


@cache
def bounds_by_name(kind: Any) -> dict[str, Bounds]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: bounds for name, hint in hints.items() if (bounds := bounds_of(hint)) is not None}


def bounds_of(hint: Any) -> Bounds | None:
    marks = [mark for mark in getattr(hint, "__metadata__", ()) if hasattr(mark, "checked")]
    if marks:
        return marks[0]
    parts = get_args(hint)
    found = [bounds for part in parts if (bounds := bounds_of(part)) is not None]
    return Maybe(found[0]) if found and type(None) in parts else None
