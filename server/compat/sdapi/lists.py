"""The lists that A1111's clients fill their menus with. One sampler, one schedule, and the models that can draw now."""

from typing import Any

from starlette.responses import Response

from bonsai_mlx.pipelines.styles import StyleBook

from ...jobs.adapters import names_and_files
from ...routes.common import StudioDep
from ..base import public_name, ready_models, short_hash
from ..failing import json_answer
from . import sd_upscale, upscalers
from .larger import MAX_FACTOR
from .shape import new_router

router = new_router()

_SCRIPT = sd_upscale.NAME.lower()  # as A1111 lists it
_LISTS: dict[str, Any] = {
    "samplers": [{"name": "Euler", "aliases": ["euler"], "options": {}}],
    "schedulers": [
        {"name": "simple", "label": "Simple", "aliases": None, "default_rho": -1.0, "need_inner_model": False}
    ],
    "latent-upscale-modes": [{"name": "Latent"}],
    "sd-vae": [],
    "sd-modules": [],
    "hypernetworks": [],
    "face-restorers": [],
    "realesrgan-models": [],
    "extensions": [],
    "script-info": [{"name": _SCRIPT, "is_alwayson": False, "is_img2img": True, "args": []}],
    "scripts": {"txt2img": [], "img2img": [_SCRIPT]},
    "embeddings": {"loaded": {}, "skipped": {}},
    "cmd-flags": {},
}


def _add(path: str, content: Any) -> None:
    async def answer() -> Response:
        return json_answer(content)

    router.add_api_route(f"/{path}", answer, summary=f"{path} (A1111)", name=path)


for _path, _content in _LISTS.items():
    _add(_path, _content)


@router.get("/upscalers", summary="What pictures can be enlarged with (A1111)")
async def listed_upscalers(studio: StudioDep) -> Response:
    """Clients insert the latent ones after the first."""
    rest = {"model_name": None, "model_path": None, "model_url": None, "scale": MAX_FACTOR}
    return json_answer([{"name": name, **rest} for name in upscalers.names(studio)])


@router.get("/loras", summary="The adapters in the folder (A1111)")
async def loras(studio: StudioDep) -> Response:
    """Names that a prompt may hold as <lora:name:strength>; of paths, the file's name alone."""
    files = await names_and_files(studio.settings)
    return json_answer([{"name": name, "alias": name, "path": file, "metadata": {}} for name, file in files])


@router.get("/prompt-styles", summary="The styles (A1111)")
async def prompt_styles() -> Response:
    styles = StyleBook.open().styles
    return json_answer([{"name": one.name, "prompt": one.text, "negative_prompt": ""} for one in styles])


@router.get("/sd-models", summary="The models that can draw now (A1111)")
async def sd_models(studio: StudioDep) -> Response:
    models = [studio.models.get(name) for name in ready_models(studio)]
    return json_answer(
        [
            {
                "title": public_name(model.name),
                "model_name": model.title,
                "hash": short_hash(model),
                "sha256": None,
                "filename": f"{public_name(model.name)}.safetensors",
                "config": None,
            }
            for model in models
        ]
    )


@router.post("/refresh-checkpoints", summary="Nothing: the list is always fresh")
@router.post("/refresh-vae", include_in_schema=False)
@router.post("/refresh-loras", include_in_schema=False)
async def refresh() -> Response:
    return json_answer(None)
