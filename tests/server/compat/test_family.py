"""Models of the family beside Bonsai: listed in every interface, drawing, and guided where they were not distilled."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.hub.catalog import lookup
from server.settings import Settings
from tests.layouts import write_diffusers, write_mflux
from tests.server.compat.pictures import picture, text_of
from tests.server.conftest import QUICK, LiveServer
from tests.stand_in import as_downloaded, stand_in

pytestmark = pytest.mark.slow

PHOTO = Image.effect_noise((64, 64), 90).convert("RGB")
MASK = Image.new("L", (64, 64), 0)
MASK.paste(255, (16, 16, 48, 48))
ALONE: dict[str, Any] = {  # as the other program's folders are, which say nothing of themselves
    "model_index": {"text_encoder_out_layers": [9, 18, 27], "max_sequence_length": 512},
    "text_encoder": {"num_hidden_layers": 28},
    "vae": {"block_out_channels": [32, 32, 64, 64], "norm_num_groups": 32},
}
BASE = {"override_settings": {"sd_model_checkpoint": "flux2-klein-base"}, "prompt": "a fox", "seed": 5, "steps": 2}
LED = {"cfg_scale": 7, "negative_prompt": "dull"}


@pytest.fixture(scope="module")
def live(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Small files in the places of `ternary`, `klein` and `klein-base`, each in its own layout."""
    folder = tmp_path_factory.mktemp("family")
    models = folder / "models"
    stand_in(models, "ternary")
    base = write_diffusers(tiny_checkpoint("4-bit"), models / "klein-base", distilled=False)
    for licence in base.glob("LICENSE*"):
        licence.unlink()
    as_downloaded(base, lookup("klein-base"))
    as_downloaded(write_mflux(tiny_checkpoint("bf16", **ALONE), models / "klein", 4), lookup("klein"))
    own = {"engine": "server.engine.backend:mlx_backend", "output": folder / "out", "models_dir": models}
    with LiveServer(Settings(**QUICK | own | {"progress_unknown_s": 120.0, "heartbeat_kill_s": 30.0})) as server:
        yield server


def test_every_interface_lists_them(live: LiveServer) -> None:
    listed = {one["id"]: one for one in live.client.get("/v1/models").json()["data"]}
    assert [listed[name]["owned_by"] for name in ("bonsai-ternary", "flux2-klein-4b", "flux2-klein-base")] == [
        "prism-ml",
        "black-forest-labs",
        "black-forest-labs",
    ]
    assert listed["seedling-ternary"]["owned_by"] == "bonsai-mlx"
    every = {one["id"]: one for one in live.client.get("/api/v1/models?show_all=true").json()["data"]}
    assert every["flux2-klein-base-4bit"]["owned_by"] == "black-forest-labs", "packed here from theirs"
    known = {one["title"]: one for one in live.client.get("/sdapi/v1/sd-models").json()}
    assert {"flux2-klein-4b", "flux2-klein-base"} <= known.keys()
    assert known["flux2-klein-4b"]["hash"] is None, "a branch is no hash"
    assert known["flux2-klein-base"]["hash"] == lookup("klein-base").revision[:10]
    tags = {one["name"]: one["details"] for one in live.client.get("/api/tags").json()["models"]}
    assert tags["flux2-klein-4b:latest"]["quantization_level"] == "4-bit"
    assert tags["flux2-klein-base:latest"]["quantization_level"] == "bf16"


@pytest.mark.parametrize("name", ["flux2-klein-4b", "flux2-klein-base"])
def test_every_interface_draws_with_them(live: LiveServer, name: str) -> None:
    drawn = {
        "openai": ("/v1/images/generations", {"model": name, "size": "64x64", "n": 1}),
        "a1111": ("/sdapi/v1/txt2img", {"override_settings": {"sd_model_checkpoint": name}, "width": 64, "height": 64}),
        "ollama": ("/api/generate", {"model": f"{name}:latest", "width": 64, "height": 64, "stream": False}),
    }
    for path, body in drawn.values():
        answer = live.client.post(path, json={"prompt": "a fox", "seed": 3, "steps": 1} | body, timeout=300)
        assert answer.status_code == 200, answer.text
        assert live.client.get("/jobs?limit=1").json()["jobs"][0]["model"] == lookup(name).name


def told(live: LiveServer, route: str, body: dict[str, Any]) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """The picture, what `info` says of it, and how it was asked for."""
    answer = live.client.post(f"/sdapi/v1/{route}", json=BASE | body, timeout=300)
    assert answer.status_code == 200, answer.text
    info = json.loads(answer.json()["info"])
    return np.asarray(picture(answer.json()["images"][0]).convert("RGB")), info


def test_cfg_scale_leads_what_is_repainted(live: LiveServer) -> None:
    body = {"init_images": [text_of(PHOTO)], "mask": text_of(MASK), "denoising_strength": 0.8}
    led, info = told(live, "img2img", body | LED)
    assert (info["cfg_scale"], info["negative_prompt"]) == (7.0, "dull")
    assert "Negative prompt: dull" in info["infotexts"][0]
    assert "CFG scale: 7" in info["infotexts"][0]
    assert "Denoising strength: 0.8" in info["infotexts"][0]
    again, _ = told(live, "img2img", {**body, "infotext": info["infotexts"][0], "denoising_strength": None})
    assert (again == led).all(), "what a picture says makes it again"
    plain, _ = told(live, "img2img", body | {"cfg_scale": 1})
    assert (led != plain).any()


SECOND_PASS: dict[str, tuple[str, dict[str, Any]]] = {
    "hires": ("txt2img", {"width": 64, "height": 64, "enable_hr": True, "denoising_strength": 0.5}),
    "hires, other words": ("txt2img", {"width": 64, "height": 64, "enable_hr": True, "hr_prompt": "a hare"}),
    "SD upscale": ("img2img", {"init_images": [text_of(PHOTO)], "script_name": "SD upscale"}),
}


@pytest.mark.parametrize("name", SECOND_PASS)
def test_what_is_redrawn_in_tiles_is_led_as_it_was_asked_for(live: LiveServer, name: str) -> None:
    route, body = SECOND_PASS[name]
    _, info = told(live, route, body | LED)
    assert (info["cfg_scale"], info["negative_prompt"]) == (7.0, "dull")
    asked = live.client.get("/jobs?limit=1").json()["jobs"][0]["request"]
    assert (asked["operation"], asked["guidance"], asked["negative_prompt"]) == ("enlarge", 7.0, "dull")


def test_the_second_pass_avoids_what_is_named_for_it(live: LiveServer) -> None:
    route, body = SECOND_PASS["hires"]
    told(live, route, body | LED | {"hr_negative_prompt": "grey"})
    large, first = (job["request"] for job in live.client.get("/jobs?limit=2").json()["jobs"])
    assert (large["operation"], large["negative_prompt"], first["negative_prompt"]) == ("enlarge", "grey", "dull")


def enlarged(live: LiveServer, **body: Any) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    answer = live.client.post("/enlarge", json={"method": "refine", "strength": 0.8, "steps": 2, "seed": 1} | body)
    assert answer.status_code == 200, answer.text
    recipe = live.client.get(f"/images/{answer.headers['x-image-id']}").json()["recipe"]
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")), recipe


def test_what_is_enlarged_keeps_its_guidance_with_the_model_that_has_it(live: LiveServer) -> None:
    asked = {"prompt": "a fox", "seed": 5, "steps": 1, "width": 64, "height": 64, "model": "klein-base"}
    drawn = live.client.post("/generate", json=asked | {"guidance": 7, "negative_prompt": "dull"})
    source = drawn.raise_for_status().headers["x-image-id"]
    kept, recipe = enlarged(live, source=source)
    assert (recipe["guidance"], recipe["negative_prompt"]) == (7.0, "dull")
    named, _ = enlarged(live, source=source, prompt="a fox", guidance=7, negative_prompt="dull")
    usual, recipe = enlarged(live, source=source, prompt="a fox")
    assert (kept == named).all()
    assert (kept != usual).any()
    assert (recipe["guidance"], recipe.get("negative_prompt", "")) == (4.0, "")
    _, recipe = enlarged(live, source=source, model="ternary")
    assert "guidance" not in recipe
    refused = live.client.post(
        "/enlarge", json={"source": source, "method": "refine", "model": "ternary", "guidance": 3}
    )
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "guidance")
    idle = live.client.post("/enlarge", json={"source": source, "guidance": 3})
    assert (idle.status_code, idle.json()["error"]["field"]) == (422, "guidance")
