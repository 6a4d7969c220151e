"""A picture over lists of values: what alternatives and axes make of one request, cell by cell, with labels.

The first axis runs across the columns, the second down the rows; further ones make more rows. Everything that no axis
names is the same in all cells, a random seed as well, so a cell is the very picture that its own request gives.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bounds import AdapterUse, Lora
from ..errors import RequestError
from ..request import MAX_STYLES, Draw, random_seed
from .alternatives import parse, unclosed

MAX_CELLS = 1_000
MAX_AXES = 6
MAX_LABEL_CHARS = 80
NO_STYLE = "no style"
NO_ADAPTER = "no adapter"
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True, slots=True)
class Axis:
    """One list of values. `title` names it for people; it is empty for alternatives, which say enough themselves."""

    name: str
    title: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a grid. `model` is None where no axis names one."""

    column: int
    row: int
    request: Draw
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells row by row, and what stands above each column and before each row."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]
    axes: tuple[Axis, ...]


def grid_of(request: Draw, axes: Mapping[str, Sequence[Any]]) -> Grid:
    """The cells of a request whose prompt may hold alternatives, over lists of values by the axes' names.

    RequestError names the axis, or the field of the request, that cannot be used.
    """
    template = parse(request.prompt)
    if (rest := unclosed(request.prompt)) is not None and "|" in rest:
        lack = f"the brace before {rest[1:40]!r} is never closed"
        raise RequestError("prompt", f"{lack}; close it, or write \\{{ for a brace that is drawn")
    varied = "variation_amount" in axes
    named = [_axis(name, values, request, varied=varied) for name, values in axes.items()]
    words = [Axis("prompt", "", choices, tuple(map(_label, choices))) for choices in template.choices]
    every = (*words, *named)
    if not every:
        raise RequestError("axes", 'is empty, and the prompt has no alternatives such as "a {red|blue} house"')
    at_fault = "axes" if named else "prompt"
    if len(every) > MAX_AXES:
        lack = f"are {len(every)} with the alternatives of the prompt; at most {MAX_AXES} are"
        alone = f"has {len(every)} places with alternatives; at most {MAX_AXES} are drawn as one grid"
        raise RequestError(at_fault, lack if named else alone)
    count = math.prod(len(axis.values) for axis in every)
    if count > MAX_CELLS:
        lack = f"{'make' if named else 'stands for'} {count} pictures; at most {MAX_CELLS} are made at a time"
        raise RequestError(at_fault, f"{lack}; leave some values out")
    base = _with_seeds(request)
    first, others = every[0], every[1:]
    rows = list(itertools.product(*(range(len(axis.values)) for axis in others)))
    cells = []
    for row, places in enumerate(rows):
        for column in range(len(first.values)):
            values = [axis.values[place] for axis, place in zip(every, (column, *places), strict=True)]
            filled = replace(base, prompt=template.filled(values[: len(words)])) if words else base
            cells.append(_cell(column, row, filled, named, values[len(words) :]))
    labels = tuple(", ".join(axis.labels[i] for axis, i in zip(others, places, strict=True)) for places in rows)
    return Grid(first.labels, labels if others else ("",), tuple(cells), every)


def _with_seeds(request: Draw) -> Draw:
    """With random seeds where none are given: the same in all cells."""
    seed = random_seed() if request.seed is None else request.seed
    varied = random_seed() if request.variation_seed is None else request.variation_seed
    return replace(request, seed=seed, variation_seed=varied)  # without a variation, its seed is dropped


def _cell(column: int, row: int, request: Draw, axes: Sequence[Axis], values: Sequence[Any]) -> Cell:
    model = None
    for axis, value in zip(axes, values, strict=True):
        if axis.name == "model":
            model = value
        elif axis.name == "style":
            request = replace(request, styles=(*request.styles, *([value] if value else [])))
        elif axis.name == "lora":
            request = replace(request, loras=(*request.loras, *([value] if value else [])))
        else:
            request = replace(request, **{axis.name: value})
    return Cell(column, row, request.validated(), model)


def _axis(name: str, values: Sequence[Any], request: Draw, *, varied: bool) -> Axis:
    if name not in AXES:
        raise RequestError("axes", f"there is no axis {name[:60]!r}; there are {', '.join(AXES)}")
    if isinstance(values, str | bytes) or not isinstance(values, Sequence) or not values:
        raise RequestError(f"axes.{name}", "needs at least one value")
    if name == "strength" and request.init is None:
        raise RequestError("axes.strength", "is about a picture that is changed; give one")
    if name == "variation_seed" and not request.variation_amount and not varied:
        raise RequestError("axes.variation_seed", "belongs to a variation; give variation_amount too")
    if name == "style" and len(request.styles) >= MAX_STYLES:
        raise RequestError("axes.style", f"there are {MAX_STYLES} styles already, which is the most")
    found = tuple(dict.fromkeys(_checked(name, value, request) for value in values))
    return Axis(name, AXES[name], found, tuple(_value_label(name, value) for value in found))


def _checked(name: str, value: Any, request: Draw) -> Any:
    field = f"axes.{name}"
    if name in ("model", "style"):
        if not isinstance(value, str):
            raise RequestError(field, f"{value!r} is not a name")
        return value.strip()
    if name == "lora":
        return _adapter(field, value)
    try:
        return getattr(replace(request, **{name: value}).validated(), name)
    except RequestError as error:
        raise RequestError(field if error.field == name else error.field, error.message) from None


def _adapter(field: str, value: Any) -> Lora | None:
    """ "ink=0.8", or a `Lora`; None for "", which is no adapter. RequestError."""
    if not isinstance(value, str):
        return AdapterUse().checked(field, value)
    name, sign, strength = value.strip().rpartition("=")
    try:
        one = Lora(name, float(strength)) if sign else Lora(value.strip())
    except ValueError:  # a name may hold the sign too
        one = Lora(value.strip())
    return AdapterUse().checked(field, one) if one.name else None


def _value_label(name: str, value: Any) -> str:
    if name == "style":
        return _label(value or NO_STYLE)
    if name == "lora":
        return _label(f"{Path(value.name).stem} {value.strength:g}" if value else NO_ADAPTER)
    if isinstance(value, float):
        value = f"{value:g}"
    return _label(str(value) if name == "model" else f"{AXES[name]} {value}")


def _label(text: str) -> str:
    short = " ".join(str(text).split()) or "(nothing)"
    return short if len(short) <= MAX_LABEL_CHARS else f"{short[: MAX_LABEL_CHARS - 1]}…"


AXES: Mapping[str, str] = {  # as they are called in labels
    "seed": "seed",
    "steps": "steps",
    "model": "model",
    "strength": "strength",
    "style": "style",
    "lora": "adapter",
    "variation_amount": "variation",
    "variation_seed": "variation",
}
_READERS: Mapping[str, Callable[[str], Any]] = {
    "seed": int,
    "steps": int,
    "strength": float,
    "variation_amount": float,
    "variation_seed": int,
}


def axis_from_text(text: str) -> tuple[str, list[Any]]:
    """ "steps=1,2,4", "seed=1..8", "style=Comic,Ink wash" -> the name and its values. ValueError says what is wrong."""
    name, equals, listed = text.partition("=")
    if not equals or name not in AXES:
        raise ValueError(f"{text!r} is no axis; write it like seed=1..4 or steps=1,2,4; there are {', '.join(AXES)}")
    read = _READERS.get(name, str)
    values: list[Any] = []
    for part in map(str.strip, listed.split(",")):
        found = _RANGE.fullmatch(part) if read is int else None
        try:
            values += _range(int(found[1]), int(found[2])) if found else [read(part)]
        except ValueError:
            raise ValueError(f"{part!r} is no {AXES[name]}") from None
    return name, values


def _range(first: int, last: int) -> range:
    if abs(last - first) >= MAX_CELLS:
        raise ValueError
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)
