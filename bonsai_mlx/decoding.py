"""JSON that anybody may have written, as a dataclass whose annotations say what each field may be.

`pydantic` checks the values; what is wrong is told in our words, by the description that a field's annotation has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

T = TypeVar("T")

Text = Annotated[str, Field(strict=True, description="a text")]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
# Numbers that also fit where such numbers go next: a database's column, a float.
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63, description="a whole number")]
Number = Annotated[
    float, Field(strict=True, ge=-(2.0**63), lt=2.0**63, allow_inf_nan=False, description="a finite number")
]


def decode(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass `kind` from a JSON object; keys that it does not have are ignored, lists become tuples.

    ValueError names the first field that is missing or not what its annotation says.
    """
    try:
        found: T = _adapter(cast("Any", kind)).validate_python(dict(values))
    except ValidationError as error:
        raise ValueError(_sentence(kind, error)) from None
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(kind: type[Any], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"the key '{name}' is missing"
    if first["type"] == "value_error":  # from a validator of ours, whose words they are
        return f"{name} {first['msg'].removeprefix('Value error, ')}"
    expected = " or ".join(dict.fromkeys(_descriptions(get_type_hints(kind, include_extras=True)[name])))
    return f"{name} must be {expected}, not {_shown(first['input'])}"


def _descriptions(annotation: Any) -> Iterator[str]:
    """What the annotation says of itself, or its parts say: `Text | None` has one of `Text`."""
    own = [item.description for item in getattr(annotation, "__metadata__", ()) if isinstance(item, FieldInfo)]
    if any(own):
        yield from (text for text in own if text)
        return
    for part in get_args(annotation):
        yield from _descriptions(part)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
