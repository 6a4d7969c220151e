"""All operations as one kind, and their JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias

from ..errors import RequestError
from .draw import Draw, ResolvedDraw, parameters
from .enlarge import Enlarge, ResolvedEnlarge
from .idle import idle_fields, plain
from .seeds import consecutive_seeds

VERSION = 1  # of the JSON form; goes up when a field changes its meaning
Request: TypeAlias = Draw
ResolvedRequest: TypeAlias = ResolvedDraw
Operation: TypeAlias = Draw | Enlarge
ResolvedOperation: TypeAlias = ResolvedDraw | ResolvedEnlarge
GenerationRequest = Draw  # the name under which a Python program makes one
OPERATIONS: Mapping[str, type[ResolvedOperation]] = {"draw": ResolvedDraw, "enlarge": ResolvedEnlarge}


def operation_of(request: Operation) -> str:
    return "enlarge" if isinstance(request, Enlarge) else "draw"


def as_json(request: ResolvedOperation) -> dict[str, Any]:
    """The request as a JSON object that names its operation and the version of this form.

    What says how pictures are used is left out where none goes in, and what says of variations where it is none; so
    is how the prompt was made where it was typed, and adapters where there are none.
    """
    return {"operation": operation_of(request), "version": VERSION, **chosen(request)}


def chosen(request: Operation) -> dict[str, Any]:
    """The request's fields without those that say nothing about it; tuples are lists, as in JSON."""
    idle = idle_fields(request)
    values = {name: plain(value) for name, value in parameters(request).items() if name not in idle}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> ResolvedOperation:
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


def opened(request: ResolvedOperation) -> Operation:
    """The same request as one that may leave things open, for something in it to be changed."""
    kind = Enlarge if isinstance(request, Enlarge) else Draw
    values = parameters(request)
    values["steps"] = values["steps"] or None  # nothing was redrawn
    return kind(**{item.name: values[item.name] for item in fields(kind)})


def batch(request: ResolvedOperation, count: int) -> Iterator[ResolvedOperation]:
    """The same picture with `count` consecutive seeds, variations with consecutive variation seeds."""
    if isinstance(request, ResolvedDraw) and request.variation_seed is not None:
        return (replace(request, variation_seed=seed) for seed in consecutive_seeds(request.variation_seed, count))
    return (replace(request, seed=seed) for seed in consecutive_seeds(request.seed, count))
