"""What goes into a generation and what comes out of it, as plain data.

A request is one of several operations; today there is `Draw`. It is made once, where a caller's words are read, and
goes unchanged through the queue, its row in the index and the engine into the picture's recipe: a new parameter is a
field here, and is used where it matters. `Request` may leave things open, `ResolvedRequest` leaves nothing open.
Nothing here imports MLX: a web server validates requests and reads events without loading a tensor library.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Annotated, Any, Self, TypeAlias, cast, get_args, get_type_hints

from .errors import RequestError

VERSION = 1  # of the JSON form; goes up when a field changes its meaning
SIZE_MULTIPLE_PX = 16  # one token covers 16x16 pixels: 8 by the VAE, 2 by patching
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
MAX_STEPS = 100
MAX_SEED = 2**32 - 1
MAX_PROMPT_CHARS = 32_000  # far beyond the 512 tokens that are read, and enough for any client


@dataclass(frozen=True, slots=True)
class Whole:
    """Marks a field that holds a whole number from `low` to `high`."""

    low: int
    high: int
    multiple_of: int = 1

    def checked(self, name: str, value: object) -> int:
        """`value` as Python's own int, also from NumPy's; RequestError naming the field if it is none, or outside."""
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
class Words:
    """Marks a field that holds text with something in it."""

    max_chars: int

    def checked(self, name: str, value: object) -> str:
        """`value`; RequestError naming the field if it is no text, empty or too long."""
        if not isinstance(value, str):
            raise RequestError(name, f"is not text but {type(value).__name__}; describe the picture in a few words")
        if not value.strip():
            raise RequestError(name, "is empty; describe the picture in a few words")
        if len(value) > self.max_chars:
            raise RequestError(name, f"has {len(value)} characters; at most {self.max_chars} are accepted")
        return value


@dataclass(frozen=True, slots=True)
class Maybe:
    """Bounds of a field that may be left open."""

    bounds: Whole | Words

    def checked(self, name: str, value: object) -> object:
        """None, or what the bounds say of `value`."""
        return None if value is None else self.bounds.checked(name, value)


Bounds: TypeAlias = Whole | Words | Maybe
Prompt = Annotated[str, Words(MAX_PROMPT_CHARS)]
Seed = Annotated[int, Whole(0, MAX_SEED)]
Steps = Annotated[int, Whole(1, MAX_STEPS)]
Side = Annotated[int, Whole(MIN_SIZE_PX, MAX_SIZE_PX, SIZE_MULTIPLE_PX)]


@dataclass(frozen=True, slots=True)
class Draw:
    """A picture from words. `None` stands for the checkpoint's own recommendation, and for a seed, for a random one."""

    prompt: Prompt
    seed: Seed | None = None
    steps: Steps | None = None
    width: Side | None = None  # pixels
    height: Side | None = None

    def resolved(self, *, steps: int, size: tuple[int, int]) -> ResolvedDraw:
        """The request with nothing left open, or RequestError for the first field that is out of bounds.

        `steps` and `size`, (width, height) in pixels, are the checkpoint's recommendations.
        """
        recommended = {"seed": random_seed(), "steps": steps, "width": size[0], "height": size[1]}
        values: dict[str, Any] = {
            name: recommended.get(name, value) if value is None else value for name, value in parameters(self).items()
        }
        return ResolvedDraw(**values).validated()

    def validated(self) -> Self:
        """The request with numbers as Python's own, or RequestError for the first field that is out of bounds."""
        checked: dict[str, Any] = {
            name: bounds.checked(name, getattr(self, name))
            for name, bounds in bounds_by_name(cast(Any, type(self))).items()
        }
        return replace(self, **checked)


@dataclass(frozen=True, slots=True)
class ResolvedDraw(Draw):
    """A picture from words with nothing left open: the same picture on the same machine, every time."""

    seed: Seed
    steps: Steps
    width: Side
    height: Side


Request: TypeAlias = Draw
ResolvedRequest: TypeAlias = ResolvedDraw
GenerationRequest = Draw  # the name under which a Python program makes one
OPERATIONS: Mapping[str, type[ResolvedRequest]] = {"draw": ResolvedDraw}


def as_json(request: ResolvedRequest) -> dict[str, Any]:
    """The request as a JSON object that names its operation and the version of this form."""
    (operation,) = (name for name, kind in OPERATIONS.items() if isinstance(request, kind))
    return {"operation": operation, "version": VERSION, **parameters(request)}


def parameters(request: Request) -> dict[str, Any]:
    """The request's fields by their names, in their order."""
    return {item.name: getattr(request, item.name) for item in fields(request)}


def from_json(values: Mapping[str, Any]) -> ResolvedRequest:
    """The request that `as_json` wrote. RequestError for one of a later version, or out of bounds.

    Fields that an earlier version did not have get their defaults.
    """
    version, operation = values.get("version"), values.get("operation")
    if not isinstance(version, int) or version > VERSION:
        raise RequestError("version", f"{version!r} is not known to this version of the program; update it")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise RequestError("operation", f"{operation!r} is not known; known are {', '.join(OPERATIONS)}")
    kind = OPERATIONS[operation]
    known = {item.name for item in fields(kind)}
    if unknown := sorted(values.keys() - known - {"operation", "version"}):
        raise RequestError(unknown[0], "is no field of this operation")
    try:
        made = kind(**{name: value for name, value in values.items() if name in known})
    except TypeError as error:  # Python's message names what is missing
        raise RequestError("request", f"is incomplete ({error})") from error
    return made.validated()


def random_seed() -> int:
    """Any seed, each as likely as the others."""
    return secrets.randbelow(MAX_SEED + 1)


def batch(request: ResolvedRequest, count: int) -> Iterator[ResolvedRequest]:
    """The same picture with `count` consecutive seeds; after the largest comes 0."""
    return (replace(request, seed=seed) for seed in consecutive_seeds(request.seed, count))


@cache
def bounds_by_name(kind: Any) -> dict[str, Bounds]:
    """The bounds of each field that has some."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: bounds for name, hint in hints.items() if (bounds := bounds_of(hint)) is not None}


def bounds_of(hint: Any) -> Bounds | None:
    """The bounds that an annotation carries."""
    marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Whole | Words)]
    if marks:
        return marks[0]
    parts = get_args(hint)
    found = [bounds for part in parts if isinstance(bounds := bounds_of(part), Whole | Words)]
    return Maybe(found[0]) if found and type(None) in parts else None


def consecutive_seeds(first: int, count: int) -> Iterator[int]:
    """`count` seeds from `first` on; after the largest comes 0."""
    return ((first + offset) % (MAX_SEED + 1) for offset in range(count))
