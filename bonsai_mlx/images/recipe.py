"""How a picture was made, as plain data: our own recipe, and what can be learned from other programs' files.

Owns the canonical JSON of a recipe. Knows nothing of image files (containers.py, metadata.py) and nothing of MLX.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from ..version import __version__

SCHEMA = 1
APP = "bonsai-mlx"


def timestamp(at: float | None = None) -> str:
    """ISO 8601 in UTC with microseconds, so that texts sort as times do. `at` is unix time, default now."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that is needed to make a picture again, and how it went. Holds no paths and no names of people.

    The fields are written to the file in this order; those that are None are left out.
    """

    prompt: str
    seed: int
    steps: int
    width: int  # pixels
    height: int
    variant: str  # "ternary" or "binary"
    model: str  # the catalog's name of the checkpoint
    repo: str | None = None  # its Hub repository, unless it is a folder of the user's
    revision: str | None = None
    scheduler: str | None = None
    shift: float | None = None  # mu, as it was used for this size and number of steps
    truncated: bool | None = None  # True: the model has not read the prompt's end
    app: str = APP
    app_version: str = __version__
    mlx: str | None = None  # the version of MLX
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds per phase
    peak_memory_bytes: int | None = None
    created_at: str | None = None  # when the picture was finished: ISO 8601 in UTC, as `timestamp` writes it
    schema: int = SCHEMA

    @property
    def model_title(self) -> str:
        """What other programs show as the model: the repository without its owner, else the catalog's name."""
        return self.repo.rsplit("/", 1)[-1] if self.repo else self.model

    def to_json(self) -> bytes:
        """Canonical JSON in UTF-8: the same recipe always gives the same bytes."""
        values = {"schema": self.schema} | {f.name: getattr(self, f.name) for f in fields(self)}
        present = {name: value for name, value in values.items() if value is not None}
        present["timings"] = dict(self.timings)
        text = json.dumps(present, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Half a surrogate pair has no UTF-8 form; `backslashreplace` writes exactly JSON's escape for it.
        return text.encode("utf-8", "backslashreplace")

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """The recipe that `to_json` wrote. ValueError says what is wrong; fields of later versions are ignored."""
        data = parse_json_object(text)
        if data is None:
            raise ValueError("the recipe is not a JSON object")
        if data.get("schema") != SCHEMA:
            raise ValueError(f"the recipe has schema {data.get('schema')!r}; this version reads schema {SCHEMA}")
        known = {f.name: str(f.type) for f in fields(cls)}
        checked = {name: _checked(name, known[name], value) for name, value in data.items() if name in known}
        try:
            return cls(**checked)
        except TypeError as error:  # a field without a default is missing; Python's message names it
            raise ValueError(f"the recipe is incomplete: {error}") from error


def _checked(name: str, kind: str, value: object) -> Any:
    """`value` if it is what the annotation `kind` says, else ValueError."""
    if value is None and kind.endswith("| None"):
        return None
    expected = kind.removesuffix(" | None")
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and _is_number(value),
        "float": _is_number(value),
        "Mapping[str, float]": isinstance(value, dict) and all(map(_is_number, value.values())),
    }
    if not fits[expected]:
        raise ValueError(f"the recipe's {name} is not of type {expected}")
    return value


def _is_number(value: object) -> bool:
    """A finite number that also fits where such numbers go next: a database column, a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def parse_json_object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object in `text`, or None for anything else, however hostile (deep nesting, endless numbers)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class FoundMetadata:
    """What an image file says about how it was made. None and "" stand for: it does not say."""

    source: str  # "bonsai", "a1111", "swarmui", "fooocus", "invokeai", "mflux", "drawthings", "exif", "comfyui"
    prompt: str = ""
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    model: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)  # settings that have no place here, for showing
    text: str = ""  # what all this was read from, as it stands in the file
    recipe: Recipe | None = None  # only for pictures made by this program

    @property
    def program(self) -> str:
        """The program's name, as people know it."""
        if self.source == "a1111" and self.extra.get("Version", "").startswith("f"):
            return "Forge"
        return _PROGRAMS.get(self.source, self.source)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. The seed also as text: 64 bits are more than some readers' numbers hold."""
        return {
            "source": self.source,
            "program": self.program,
            "prompt": self.prompt,
            "negative": self.negative,
            "seed": self.seed,
            "seed_text": None if self.seed is None else str(self.seed),
            "steps": self.steps,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "extra": dict(self.extra),
            "recipe": json.loads(self.recipe.to_json()) if self.recipe else None,
        }


_PROGRAMS = {
    "bonsai": APP,
    "a1111": "A1111 or compatible",
    "swarmui": "SwarmUI",
    "fooocus": "Fooocus",
    "invokeai": "InvokeAI",
    "mflux": "mflux",
    "drawthings": "Draw Things",
    "exif": "a program that names itself nowhere",
    "comfyui": "ComfyUI",
}
