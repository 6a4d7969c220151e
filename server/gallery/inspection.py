"""What a picture's file says of itself, in the bounds of the gallery's index. Runs in the decoder's child.

Texts are bounded here, where they enter, in bytes: a file of a kilobyte can hold a megabyte of deflated text.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from bonsai_mlx.images import metadata
from bonsai_mlx.images.containers import png_chunks
from bonsai_mlx.images.recipe import Recipe, timestamp
from bonsai_mlx.request import MAX_PROMPT_CHARS

MAX_PROMPT_BYTES = 4 * MAX_PROMPT_CHARS  # the longest prompt that this program takes, in the widest script
MAX_RECIPE_BYTES = MAX_PROMPT_BYTES + 16_384
CHAIN = "chain"
MAX_NAME_BYTES = 256  # of a model
_CLOCKS_DIFFER_S = 86_400


def inspect(data: bytes, kind: str, width: int, height: int) -> dict[str, Any]:
    """The fields of an `Image` that are known from its file, and its format ("png", "jpeg" or "webp").

    ValueError for a file that is damaged or cut off.
    """
    if kind == "png":
        for _ in png_chunks(data):  # whose checksums cover the pixels; reading its texts passes them over
            pass
    found = metadata.read(data)
    recipe = found.recipe if found else None
    text = without_chain(recipe).to_json() if recipe else b"{}"
    written = json.loads(text) if len(text) <= MAX_RECIPE_BYTES else {}
    fields = {
        "format": kind,
        "prompt": shortened(found.prompt, MAX_PROMPT_BYTES) if found else "",
        "seed": found.seed if found else None,
        "steps": found.steps if found else None,
        "width": width,
        "height": height,
        "model": shortened(recipe.model, MAX_NAME_BYTES) if recipe else None,
        "variant": shortened(recipe.variant, MAX_NAME_BYTES) if recipe else None,
        "timings": written.get("timings", {}),
        "peak_memory_bytes": recipe.peak_memory_bytes if recipe else None,
        "truncated": bool(recipe and recipe.truncated),
        "recipe": written,
        "created_at": moment(recipe.created_at) if recipe and recipe.created_at else None,
    }
    return {name: whole_characters(value) for name, value in fields.items()}


def without_chain(recipe: Recipe) -> Recipe:
    """The index has no place for the steps before: they stay in the file."""
    return replace(recipe, parameters={name: one for name, one in recipe.parameters.items() if name != CHAIN})


def moment(text: str) -> str | None:
    """A recipe's date as the index sorts it; None for what is no date, and for one that has not come yet."""
    try:
        at = datetime.fromisoformat(text[:40]).timestamp()
        return timestamp(at) if 0 <= at <= time.time() + _CLOCKS_DIFFER_S else None
    except (ValueError, OverflowError, OSError):
        return None


def shortened(text: str, limit_bytes: int) -> str:
    """The text's beginning, of at most so many bytes of UTF-8."""
    if len(text) * 4 <= limit_bytes:
        return text
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= limit_bytes else encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "\u2026"


def whole_characters(value: Any) -> Any:
    """Without halves of surrogate pairs, which the JSON in a file can hold, but neither the index nor an answer."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {whole_characters(name): whole_characters(inner) for name, inner in value.items()}
    return value
