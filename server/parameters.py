"""A request as parts of the interface: its parameters as fields of a body, and the whole of it as a value of a field.

Both are made from the fields of `bonsai_mlx.request` and their bounds: a parameter that is added there, with a default,
is in every body, in the document, and in what is told of a job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Literal, get_type_hints

import pydantic
from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from bonsai_mlx.bounds import Choice, Maybe, Part, PictureDigest, Several, Whole, Words, bounds_of
from bonsai_mlx.errors import RequestError
from bonsai_mlx.request import (
    OPERATIONS,
    VERSION,
    Draw,
    ResolvedDraw,
    ResolvedRequest,
    as_json,
    from_json,
)


def whole(value: object) -> object:
    """JSON knows one kind of number: 4.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def annotation(hint: Any) -> Any:
    """The type of a body's field for the annotation of a request's: strict, in its bounds, null where it may be."""
    match bounds_of(hint):
        case Whole(low, high, multiple_of):
            multiple = multiple_of if multiple_of > 1 else None
            # strict: `true` is not a step count, and `"7"` is not a seed
            bounds = pydantic.Field(strict=True, ge=low, le=high, multiple_of=multiple)
            return Annotated[int, bounds, BeforeValidator(whole)]
        case Words(max_chars):
            return Annotated[str, pydantic.Field(min_length=1, max_length=max_chars, pattern=r"\S")]
        case Part():
            return Annotated[float, pydantic.Field(strict=True, gt=0, le=1)]
        case Choice(values):
            return Literal[values]
        case PictureDigest():
            return Annotated[str, pydantic.Field(pattern="^[0-9a-f]{32,64}$")]
        case Several(kind, least, most):
            entries: Any = list.__class_getitem__(annotation(Annotated[object, kind]))
            return Annotated[entries, pydantic.Field(min_length=least, max_length=most)]
        case Maybe(inner):
            return annotation(Annotated[object, inner]) | None
        case None:
            return hint


def body_fields(kind: type[Any]) -> dict[str, Any]:
    """For pydantic's `create_model`: name -> type and default of each parameter of an operation."""
    hints = get_type_hints(kind, include_extras=True)
    return {item.name: (annotation(hints[item.name]), _default(item)) for item in fields(kind)}


def _default(item: Field[Any]) -> Any:
    return ... if item.default is MISSING else item.default


def draw_of(body: object) -> Draw:
    """The request that a body with `body_fields(Draw)` makes; what it leaves out stays open."""
    return Draw(**{item.name: getattr(body, item.name) for item in fields(Draw)})


def _read(value: object) -> ResolvedRequest:
    if isinstance(value, ResolvedRequest):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a request is an object")
    try:
        return from_json(value)
    except RequestError as error:
        raise ValueError(str(error)) from None


def _schema() -> dict[str, Any]:
    model: Any = pydantic.create_model("ResolvedDraw", **body_fields(ResolvedDraw))
    made = model.model_json_schema()
    named = {
        "operation": {"type": "string", "enum": sorted(OPERATIONS)},
        "version": {"type": "integer", "const": VERSION},
    }
    described = "what is drawn, with nothing left open; it can be asked for again as it is"
    required = [*named, *made["properties"]]
    return {"type": "object", "properties": named | made["properties"], "required": required, "description": described}


# Typed in the program, and in JSON as `as_json` writes it.
RequestValue = Annotated[ResolvedRequest, PlainValidator(_read), PlainSerializer(as_json), WithJsonSchema(_schema())]
