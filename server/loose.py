"""Reading the bodies of other programs: whatever is not understood is ignored, what is understood is made to fit.

Clients send their whole settings, fields of later versions, nulls and numbers as text. Only a value that is meant for
us and makes no sense is refused. Knows no routes and no pictures.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

from starlette.requests import Request

from bonsai_mlx.request import MAX_PROMPT_CHARS, MAX_SEED, MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX

from .errors import ApiError
from .orders import random_seed

Body = dict[str, Any]
# The parser makes 30 MB of objects of a megabyte of "[],", and keeps everybody waiting for as long as it takes. Bodies
# within the ordinary limit cannot hold enough of that to be felt; a larger one is a picture in a single text.
_LARGE_BYTES = 256 << 10
_MAX_PARTS = 4_096
_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*")


def bad_field(field: str, message: str) -> ApiError:
    """422 for one field; the interfaces turn it into their own status and shape."""
    return ApiError(422, "bad_field", message, field=field)


async def read_body(request: Request) -> Body:
    """The JSON object of a request, whatever its Content-Type says, without its nulls; {} for an empty body.

    ApiError 400 for anything else, 413 for a large one of many values.
    """
    raw = await request.body()
    if not raw.strip():
        return {}
    if len(raw) > _LARGE_BYTES and await asyncio.to_thread(_parts, raw) > _MAX_PARTS:
        message = f"A body of more than {_LARGE_BYTES} bytes may hold {_MAX_PARTS} values at most."
        raise ApiError(413, "too_large", message, remedy="Send nothing beside the picture.")
    try:
        body = json.loads(raw, parse_constant=_nothing, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_request", "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", "The body has to be a JSON object.")
    return without_nulls(body)


def _parts(raw: bytes) -> int:
    """No fewer than the JSON has values: each but the first follows one of these."""
    return sum(map(raw.count, (b"[", b"{", b",")))


def _nothing(_constant: str) -> None:
    """NaN and Infinity are no JSON, and could not be sent back."""


def _finite(literal: str) -> float | None:
    value = float(literal)
    return value if math.isfinite(value) else None


def without_nulls(body: Body) -> Body:
    """To most clients null means "not set"."""
    return {name: value for name, value in body.items() if value is not None}


def text(body: Body, name: str, default: str = "") -> str:
    """A text field; anything that is no text counts as absent. Half characters are replaced: they fit in no file."""
    value = body.get(name, default)
    if not isinstance(value, str):
        return default
    return value if value.isascii() else value.encode("utf-8", "replace").decode()  # no copies of a whole picture


def child(body: Body, name: str) -> Body:
    """An object inside the object, without its nulls; anything else counts as empty."""
    value = body.get(name)
    return without_nulls(value) if isinstance(value, dict) else {}


def prompt_of(body: Body) -> str:
    """The prompt, or ApiError 422 naming what is wrong with it."""
    given = body.get("prompt")
    prompt = text(body, "prompt")
    if not isinstance(given, str) or not prompt.strip():
        raise bad_field("prompt", "The prompt is empty; describe the picture in a few words.")
    if len(prompt) > MAX_PROMPT_CHARS:
        message = f"The prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARS} are accepted."
        raise bad_field("prompt", message)
    return prompt


def integer(body: Body, name: str) -> int | None:
    """A whole number, also as text or as 4.0; None when absent or empty. ApiError 422 for anything else."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,20}\s*", value):
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise bad_field(name, f"{name} has to be a whole number.")


def bounded(body: Body, name: str, low: int, high: int, default: int) -> int:
    """A whole number within bounds, or ApiError 422."""
    value = integer(body, name)
    if value is None:
        return default
    if not low <= value <= high:
        raise bad_field(name, f"{name} has to be from {low} to {high}.")
    return value


def flag(body: Body, name: str, default: bool = False) -> bool:
    """A switch; text such as "true" counts as what it says, anything else that is no boolean as the default."""
    value = body.get(name, default)
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), default)
    return value if isinstance(value, bool) else default


def seed_of(body: Body) -> int:
    """The seed. Absent or negative: a random one, as everywhere; too large: what is left in 32 bits."""
    seed = integer(body, "seed")
    return random_seed() if seed is None or seed < 0 else seed % (MAX_SEED + 1)


def side(pixels: int) -> int:
    """The nearest side that can be drawn."""
    nearest = (pixels + SIZE_MULTIPLE_PX // 2) // SIZE_MULTIPLE_PX * SIZE_MULTIPLE_PX
    return min(max(nearest, MIN_SIZE_PX), MAX_SIZE_PX)


def size_of(body: Body) -> tuple[int | None, int | None]:
    """Width and height from `width` and `height`, else from `size` ("512x512"); None where the body leaves it open."""
    width, height = integer(body, "width"), integer(body, "height")
    size = text(body, "size", "auto")
    if size.strip().lower() not in ("", "auto"):
        match = _SIZE.fullmatch(size)
        if match is None:
            raise bad_field("size", 'size has to be "auto" or a width and a height such as "512x512".')
        width, height = width or int(match[1]), height or int(match[2])
    return side(width) if width and width > 0 else None, side(height) if height and height > 0 else None
