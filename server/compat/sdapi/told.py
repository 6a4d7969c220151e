"""What A1111 tells of a call, beside the pictures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bonsai_mlx.images.infotext import format_infotext
from bonsai_mlx.images.recipe import Recipe
from bonsai_mlx.request import Draw
from bonsai_mlx.version import __version__

from ...checkpoints.ready import ReadyModel
from ...schemas.jobs import Job
from ..base import Picture, public_name
from .following import job_timestamp


class Sent(Protocol):
    """What is repeated of a call."""

    @property
    def negative_prompt(self) -> str: ...


def info(
    pictures: Sequence[Picture],
    body: Sent,
    ready: ReadyModel,
    notes: Sequence[str],
    *,
    size: tuple[int, int] | None = None,
    strength: float | None = None,
    further: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """With the numbers that were really used; clients read `infotexts` and `seed`.

    `size`, (width, height) in pixels, is that of the first pass, where it is another than the picture's.
    """
    jobs, negative = [made.job for made in pictures], body.negative_prompt
    varied = [_variation_of(job) for job in jobs]
    subseeds = [job.seed if own is None else own for job, (own, _) in zip(jobs, varied, strict=True)]
    said = [*notes, *(note for job in jobs for note in job.notes)]
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
        "width": size[0] if size else first.width,
        "height": size[1] if size else first.height,
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
        "denoising_strength": strength,
        "extra_generation_params": dict(further or {}),
        "index_of_first_image": 0,
        "infotexts": infotexts,
        "styles": list(first.request.styles) if isinstance(first.request, Draw) else [],
        "job_timestamp": job_timestamp(first),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": f"bonsai-mlx {__version__}",
        **({"notes": list(dict.fromkeys(said))} if said else {}),
    }


def _variation_of(job: Job) -> tuple[int | None, float]:
    request = job.request
    return (request.variation_seed, request.variation_amount) if isinstance(request, Draw) else (None, 0.0)


def _infotext(made: Picture) -> str:
    return format_infotext(Recipe.from_json(json.dumps(made.image.recipe)))
