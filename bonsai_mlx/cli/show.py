"""`bonsai-mlx show`: what a picture says about how it was made, whichever program made it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bounds import AdapterUse
from ..errors import BonsaiError
from ..images.metadata import FoundMetadata
from ..images.recipe import Recipe
from ..printable import printable
from .like import found_in

_SIDES = ("left", "top", "right", "bottom")


def show_command(path: Path, *, as_json: bool) -> int:
    """Print the settings. Returns 0; BonsaiError or OSError where there are none to be had."""
    found = found_in(path)
    text = json.dumps(found.as_dict(), indent=2) if as_json else "\n".join(_lines(found, _size_of(path)))
    sys.stdout.write(f"{text}\n")
    return 0


def _size_of(path: Path) -> str:
    """Of the picture itself. BonsaiError for a file that has texts and no picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:  # the pixels stay unread
            return f"{picture.width}x{picture.height}"
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BonsaiError(f"{path}: it is no whole picture ({error})") from None


def _lines(found: FoundMetadata, size: str) -> list[str]:
    drawn = f"{found.width}x{found.height}" if found.width and found.height else size
    recipe = found.recipe
    rows = {
        "Made by": f"{found.program} {recipe.app_version}" if recipe else found.program,
        "Prompt": found.prompt,
        "Negative prompt": found.negative,
        "Seed": found.seed,
        "Steps": found.steps,
        "Size": size,
        "Drawn at": drawn if drawn != size else None,  # a part, cut out and enlarged; or others' settings say so
        "Model": found.model,
        "Revision": recipe.revision if recipe else None,
        **(_parts(recipe) | _led(recipe.parameters) | _chance(recipe.parameters) if recipe else {}),
        **(_inputs(recipe.parameters) | _adapters(recipe.parameters) if recipe else {}),
        "Code": f"{len(found.code):,} characters, which `bonsai-mlx decode` makes a picture of" if found.code else None,
        **found.extra,
    }
    present = {printable(name): value for name, value in rows.items() if value not in (None, "")}
    width = max(map(len, present))
    return [f"{name:<{width}}  {_value(value, width + 2)}" for name, value in present.items()]


def _inputs(parameters: Mapping[str, Any]) -> dict[str, object]:
    init, mask, extend = (parameters.get(name) for name in ("init", "mask", "extend"))
    references = parameters.get("references") or ()
    rows: dict[str, object] = {"Looked at": ", ".join(_short(digest) for digest in references)}
    if parameters.get("operation") == "enlarge":
        rows["Enlarged from"] = _short(str(parameters.get("source")))
        rows["Enlarged"] = f"{parameters.get('by')} times, {parameters.get('method')}"
    if init:
        rows |= {"Made from": _short(init), "Strength": parameters.get("strength")}
    if other := parameters.get("morph"):
        rows |= {"Morphed into": _short(other), "Weight of that": parameters.get("morph_weight")}
    if init and mask:
        rows |= {"Mask": _short(mask), "Feather": f"{parameters.get('feather_px')} pixels"}
    if init and extend:
        rows["Extended by"] = ", ".join(f"{px} {side}" for px, side in zip(extend, _SIDES, strict=True) if px)
    return rows


def _parts(recipe: Recipe) -> dict[str, object]:
    """What took the place of the model's own."""
    return {"Text encoder": recipe.text_encoder, "Decoder": recipe.decoder}


def _led(parameters: Mapping[str, Any]) -> dict[str, object]:
    """By what beside the prompt and the seed it was led."""
    amount, seed = parameters.get("variation_amount"), parameters.get("variation_seed")
    return {
        "Styles": ", ".join(parameters.get("styles") or ()),
        "Guidance": parameters.get("guidance"),
        "Negative prompt": parameters.get("negative_prompt"),
        "Variation": f"{amount:g}, seed {seed}" if amount else None,
    }


def _chance(parameters: Mapping[str, Any]) -> dict[str, object]:
    """Of models that draw in bits."""
    unread = "not read: drawn without words" if parameters.get("unconditional") else None
    return {"The prompt was": unread, "Temperature": parameters.get("temperature")}


def _adapters(parameters: Mapping[str, Any]) -> dict[str, object]:
    read = [AdapterUse().checked("loras", one) for one in parameters.get("loras") or ()]
    words = [f"{one.name} {one.strength:g}" + (f" ({_short(one.sha256)})" if one.sha256 else "") for one in read]
    return {"Adapters": "\n".join(words)}


def _short(digest: str) -> str:
    return f"{digest[:12]}..."


def _value(value: object, indent: int) -> str:
    return f"\n{' ' * indent}".join(printable(line) for line in str(value).split("\n"))
