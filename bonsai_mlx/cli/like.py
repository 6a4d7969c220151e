"""The settings of a picture as those of another: what `generate --like` takes from it, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bounds import AdapterUse
from ..errors import BonsaiError
from ..hub.addresses import is_repository
from ..hub.catalog import is_known
from ..images.metadata import FoundMetadata, read
from ..images.recipe import Recipe
from ..printable import printable
from ..request import MAX_SEED, MAX_SIZE_PX, MAX_STEPS, MIN_SIZE_PX, SIZE_MULTIPLE_PX

_FURTHER = ("variation_amount", "variation_seed", "guidance", "negative_prompt", "temperature", "unconditional")
MANY_STEPS = 8  # of a model that was not distilled to a few


def found_in(path: Path) -> FoundMetadata:
    """What a picture says about how it was made. BonsaiError where it says nothing; OSError."""
    try:
        found = read(path)
    except ValueError as error:
        raise BonsaiError(f"{path}: {error}") from None
    if found is None:
        raise BonsaiError(f"{path} carries no settings: it was saved without them, or they were removed")
    return found


def settings_like(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Options of `generate` (prompt, seed, variation, steps, size, loras, model) as far as they hold, and notes."""
    found = found_in(path)
    notes = [f"Settings of {path}, made by {printable(found.program)}."]
    settings: dict[str, Any] = {"prompt": found.prompt} if found.prompt else {}
    _take_numbers(found, settings, notes)
    _take_size(found, settings, notes)
    if found.recipe and (loras := found.recipe.parameters.get("loras")):
        settings["loras"] = tuple(AdapterUse().checked("loras", one) for one in loras)
    if found.recipe:
        settings |= {name: found.recipe.parameters[name] for name in _FURTHER if name in found.recipe.parameters}
        _take_model(found.recipe, settings, notes)
    elif found.model:
        notes.append(f"Its model, {printable(found.model)}, is another one: the picture will differ.")
    if found.negative and not found.recipe:
        notes.append(
            "Its negative prompt is left out: most models here take none; --negative-prompt is for those that do."
        )
    return settings, notes


def _take_numbers(found: FoundMetadata, settings: dict[str, Any], notes: list[str]) -> None:
    if found.seed is not None and found.seed > MAX_SEED:
        notes.append(f"Its seed, {found.seed}, is left out: seeds here go from 0 to {MAX_SEED}.")
    elif found.seed is not None:
        settings["seed"] = found.seed
    if found.steps is None:
        return
    if 1 <= found.steps <= (MAX_STEPS if found.recipe else MANY_STEPS):
        settings["steps"] = found.steps
    else:
        notes.append(f"Its {found.steps} steps are left out: they were meant for another model.")


def _take_size(found: FoundMetadata, settings: dict[str, Any], notes: list[str]) -> None:
    if found.width is None or found.height is None:
        return
    sides = [
        max(MIN_SIZE_PX, round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX) for side in (found.width, found.height)
    ]
    if max(sides) > MAX_SIZE_PX:
        notes.append(f"Its size, {found.width}x{found.height}, is left out: sides have at most {MAX_SIZE_PX} pixels.")
        return
    settings["width"], settings["height"] = sides
    if sides != [found.width, found.height]:
        notes.append(f"Its size, {found.width}x{found.height}, becomes {sides[0]}x{sides[1]}: multiples of 16.")


def _nearest_side(side: int) -> int:
    return max(MIN_SIZE_PX, round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX)


def _take_model(recipe: Recipe, settings: dict[str, Any], notes: list[str]) -> None:
    for name in (recipe.model, recipe.repo or ""):
        if is_known(name) or is_repository(name):
            settings["model"] = name
            return
    notes.append(f"Its model, {printable(recipe.model)}, is not known here; name one with --model.")
