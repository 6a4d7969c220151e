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
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from .recipe import FoundMetadata, Recipe

NEGATIVE = "Negative prompt:"
MIN_PARAMS = 3  # fewer "key: value" pairs than this in the last line, and it belongs to the prompt
# Every repetition before a mandatory character is bounded, so that hostile text takes linear time.
_PAIR = re.compile(r'\s{0,16}(\w[\w \-/]{1,63}):\s{0,16}("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_STEPS_LINE = re.compile(r"^[ \t]{0,16}(?=Steps:\s?\d)", re.MULTILINE)
_STEPS_ANYWHERE = re.compile(r"(?<=\s)(?=Steps:\s?\d)")
_FIRST_KEY = re.compile(r"\s{0,16}(?:Steps|Sampler|Schedule type|CFG scale|Seed|Size|Model|Model hash|Version):")
_NEGATIVE_LINE = re.compile(rf"^[ \t]{{0,16}}{NEGATIVE}", re.MULTILINE)
_NEGATIVE_ANYWHERE = re.compile(rf"(?:^|(?<=\s)){NEGATIVE}")
_MAX_STARTS = 16
_UNNAMEABLE = re.compile(r"[<>:,\n]")  # in the name of an adapter
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MAX_DIGITS = 20  # of 2**64


@dataclass(frozen=True, slots=True)
class Infotext:
    """The three parts of the text; `params` keeps the order of the file."""

    prompt: str
    negative: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


def format_infotext(recipe: Recipe) -> str:
    """Of an enlarged picture the size is that of the one that was enlarged, as A1111 has it."""
    enlarged = recipe.parameters if recipe.parameters.get("operation") == "enlarge" else {}
    by = enlarged.get("by", 1)
    redrawn = recipe.parameters if enlarged or recipe.parameters.get("init") else {}
    params = {
        "Steps": recipe.steps,
        "Sampler": "Euler",
        "Schedule type": "Simple",
        "CFG scale": f"{recipe.parameters.get('guidance') or 1:g}",
        "Seed": recipe.seed,
        "Size": f"{recipe.width // by}x{recipe.height // by}",
        "Model": recipe.model_title,
        "Variation seed": recipe.parameters.get("variation_seed"),
        "Variation seed strength": recipe.parameters.get("variation_amount"),
        "Denoising strength": redrawn.get("strength"),
        "Hires upscale": enlarged.get("by"),
        "Hires upscaler": (enlarged.get("upscaler") or "Lanczos").removesuffix(".safetensors") if enlarged else None,
        "Lora hashes": ", ".join(f"{name}: {digest[:12]}" for name, _, digest in _adapters(recipe) if digest) or None,
        "Version": f"bonsai-{recipe.app_version}",
    }
    pairs = [f"{key}: {_quote(str(value))}" for key, value in params.items() if value is not None]
    negative = recipe.parameters.get("negative_prompt")
    prompt = f"{recipe.prompt}{_tags(recipe)}"
    prompts = f"{prompt}\nNegative prompt: {negative}" if negative else prompt
    return f"{prompts}\n{', '.join(pairs)}"


def _adapters(recipe: Recipe) -> Iterator[tuple[str, float, str]]:
    """Name, strength and digest of each adapter that the grammar can name."""
    for one in recipe.parameters.get("loras") or ():
        if not _UNNAMEABLE.search(one["name"]):
            yield one["name"], one.get("strength", 1.0), one.get("sha256") or ""


def _tags(recipe: Recipe) -> str:
    """The adapters as A1111 has them in a prompt; ours are apart from it."""
    return "".join(f" <lora:{name}:{strength:g}>" for name, strength, _ in _adapters(recipe))


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def parse_infotext(text: str) -> Infotext:
    """Split any text into its parts: what follows none of the rules is the prompt.

    The settings are the last line, as A1111 reads it, or everything from the last line that begins with "Steps:", since
    a value may hold line breaks; in a text whose line breaks were lost, everything from the last "Steps:" in it.
    """
    text = text.strip()
    start, one_line = _settings_start(text)
    params = _parse_params(text[start:])
    negative = (_NEGATIVE_ANYWHERE if one_line else _NEGATIVE_LINE).search(text, 0, start)
    end = negative.start() if negative else start
    parts = text[:end], text[negative.end() : start] if negative else ""
    prompt, negative_prompt = ("\n".join(map(_without_marker, part.strip().split("\n"))) for part in parts)
    return Infotext(prompt, negative_prompt, params)


def _without_marker(line: str) -> str:
    return line.strip().removeprefix(NEGATIVE).strip()


def _settings_start(text: str) -> tuple[int, bool]:
    """Where the settings begin, the text's length if it has none, and whether that is in the middle of a line."""
    last_line = text.rfind("\n") + 1
    if (start := _last_with_params(text, _STEPS_LINE)) is not None:
        return start, False
    if _FIRST_KEY.match(text, last_line) and len(_parse_params(text[last_line:])) >= MIN_PARAMS:
        return last_line, False
    if (start := _last_with_params(text, _STEPS_ANYWHERE)) is not None:
        return start, True
    return (last_line if len(_parse_params(text[last_line:])) >= MIN_PARAMS else len(text)), False


def _last_with_params(text: str, pattern: re.Pattern[str]) -> int | None:
    """The last place of that form that enough pairs follow; few are tried, so that hostile text takes linear time."""
    starts = deque((match.start() for match in pattern.finditer(text)), maxlen=_MAX_STARTS)
    return next((start for start in reversed(starts) if len(_parse_params(text[start:])) >= MIN_PARAMS), None)


def _parse_params(settings: str) -> dict[str, str]:
    """The pairs in their order. What stands between two of them belongs to the first if it holds a line break."""
    matches = list(_PAIR.finditer(settings))
    params = {}
    for match, following in zip_longest(matches, matches[1:]):
        value = _unquote(match[2].strip())
        between = settings[match.end() : following.start() if following else len(settings)]
        if "\n" in between and not match[2].startswith('"'):
            value = f"{match[2].lstrip()},{between}".rstrip().removesuffix(",")
        params[match[1].strip()] = value
    return params


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
