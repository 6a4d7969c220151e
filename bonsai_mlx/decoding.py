"""JSON that anybody may have written, as a dataclass whose annotations say what each field may be.

`msgspec` checks the values; what is wrong is told in our words, by the description that a field's annotation has. It is
imported in a hundredth of a second, which every command line pays.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

import msgspec
from msgspec import Meta

T = TypeVar("T")
# msgspec 0.22 looks at a type when it first converts to it. A thread that comes meanwhile reads what is half written,
# and the process is gone.
_one_at_a_time = threading.Lock()
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_FIELD = re.compile(r" - at `\$\.(\w+)")

Text = Annotated[str, Meta(description="a text")]
Flag = Annotated[bool, Meta(description="true or false")]
# Numbers that also fit where such numbers go next: a database's column, a float.
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="a whole number")]
Number = Annotated[float, Meta(ge=-(2.0**63), lt=2.0**63, description="a finite number")]


@dataclass(frozen=True, slots=True)
class Check:
    """In an annotation: `raises` is called with the field's value and says in a ValueError what is wrong with it."""

    raises: Callable[[Any], object]


def decode(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass `kind` from a JSON object; keys that it does not have are ignored, lists become tuples.

    ValueError names the first field that is missing or not what its annotation says.
    """
    try:
        with _one_at_a_time:
            found = msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        raise ValueError(_sentence(kind, values, str(error))) from None
    for name, check in _checks(cast("Any", kind)):
        try:
            check.raises(getattr(found, name))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return found


@cache
def _checks(kind: Any) -> list[tuple[str, Check]]:
    hints = get_type_hints(kind, include_extras=True)
    marks = ((name, mark) for name, hint in hints.items() for mark in getattr(hint, "__metadata__", ()))
    return [(name, mark) for name, mark in marks if isinstance(mark, Check)]


def _sentence(kind: type[Any], values: Mapping[str, Any], message: str) -> str:
    """Our words for msgspec's: "Object missing required field `a`", "Expected `int`, got `str` - at `$.a[0]`"."""
    missing = _MISSING.fullmatch(message)
    if missing:
        return f"the key '{missing[1]}' is missing"
    found = _FIELD.search(message)
    assert found is not None, message  # noqa: S101  every field has a path
    name = found[1]
    expected = " or ".join(dict.fromkeys(_descriptions(get_type_hints(kind, include_extras=True)[name])))
    return f"{name} must be {expected}, not {_shown(values[name])}"


def _descriptions(annotation: Any) -> Iterator[str]:
    """What the annotation says of itself, or its parts say: `Text | None` has one of `Text`."""
    own = [mark.description for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, Meta)]
    if any(own):
        yield from (text for text in own if text)
        return
    for part in get_args(annotation):
        yield from _descriptions(part)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
