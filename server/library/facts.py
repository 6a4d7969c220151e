"""What a picture was made with beside its prompt, model, seed and steps, in words for people who look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bonsai_mlx.bounds import AdapterUse
from bonsai_mlx.images.recipe import Recipe

_SIDES = ("left", "top", "right", "bottom")
_ENLARGED = {"refine": "with finer strokes", "exact": "as it was", "learned": "by an upscaler"}


def facts(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, of a recipe as the index has it; none of one that this program does not read."""
    try:
        read = Recipe.from_json(json.dumps(recipe))
    except ValueError:  # another program's picture, or a row that was changed by hand
        return []
    rows = (*_words(read.parameters), *_led(read.parameters), *_changed(read.parameters), *_parts(read))
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _words(parameters: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "You typed", parameters.get("typed")
    yield "Style", ", ".join(parameters.get("styles") or ())
    yield "What to avoid", parameters.get("negative_prompt")
    yield "Words", "none were read" if parameters.get("unconditional") else None


def _led(parameters: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("guidance", "temperature"):  # at 1 neither does anything
        value = parameters.get(name)
        yield name.capitalize(), None if value == 1 else _number(value)
    for read in parameters.get("loras") or ():
        one = AdapterUse().checked("loras", read)
        yield "Adapter", f"{one.name}, {_number(one.strength)}"
    if amount := parameters.get("variation_amount"):
        yield "Variation", f"{_number(amount)} of seed {parameters.get('variation_seed')}"


def _changed(parameters: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """How it differs from the pictures that it was made from, which the page shows."""
    if parameters.get("operation") == "enlarge":
        yield "Enlarged", f"{parameters.get('by', 2)} times, {_ENLARGED[parameters.get('method', 'exact')]}"
        yield "Upscaler", parameters.get("upscaler")
    if parameters.get("init"):
        strength = parameters.get("strength", 1.0)
        yield "Drawn anew", f"{100 * strength:.0f} %" if strength < 1 else None
        yield "Repainted", "only what was marked" if parameters.get("mask") else None
        sides = zip(parameters.get("extend") or (), _SIDES, strict=False)
        yield "Extended", ", ".join(f"{px} px {side}" for px, side in sides if px)
    if parameters.get("morph"):
        yield "Of the second picture", f"{100 * parameters.get('morph_weight', 0.5):.0f} %"


def _parts(recipe: Recipe) -> Iterator[tuple[str, object]]:
    """What took the place of the model's own."""
    yield "Text encoder", recipe.text_encoder
    yield "Decoder", recipe.decoder


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
