"""The pages' templates, and the models that the catalog has. Knows no routes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cache
from itertools import groupby
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader

from bonsai_mlx.hub.catalog import comparisons
from bonsai_mlx.hub.published import CATALOG

from .assets.files import STATIC, shipped, static_url


class Image(Protocol):
    """What is asked of a picture here."""

    @property
    def created_at(self) -> str: ...


TEMPLATES = shipped("templates")


@cache
def _environment() -> Environment:
    # autoescape=True for every template whatever its name: prompts are shown on every page
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,  # folding constants takes a fifth of the compiling that the first page waits for
    )
    first_pictures = json.loads((STATIC / "first/pictures.json").read_text("utf-8"))
    environment.globals |= {"static_url": static_url, "catalog": _catalog(), "first_pictures": first_pictures}
    environment.globals |= {"by_day": by_day, "frame_of": frame_of, "local_time": local_time}
    return environment


def _catalog() -> dict[str, Any]:
    """What templates and scripts know of models: `json` is for the scripts."""
    shown = ("name", "label", "summary", "embedded", "stands_in_for", "compared_with", "featured")
    return {
        "json": json.dumps([{field: getattr(entry, field) for field in shown} for entry in CATALOG]),
        "labels": {entry.name: entry.label for entry in CATALOG},
        "published": [entry for entry in CATALOG if entry.featured],
        "compared": comparisons()[0],
    }


_FRAMES = (0.5, 0.56, 0.67, 0.75, 1, 1.33, 1.5, 1.78, 2)  # as static/js/gallery/days.js and prints.css have them


def frame_of(width: int, height: int) -> str:
    """The frame of the gallery that is nearest to a picture's shape."""
    return str(min(_FRAMES, key=lambda frame: abs(math.log(frame * height / width))))


def by_day(images: Iterable[Image]) -> list[tuple[date, list[Image]]]:
    days = groupby(images, key=lambda image: datetime.fromisoformat(image.created_at).astimezone().date())
    return [(day, list(found)) for day, found in days]


def local_time(created_at: str) -> str:
    """Where the server is, which the reader mostly is as well; scripts say it in the reader's own way."""
    return datetime.fromisoformat(created_at).astimezone().strftime("%d %B %Y, %H:%M")


def render(template: str, context: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(context)
