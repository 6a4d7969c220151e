"""Fields that say nothing, since what they belong to is missing: not written; refused where someone has set them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ..bounds import Lora
from ..errors import RequestError
from .draw import Draw
from .enlarge import Enlarge

_OF_VARIATIONS = ("variation_amount", "variation_seed")
_OF_PICTURES = (
    "references",
    "reference_detail",
    "init",
    "strength",
    "strength_rule",
    "mask",
    "mask_content",
    "feather_px",
    "restore_unmasked",
    "source_as_reference",
    "only_masked",
    "margin_px",
    "extend",
    "morph",
    "morph_weight",
)
_IF_ANY = ("styles", "typed", "negative_prompt", "loras", "temperature", "unconditional")
_PARTLY = ("mask_content", "feather_px", "restore_unmasked", "only_masked", "margin_px")
_CHANGED = ("strength", "strength_rule", "source_as_reference", *_PARTLY)
_REDRAWN = ("prompt", "seed", "steps", "strength", "loras", "guidance", "negative_prompt")


def idle_fields(request: Draw | Enlarge) -> tuple[str, ...]:
    """Of what says how something is used, that which is not there."""
    if isinstance(request, Draw):
        return _idle_of_drawing(request)
    idle = () if request.method == "refine" else ("strength",)
    idle = (*idle, *(name for name in ("loras", "negative_prompt") if not getattr(request, name)))
    idle = (*idle, "guidance") if request.guidance in (None, 1) else idle
    return idle if request.upscaler else (*idle, "upscaler")


def refuse_idle(request: Draw | Enlarge) -> None:
    """RequestError for the first field that was set and changes nothing, since something else is missing.

    For what a person or a program has written; a recipe may hold such fields.
    """
    rules: tuple[tuple[tuple[str, ...], bool, str], ...]
    if isinstance(request, Enlarge):
        rules = ((_REDRAWN, request.method == "refine", "is about what is redrawn; choose the method refine too"),)
    else:
        partly = request.mask is not None or request.extend is not None
        rules = (
            (("variation_seed",), bool(request.variation_amount), "belongs to a variation; give variation_amount too"),
            (("reference_detail",), bool(request.references), "is about references; give one"),
            (("extend",), not request.extend or any(request.extend), "adds nothing; give pixels on a side"),
            (_CHANGED, request.init is not None, "is about a picture that is changed; give that as init"),
            (("styles",), not request.unconditional, "is about a prompt, and none is read; leave unconditional out"),
            (("morph_weight",), request.morph is not None, "is about a picture to morph into; give morph too"),
            (_PARTLY, partly or request.init is None, "is about what is repainted; give a mask, or extend"),
        )
    defaults = {item.name: item.default for item in fields(request)}
    for names, used, remedy in rules:
        for name in names:
            value = getattr(request, name)
            if not used and (tuple(value) if isinstance(value, list) else value) != defaults[name]:
                raise RequestError(name, f"{remedy}, or leave it out")


def plain(value: Any) -> Any:
    if isinstance(value, Lora):
        return {name: one for name, one in asdict(value).items() if one is not None}
    return tuple(plain(one) for one in value) if isinstance(value, tuple) else value


def _idle_of_drawing(request: Draw) -> tuple[str, ...]:
    idle = [*(() if request.pictures else _OF_PICTURES), *(() if request.variation_amount else _OF_VARIATIONS)]
    idle += [] if request.morph else ["morph", "morph_weight"]
    idle += ["guidance"] if request.guidance in (None, 1) else []
    return (*idle, *(name for name in _IF_ANY if not getattr(request, name)))
