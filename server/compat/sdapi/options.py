"""A1111's `options`: the model, which is remembered for this interface alone, and settings that change nothing."""

import json

from fastapi import Request
from starlette.responses import Response

from bonsai_mlx.images.recipe import parse_json_object

from ...routes.common import StudioDep, json_body
from ...studio import Studio
from ..base import listed_model, public_name, ready_models
from ..body import Body, Json, Text, bad_field, parsed, read_json
from ..failing import json_answer
from .shape import new_router

router = new_router()

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


class OverrideSettings(Body):
    sd_model_checkpoint: Text = ""


@router.get("/options", summary="The settings that clients ask for")
async def options(studio: StudioDep) -> Response:
    return json_answer(
        {
            "samples_format": "png",
            "sd_model_checkpoint": public_name(chosen(studio)),
            "sd_checkpoint_hash": None,
            "sd_vae": "Automatic",
            "CLIP_stop_at_last_layers": 1,
            "show_progress_every_n_steps": 1,
            "eta_noise_seed_delta": 0,
        }
        | other_options(studio)
    )


@router.post(
    "/options",
    summary="Choose a model; other settings are remembered and change nothing",
    openapi_extra=json_body(OverrideSettings),
)
async def set_options(studio: StudioDep, request: Request) -> Response:
    sent = await read_json(request)
    name = parsed(OverrideSettings, sent).sd_model_checkpoint
    if name.strip():
        choose(studio, listed_model(studio, name, "sd_model_checkpoint").name)
    remember(studio, sent)
    return json_answer(None)
