"""What other programs write into their images: A1111, Forge, SwarmUI, Fooocus, InvokeAI, mflux, Draw Things, ComfyUI.

Owns the keys and shapes of their settings. All of it comes from files that anyone may have made, so every value is
checked for its type, and whatever does not fit is left out rather than an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .comfyui import found_in_graph
from .exif import EXIF_COMMENT, EXIF_DESCRIPTION, EXIF_SOFTWARE
from .infotext import MIN_PARAMS, found_in_infotext, parse_infotext
from .recipe import FoundMetadata, parse_json_object
from .scan import XMP, XMP_EXTENSION
from .values import as_model, as_text, as_whole
from .xmp import comment_in

_MAX_EXTRA, _MAX_EXTRA_CHARS = 64, 500

# How a program calls our fields, where the names differ from ours.
_KEYS = {
    "swarmui": {"negative": "negativeprompt"},
    "fooocus": {"negative": "negative_prompt", "size": "resolution", "model": "base_model"},
    "invokeai": {"prompt": "positive_prompt", "negative": "negative_prompt"},
    "mflux": {"negative": "negative_prompt"},
    "drawthings": {"prompt": "c", "negative": "uc"},
    "exif": {"negative": "negative_prompt"},
}


def find_settings(texts: Mapping[str, str]) -> FoundMetadata | None:
    """What the texts of one image (scan.Texts) say, by the first form that is understood."""
    fooocus = "fooocus_scheme" in texts or EXIF_SOFTWARE in texts
    return (
        _in_parameters(texts.get("parameters", ""), fooocus=fooocus)
        or _in_json("invokeai", texts.get("invokeai_metadata", ""))
        or _in_comment(texts.get(EXIF_COMMENT, ""), fooocus=fooocus)
        or _in_comment(texts.get(EXIF_DESCRIPTION, ""))
        or _in_comment(comment_in(texts.get(XMP, "")))
        or _in_comment(comment_in(texts.get(XMP_EXTENSION, "")))
        or found_in_graph(texts.get("prompt", ""))
    )


def _in_parameters(text: str, *, fooocus: bool) -> FoundMetadata | None:
    """The one keyword that three programs share: JSON of two shapes, else an infotext."""
    if not text.replace("\0", "").strip():
        return None
    data = parse_json_object(text)
    if data is None:
        return found_in_infotext(text, "fooocus" if fooocus else "a1111")
    return _from_swarmui(data, text) or (_from_mapping("fooocus", data, text) if fooocus or _is_fooocus(data) else None)


def _in_comment(text: str, *, fooocus: bool = False) -> FoundMetadata | None:
    """A comment may come from a camera or a person, so it needs a clear sign of a program."""
    data = parse_json_object(text)
    if data is None:
        is_infotext = len(parse_infotext(text).params) >= MIN_PARAMS
        return found_in_infotext(text, "fooocus" if fooocus else "a1111") if is_infotext else None
    source = _program_of(data, fooocus=fooocus)
    if isinstance(data.get("prompt"), dict):  # nodes of ComfyUI's that save other formats than PNG
        return found_in_graph(data["prompt"])
    return _from_swarmui(data, text) or (_from_mapping(source, data, text) if source else None)


def _program_of(data: Mapping[str, Any], *, fooocus: bool) -> str | None:
    if fooocus or _is_fooocus(data):
        return "fooocus"
    if "mflux_version" in data:
        return "mflux"
    if isinstance(data.get("c"), str):
        return "drawthings"
    return "exif" if isinstance(data.get("prompt"), str) else None


def _is_fooocus(data: Mapping[str, Any]) -> bool:
    return as_text(data.get("version")).startswith("Fooocus") or "metadata_scheme" in data


def _from_swarmui(data: Mapping[str, Any], text: str) -> FoundMetadata | None:
    params = data.get("sui_image_params")
    return _from_mapping("swarmui", params, text) if isinstance(params, dict) else None


def _in_json(source: str, text: str) -> FoundMetadata | None:
    data = parse_json_object(text)
    return _from_mapping(source, data, text) if data else None


def _from_mapping(source: str, data: Mapping[str, Any], text: str) -> FoundMetadata:
    names = {name: _KEYS[source].get(name, name) for name in (*_FIELDS, "size")}
    width, height = _size(data.get(names["size"]))
    return FoundMetadata(
        source=source,
        prompt=as_text(data.get(names["prompt"])),
        negative=as_text(data.get(names["negative"])),
        seed=as_whole(data.get(names["seed"])),
        steps=as_whole(data.get(names["steps"])),
        width=as_whole(data.get(names["width"])) or width,
        height=as_whole(data.get(names["height"])) or height,
        model=as_model(data.get(names["model"])),
        extra=_extra(data, frozenset(names.values())),
        text=text,
    )


_FIELDS = ("prompt", "negative", "seed", "steps", "width", "height", "model")


def _size(value: object) -> tuple[int | None, int | None]:
    """("512x768" or "(512, 768)") -> (512, 768)."""
    numbers = re.findall(r"\d{1,6}", value) if isinstance(value, str) and len(value) < 32 else []
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (None, None)


def _extra(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, str]:
    simple = ((key, str(value)) for key, value in data.items() if key not in known and _is_simple(value))
    return {
        key: text for (key, text), _ in zip(simple, range(_MAX_EXTRA), strict=False) if len(text) <= _MAX_EXTRA_CHARS
    }


def _is_simple(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""
