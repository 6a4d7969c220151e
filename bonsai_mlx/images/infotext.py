"""The one-text form of generation settings that A1111, Forge and many viewers read and write.

    a red fox
    Negative prompt: blurry
    Steps: 4, Sampler: Euler, Seed: 7, Size: 512x512, Model: bonsai

Owns that grammar. It cannot carry every prompt (one that holds "Negative prompt:", or white space at its ends, comes
back changed), which is why our own files also carry the recipe as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .recipe import FoundMetadata, Recipe

NEGATIVE = "Negative prompt:"
MIN_PARAMS = 3  # fewer "key: value" pairs than this in the last line, and it belongs to the prompt
# Every repetition before a mandatory character is bounded, so that hostile text takes linear time.
_PAIR = re.compile(r'\s{0,16}(\w[\w \-/]{1,63}):\s{0,16}("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MAX_DIGITS = 20  # of 2**64


@dataclass(frozen=True, slots=True)
class Infotext:
    """The three parts of the text; `params` keeps the order of the file."""

    prompt: str
    negative: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


def format_infotext(recipe: Recipe) -> str:
    """The recipe in A1111's order of keys."""
    params = {
        "Steps": recipe.steps,
        "Sampler": "Euler",
        "Schedule type": "Simple",
        "CFG scale": 1,
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model": recipe.model_title,
        "Version": f"bonsai-{recipe.app_version}",
    }
    pairs = [f"{key}: {_quote(str(value))}" for key, value in params.items() if value is not None]
    return f"{recipe.prompt}\n{', '.join(pairs)}"


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def parse_infotext(text: str) -> Infotext:
    """Split any text as A1111 does: what follows none of the rules is the prompt."""
    *lines, last = text.strip().split("\n")
    params = _parse_params(last)
    if len(params) < MIN_PARAMS:
        lines, params = [*lines, last], {}
    parts: dict[bool, list[str]] = {False: [], True: []}
    in_negative = False
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            in_negative, line = True, line.removeprefix(NEGATIVE).strip()
        parts[in_negative].append(line)
    return Infotext(prompt="\n".join(parts[False]), negative="\n".join(parts[True]), params=params)


def _parse_params(line: str) -> dict[str, str]:
    return {key.strip(): _unquote(value.strip()) for key, value in _PAIR.findall(line)}


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def found_in_infotext(text: str, source: str = "a1111") -> FoundMetadata:
    """The settings in an infotext; the keys that have a field of their own are not repeated in `extra`."""
    parsed = parse_infotext(text)
    params = dict(parsed.params)
    size = _SIZE.fullmatch(params.pop("Size", ""))
    return FoundMetadata(
        source=source,
        prompt=parsed.prompt,
        negative=parsed.negative,
        seed=_whole_number(params.pop("Seed", "")),
        steps=_whole_number(params.pop("Steps", "")),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        model=params.pop("Model", None),
        extra=params,
        text=text,
    )


def _whole_number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None
