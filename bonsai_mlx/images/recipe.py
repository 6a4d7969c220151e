"""How a picture was made, as plain data: our own recipe, and what can be learned from other programs' files.

Owns the canonical JSON of a recipe. Knows nothing of image files (containers.py, metadata.py) and nothing of MLX.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, cast

from ..bounds import Bounds, Choice, Objects, bounds_by_name
from ..decoding import Flag, Number, Text, Whole, decode
from ..errors import RequestError
from ..request import OPERATIONS, ResolvedOperation, chosen, operation_of, plain
from ..version import __version__

SCHEMA = 1
APP = "bonsai-mlx"
_MOST_EARLIER = 15  # steps that led to a picture, see pipelines.chains
_USUAL = "draw"  # the operation of a recipe that names none


def timestamp(at: float | None = None) -> str:
    """ISO 8601 in UTC with microseconds, so that texts sort as times do. `at` is unix time, default now."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that is needed to make a picture again, and how it went. Holds no paths and no names of people.

    The fields are written to the file in this order; those that are None are left out.
    """

    prompt: Text
    seed: Whole
    steps: Whole
    width: Whole  # pixels
    height: Whole
    variant: Text  # "ternary" or "binary"
    model: Text  # the catalog's name of the checkpoint
    repo: Text | None = None  # its Hub repository, unless it is a folder of the user's
    revision: Text | None = None
    text_encoder: Text | None = None  # where it is not the checkpoint's own
    decoder: Text | None = None
    scheduler: Text | None = None
    shift: Number | None = None  # mu, as it was used for this size and number of steps
    truncated: Flag | None = None  # True: the model has not read the prompt's end
    app: Text = APP
    app_version: Text = __version__
    mlx: Text | None = None  # the version of MLX
    timings: Mapping[str, Number] = field(default_factory=dict)  # seconds per phase
    peak_memory_bytes: Whole | None = None
    created_at: Text | None = None  # when the picture was finished: ISO 8601 in UTC, as `timestamp` writes it
    schema: Whole = SCHEMA
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the request, beside those above; flat in the JSON

    @classmethod
    def of(cls, request: ResolvedOperation, **how: Any) -> Recipe:
        """The recipe of a picture that the request has led to; `how` are the other fields."""
        named = chosen(request)
        if (operation := operation_of(request)) != _USUAL:
            named["operation"] = operation
        own = {name: named.pop(name) for name in tuple(named) if name not in _further()}
        return cls(**own, parameters=named, **how)

    @property
    def model_title(self) -> str:
        """What other programs show as the model: the repository without its owner, else the catalog's name."""
        return self.repo.rsplit("/", 1)[-1] if self.repo else self.model

    def to_json(self) -> bytes:
        """Canonical JSON in UTF-8: the same recipe always gives the same bytes."""
        values = {"schema": self.schema} | {f.name: getattr(self, f.name) for f in fields(self)}
        del values["parameters"]
        present = {name: value for name, value in (values | dict(self.parameters)).items() if value is not None}
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
        try:
            own = {name: value for name, value in data.items() if name != "parameters"}
            return replace(decode(cls, own), parameters=_read_further(data))
        except (ValueError, RequestError) as error:
            raise ValueError(f"the recipe is not whole: {error}") from None


def _further() -> set[str]:
    """The parameters of requests that are not fields of a recipe: those that have come since its schema."""
    known = {name for kind in OPERATIONS.values() for name in kind.__dataclass_fields__}
    return {"operation", "chain", *known} - {item.name for item in fields(Recipe)}


def _read_further(data: Mapping[str, Any]) -> dict[str, Any]:
    """RequestError for one that is out of its bounds."""
    bounds: dict[str, Bounds] = {"operation": Choice(tuple(OPERATIONS)), "chain": Objects(_MOST_EARLIER)}
    bounds |= {name: one for kind in OPERATIONS.values() for name, one in bounds_by_name(cast("Any", kind)).items()}
    found = {name: data[name] for name in sorted(_further()) if name in data}
    return {
        name: plain(bounds[name].checked(name, value)) if name in bounds else value for name, value in found.items()
    }


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
    code: str | None = None  # what alone stands for the picture: bitcode

    @property
    def program(self) -> str:
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
            "code": self.code,
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
