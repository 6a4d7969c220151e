"""AUTOMATIC1111's interface under /sdapi/v1, as far as it makes sense for one distilled model.

Samplers, guidance, upscaling and negative prompts are accepted and change nothing. The model chosen through `options`
is remembered for this interface alone. What only lists things is in `sdapi_lists`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import Response

from bonsai_mlx.errors import RequestError
from bonsai_mlx.images import metadata
from bonsai_mlx.images.infotext import format_infotext, found_in_infotext
from bonsai_mlx.images.recipe import Recipe
from bonsai_mlx.pipelines.styles import StyleBook
from bonsai_mlx.request import MAX_GUIDANCE, MAX_SEED, MAX_STYLES, Draw
from bonsai_mlx.version import __version__

from ..checkpoints.models import ReadyModel
from ..errors import ErrorDetail
from ..routes.common import StudioDep, failures, json_body
from ..routes.generate import failure
from ..schemas import Job
from ..studio import Studio
from .base import MAX_IMAGES, Asked, Picture, asked_of, ended, listed_model, picture, public_name, steps_done, submit
from .body import (
    Body,
    Json,
    PictureBody,
    Prompt,
    Switch,
    Text,
    Whole,
    bad_field,
    number,
    parsed,
    read_body,
    read_json,
    whole,
)
from .failing import errors_as, json_answer, sentence
from .sdapi_options import choose, chosen, other_options, remember


class SdapiFailure(BaseModel):
    """An error as A1111 has it."""

    error: str
    detail: str
    body: str
    errors: str


def render_error(status: int, detail: ErrorDetail) -> Response:
    message = sentence(detail)
    return json_answer({"error": detail.code, "detail": message, "body": "", "errors": message}, status)


router = APIRouter(
    prefix="/sdapi/v1", tags=["sdapi"], route_class=errors_as(render_error), responses=failures(SdapiFailure)
)


def own_jobs(request: Request) -> set[str]:
    """The ids of the jobs that this interface waits for: others are none of its business to interrupt."""
    state = request.app.state
    if not hasattr(state, "sdapi_jobs"):
        state.sdapi_jobs = set()
    jobs: set[str] = state.sdapi_jobs
    return jobs


# drawing


def _finite(value: object) -> object:
    """A finite number, or None for anything else: most models make nothing of it."""
    found = number(value)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return found if usable else None


Guidance = Annotated[float | None, BeforeValidator(_finite)]
Repeats = Annotated[int, Field(strict=True, ge=1, le=MAX_IMAGES), BeforeValidator(whole)]


class OverrideSettings(Body):
    sd_model_checkpoint: Text = ""


class Txt2Img(PictureBody):
    """A1111's fields. Samplers, upscaling, scripts and whatever is not named here change nothing."""

    prompt: Prompt
    styles: list[Text] = Field([], max_length=MAX_STYLES, description="names of `prompt-styles`")
    negative_prompt: Annotated[Text, Field(description="of models with guidance; else it changes nothing")] = ""
    cfg_scale: Annotated[Guidance, Field(description="of models with guidance")] = None
    subseed: Annotated[Whole, Field(description="of a variation; below 0: a random one")] = None
    subseed_strength: Annotated[float, Field(ge=0, le=1), BeforeValidator(number)] = 0.0
    batch_size: Repeats = 1
    n_iter: Repeats = 1
    override_settings: OverrideSettings = OverrideSettings()
    send_images: Switch = True
    infotext: Annotated[Text, Field(description="what a picture says of its settings; other fields come first")] = ""


_VARIATION = {"subseed": "Variation seed", "subseed_strength": "Variation seed strength", "cfg_scale": "CFG scale"}


def with_infotext(sent: Json) -> Json:
    """The settings of the `infotext` field below those that the body names itself."""
    written = sent.get("infotext")
    if not isinstance(written, str) or not written:
        return sent
    found = found_in_infotext(written)
    values = {name: getattr(found, name) for name in ("prompt", "seed", "steps", "width", "height")}
    values |= {name: found.extra.get(key) for name, key in _VARIATION.items()}
    values["negative_prompt"] = found.negative or None
    return {name: value for name, value in values.items() if value is not None} | sent


@router.post("/txt2img", summary="Draw pictures (A1111)", openapi_extra=json_body(Txt2Img))
async def txt2img(studio: StudioDep, request: Request) -> Response:
    """prompt, styles, seed, steps, width, height, batch_size, n_iter, override_settings.sd_model_checkpoint,
    send_images and infotext; everything else is accepted and changes nothing."""
    sent = await read_json(request)
    return await answer(studio, request, parsed(Txt2Img, with_infotext(sent)), sent)


async def answer(
    studio: Studio, request: Request, body: Txt2Img, sent: Json, used: Mapping[str, Any] | None = None
) -> Response:
    """Draw what the body asks for; `used` says which pictures go in, `sent` is repeated but for its pictures."""
    ready = _checkpoint(studio, body)
    count = body.batch_size * body.n_iter
    if count > MAX_IMAGES:
        message = f"batch_size times n_iter is {count}; at most {MAX_IMAGES} pictures are drawn at a time."
        raise bad_field("batch_size", message)
    styles, notes = _known_styles(body.styles)
    used = {"styles": styles, **(used or {}), **_variation(body), **_guidance(ready, body)}
    asked = await asked_of(studio, ready, body, body.prompt, count, notes=notes, used=used)
    pictures = await _drawn(studio, request, submit(studio, asked.work))
    shown = pictures if body.send_images else []
    images = [base64.b64encode(made.png).decode() for made in shown]
    echo = {name: value for name, value in sent.items() if isinstance(value, str | int | float) and name != "mask"}
    told = info(pictures, body, ready, asked)
    return json_answer({"images": images, "parameters": echo, "info": json.dumps(told)})


def _guidance(ready: ReadyModel, body: Txt2Img) -> Json:
    """Guidance and negative prompt for a model that has them, within what it takes; A1111 sends both to any."""
    if not ready.guided:
        return {}
    scale = min(max(body.cfg_scale or ready.recommended_guidance, 1.0), MAX_GUIDANCE)
    return {"guidance": scale, "negative_prompt": body.negative_prompt if scale > 1 else ""}


def _variation(body: Txt2Img) -> Json:
    seed = body.subseed
    own = None if seed is None or seed < 0 else seed % (MAX_SEED + 1)
    return {"variation_amount": body.subseed_strength, "variation_seed": own}


def _known_styles(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that there are, and notes on the others, which A1111 passes over without a word."""
    known, notes, book = [], [], StyleBook.open()
    for name in names:
        try:
            known.append(book.find(name).name)
        except RequestError as error:
            notes.append(f"{error.message[0].upper()}{error.message[1:]}.")
    return known, notes


def _checkpoint(studio: Studio, body: Txt2Img) -> ReadyModel:
    name = body.override_settings.sd_model_checkpoint
    if name.strip():
        return listed_model(studio, name, "override_settings.sd_model_checkpoint")
    return studio.models.require_ready(chosen(studio))


async def _drawn(studio: Studio, request: Request, jobs: list[Job]) -> list[Picture]:
    """What is finished when all have ended: an interrupted batch is as long as it got, unless nothing is there."""
    ids, mine = {job.id for job in jobs}, own_jobs(request)
    mine |= ids
    try:
        last = await ended(studio, request, jobs)
    finally:
        mine -= ids
    done = [job for job in last if job.status == "done"]
    failed = [job for job in last if job.status not in ("done", "cancelled")]
    if failed or not done:
        raise failure((failed or last)[0])
    return [await picture(studio, job) for job in done]


def info(pictures: list[Picture], body: Txt2Img, ready: ReadyModel, asked: Asked) -> dict[str, Any]:
    """What A1111 tells of a call, with the numbers that were really used; clients read `infotexts` and `seed`."""
    jobs, negative = [made.job for made in pictures], body.negative_prompt
    varied = [_variation_of(job) for job in jobs]
    subseeds = [job.seed if own is None else own for job, (own, _) in zip(jobs, varied, strict=True)]
    first, infotexts = jobs[0], [_infotext(made) for made in pictures]
    return {
        "prompt": first.prompt,
        "all_prompts": [job.prompt for job in jobs],
        "negative_prompt": negative,
        "all_negative_prompts": [negative for _ in jobs],
        "seed": first.seed,
        "all_seeds": [job.seed for job in jobs],
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": varied[0][1],
        "width": first.width,
        "height": first.height,
        "sampler_name": "Euler",
        "cfg_scale": getattr(first.request, "guidance", 1.0) or 1.0,
        "steps": first.steps,
        "batch_size": len(jobs),
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": public_name(ready.name),
        "sd_model_hash": None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": getattr(body, "denoising_strength", None),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": infotexts,
        "styles": list(first.request.styles) if isinstance(first.request, Draw) else [],
        "job_timestamp": _job_timestamp(first),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": f"bonsai-mlx {__version__}",
        **asked.noted(),
    }


def _variation_of(job: Job) -> tuple[int | None, float]:
    request = job.request
    return (request.variation_seed, request.variation_amount) if isinstance(request, Draw) else (None, 0.0)


def _infotext(made: Picture) -> str:
    return format_infotext(Recipe.from_json(json.dumps(made.image.recipe)))


def _job_timestamp(job: Job) -> str:
    """`20261121053000`, from the ISO time of the job."""
    return "".join(character for character in job.created_at[:19] if character.isdigit())


# following and stopping


@router.get("/progress", summary="How far the picture that is being drawn is")
async def progress(studio: StudioDep, request: Request) -> Response:
    """Idle is exactly progress 0 and job_count 0: some clients wait for that."""
    jobs = studio.jobs.snapshot()
    running = next((job for job in jobs if job.status == "running"), None)
    skip = request.query_params.get("skip_current_image", "").lower() in ("1", "true")
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": running.id if running else "",
        "job_count": len(jobs),
        "job_timestamp": _job_timestamp(running) if running else "0",
        "job_no": 0,
        "sampling_step": steps_done(running) if running else 0,
        "sampling_steps": running.steps if running else 0,
    }
    return json_answer(
        {
            # never 0 while busy, as in A1111: that means idle
            "progress": min(0.99, 0.01 + running.progress) if running else 0.0,
            "eta_relative": (running.eta_s or 0.0) if running else 0.0,
            "state": state,
            "current_image": _preview(studio, running) if running and not skip else None,
            "textinfo": None,
        }
    )


def _preview(studio: Studio, job: Job) -> str | None:
    return base64.b64encode(studio.jobs.preview_png(job.id)).decode() if job.preview_seq else None


@router.post("/interrupt", summary="Stop what this interface draws; what is finished of it is returned")
async def interrupt(studio: StudioDep, request: Request) -> Response:
    for active in reversed(studio.jobs.active):  # the running one last: the next must not start
        if active.job.id in own_jobs(request):
            studio.jobs.cancel(active.job.id)
    return json_answer({})


@router.post("/skip", summary="Give up the picture being drawn and go on with the next of the batch")
async def skip(studio: StudioDep, request: Request) -> Response:
    for active in studio.jobs.active[:1]:
        if active.job.id in own_jobs(request):
            studio.jobs.cancel(active.job.id)
    return json_answer(None)


# options


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


# the settings in a picture


class PngInfo(Body):
    image: Annotated[Text, Field(json_schema_extra={"contentEncoding": "base64"})]


@router.post("/png-info", summary="What a picture says about how it was made", openapi_extra=json_body(PngInfo))
async def png_info(request: Request) -> Response:
    """`image` is base64, with or without a `data:` address before it. Pixels are not decoded, nothing is kept."""
    encoded = (await read_body(request, PngInfo)).image.rpartition(",")[2]
    try:
        data = await asyncio.to_thread(base64.b64decode, encoded, validate=False)
        found = await asyncio.to_thread(metadata.read, data)
    except (binascii.Error, ValueError):
        message = "This is no whole PNG, JPEG or WebP file in base64."
        raise bad_field("image", message) from None
    if found is None:
        return json_answer({"info": "", "items": {}, "parameters": {}})
    parameters = {
        "Prompt": found.prompt,
        "Negative prompt": found.negative,
        "Steps": found.steps,
        "Seed": found.seed,
        "Size-1": found.width,
        "Size-2": found.height,
        "Model": found.model,
    }
    written = format_infotext(found.recipe) if found.recipe else found.text
    kept = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return json_answer({"info": written, "items": {"parameters": written}, "parameters": kept | dict(found.extra)})


@router.post("/unload-checkpoint", summary="End the idle engine")
async def unload(studio: StudioDep) -> Response:
    await studio.unload()
    return json_answer({})


@router.post("/reload-checkpoint", summary="Nothing: the engine is loaded when it is needed")
async def reload() -> Response:
    return json_answer({})


@router.get("/memory", summary="Memory in A1111's shape; the engine's own figures are the graphics memory")
async def memory(studio: StudioDep) -> Response:
    now = studio.memory.snapshot()
    total, free = now.system_total_bytes, now.system_available_bytes
    peak = {"current": now.mlx_active_bytes, "peak": now.mlx_peak_bytes}
    return json_answer(
        {
            "ram": {"free": free, "used": total - free, "total": total},
            "cuda": {
                "system": {"free": free, "used": now.process_bytes, "total": total},
                "active": peak,
                "allocated": peak,
                "reserved": {"current": now.mlx_active_bytes + now.mlx_cache_bytes, "peak": now.mlx_peak_bytes},
                "inactive": {"current": now.mlx_cache_bytes, "peak": now.mlx_cache_bytes},
                "events": {"retries": 0, "oom": 0},
            },
        }
    )
