"""The bodies of other programs as models: unknown fields are ignored, known ones are made to fit or refused by name.

Clients send their whole settings, fields of later versions, nulls and numbers as text. The same models make the OpenAPI
document, so that parser and document cannot differ. Knows no routes and no pictures.
"""

import asyncio
import json
import math
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.requests import Request

from bonsai_mlx.request import MAX_PROMPT_CHARS, MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX

from ..errors import AN_OBJECT, ApiError
from ..validation import explain, refused, unreadable

Json = dict[str, Any]
# The parser makes 30 MB of objects of a megabyte of "[],", and keeps everybody waiting for as long as it takes. Bodies
# within this limit cannot hold enough of that to be felt; a larger one is a picture in a single text.
_LARGE_BYTES = 256 << 10
_MAX_PARTS = 4_096
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SIZE = re.compile(r"\s*(\d{1,6})\s*(?:[xX×*]\s*(\d{1,6})\s*)?")
_WHOLE = re.compile(r"\s*[+-]?\d{1,20}\s*")
MAX_RATIO = MAX_SIZE_PX // MIN_SIZE_PX  # of the longer side to the shorter


def bad_field(field: str, message: str, remedy: str | None = None) -> ApiError:
    return ApiError(422, "bad_field", message, field=field, remedy=remedy)


# fields


def _text(value: object) -> object:
    """Half characters are replaced: they fit in no file."""
    if not isinstance(value, str):
        return value
    return value if value.isascii() else value.encode("utf-8", "replace").decode()  # no copies of a whole picture


def whole(value: object) -> object:
    """A whole number, also as text or as 4.0; None when empty. Anything else is refused as it came."""
    if isinstance(value, str):
        if not value.strip():
            return None
        return int(value) if _WHOLE.fullmatch(value) else value
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def number(value: object) -> object:
    """A number, also as text, as forms and spreadsheets send it. Anything else is refused as it came."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _switch(value: object) -> object:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        return words.get(value.strip().lower(), value)
    return bool(value) if value in (0, 1) else value


def _described(prompt: str) -> str:
    if not prompt.strip():
        raise refused("The prompt is empty; describe the picture in a few words.")
    return prompt


Text = Annotated[str, Field(strict=True), BeforeValidator(_text)]
Prompt = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=MAX_PROMPT_CHARS, json_schema_extra={"pattern": r"\S"}),
    BeforeValidator(_text),
    AfterValidator(_described),
]
PromptOrNothing = Annotated[str, Field(strict=True, max_length=MAX_PROMPT_CHARS), BeforeValidator(_text)]
Whole = Annotated[Annotated[int, Field(strict=True)] | None, BeforeValidator(whole)]
Switch = Annotated[bool, Field(strict=True), BeforeValidator(_switch)]
# 0 counts as "not set": that is what a program in Go sends for it
Steps = Annotated[Annotated[int, Field(strict=True, ge=0)] | None, BeforeValidator(whole)]
Side = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=999_999)] | None,
    BeforeValidator(whole),
    WithJsonSchema({"type": "integer", "minimum": MIN_SIZE_PX, "maximum": MAX_SIZE_PX}),
]
SizePair = tuple[int, int] | None


def _size(value: object) -> object:
    """(width, height) of "512x512", "512" or 512; None of "auto"."""
    if isinstance(value, str) and value.strip().lower() in ("", "auto"):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not int(match[1]) or (match[2] and not int(match[2])):
        raise refused('size has to be "auto" or a width and a height such as "512x512".')
    return int(match[1]), int(match[2] or match[1])


_SIDE_PATTERN = r"([1-9]\d{2}|1\d{3})"  # what is drawn in any combination
Size = Annotated[
    SizePair,
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(auto|{_SIDE_PATTERN}x{_SIDE_PATTERN})$",
            "description": "what is larger than can be drawn is drawn smaller in the same shape",
        }
    ),
]


class Body(BaseModel):
    """The body of another program: what it does not name is ignored, null means "not set"."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PictureBody(Body):
    """What every interface may say of a picture."""

    seed: Annotated[Whole, Field(description="below 0: a random one; above 4294967295: its last 32 bits")] = None
    steps: Steps = None
    width: Side = None
    height: Side = None


B = TypeVar("B", bound=Body)


# reading


async def read_json(request: Request) -> Json:
    """The JSON object of a request, whatever its Content-Type says, without its nulls; {} for an empty body.

    ApiError 400 or 415 for anything else, 413 for a large one of many values.
    """
    raw = await request.body()
    if not raw.strip():
        return {}
    if len(raw) > _LARGE_BYTES and await asyncio.to_thread(_parts, raw) > _MAX_PARTS:
        message = f"A body of more than {_LARGE_BYTES} bytes may hold {_MAX_PARTS} values at most."
        raise ApiError(413, "too_large", message, remedy="Send nothing beside the picture.")
    try:
        body = json.loads(raw, parse_constant=_nothing, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        found = unreadable(raw, request.headers.get("content-encoding", ""), error)
        status = 415 if found.compressed else 400
        raise ApiError(status, "bad_request", found.message, remedy=found.remedy) from None
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", "The body has to be a JSON object.", remedy=AN_OBJECT)
    return without_nulls(body)


def _parts(raw: bytes) -> int:
    """No fewer than the JSON has values: each but the first follows one of these, outside of a text."""
    found = sum(map(raw.count, (b"[", b"{", b",")))
    return found if found <= _MAX_PARTS else sum(map(_TEXTS.sub(b"", raw).count, (b"[", b"{", b",")))


def _nothing(_constant: str) -> None:
    """NaN and Infinity are no JSON, and could not be sent back."""


def _finite(literal: str) -> float | None:
    value = float(literal)
    return value if math.isfinite(value) else None


def without_nulls(body: Json) -> Json:
    """To most clients null means "not set", inside of an object as well."""
    return {
        name: without_nulls(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value is not None
    }


def parsed(shape: type[B], body: Json) -> B:
    """The body as `shape`, or ApiError 422 for the first field that makes no sense."""
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        found = explain(error.errors(include_url=False)[0])
        raise bad_field(found.field or "", found.message, found.remedy) from None


async def read_body(request: Request, shape: type[B]) -> B:
    return parsed(shape, await read_json(request))


# sizes


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size nearest to what was asked for, in the same shape: within the bounds, both sides multiples of 16.

    ApiError 422 for a shape that has no such size.
    """
    scale = min(1.0, MAX_SIZE_PX / max(width, height))
    scale = max(scale, MIN_SIZE_PX / min(width, height))
    if max(width, height) * scale > MAX_SIZE_PX:
        message = f"A picture of {width}x{height} pixels cannot be drawn: it is too narrow."
        remedy = f"The longer side may be {MAX_RATIO} times the shorter one at most."
        raise bad_field("size", message, remedy)
    return _multiple(width * scale), _multiple(height * scale)


def _multiple(pixels: float) -> int:
    nearest = int(pixels + SIZE_MULTIPLE_PX / 2) // SIZE_MULTIPLE_PX * SIZE_MULTIPLE_PX
    return min(max(nearest, MIN_SIZE_PX), MAX_SIZE_PX)
