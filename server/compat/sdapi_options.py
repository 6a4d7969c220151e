"""What A1111's clients set through `options`: the model, for this interface alone, and settings that change nothing."""

from __future__ import annotations

import json

from bonsai_mlx.images.recipe import parse_json_object

from ..studio import Studio
from .base import ready_models
from .body import Json, bad_field

_CHOSEN = "sdapi_model"  # the name under which the store keeps the choice
_OWN_OPTIONS = ("sd_model_checkpoint", "sd_checkpoint_hash", "sd_vae")
_OPTIONS = "sdapi_options"  # the name under which the store keeps the others
_OPTIONS_CHARS = 16_000


def chosen(studio: Studio) -> str:
    """The model of this interface: the one chosen through `options` while it is there, else the default."""
    name = studio.store.preference(_CHOSEN)
    return name if name in ready_models(studio) else studio.models.default()


def choose(studio: Studio, name: str) -> None:
    studio.store.set_preference(_CHOSEN, name)


def other_options(studio: Studio) -> Json:
    stored = parse_json_object(studio.store.preference(_OPTIONS) or "{}")
    return stored or {}


def remember(studio: Studio, written: Json) -> None:
    """Keep what other settings a client writes: plain values, for it to read again. ApiError 422 for too much."""
    others = {name: value for name, value in written.items() if name not in _OWN_OPTIONS}
    plain = {name: value for name, value in others.items() if isinstance(value, str | int | float)}
    if not plain:
        return
    text = json.dumps(other_options(studio) | plain)
    if len(text) > _OPTIONS_CHARS:
        raise bad_field(next(iter(plain)), f"All options together may have {_OPTIONS_CHARS} characters.")
    studio.store.set_preference(_OPTIONS, text)
