"""Adapters over HTTP, drawn by the real engine with the seedling: by name within the folder, and never by a path."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bonsai_mlx
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.images.metadata import read
from server.settings import Settings

from ..adapters.files import lora_tensors, saved
from .conftest import LiveServer

SEEDLING = Path(bonsai_mlx.__file__).parent / "seedling" / "ternary"
SMALL: dict[str, Any] = {
    "model": "seedling-ternary",
    "prompt": "a fox",
    "seed": 7,
    "steps": 1,
    "width": 64,
    "height": 64,
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("server")
    tensors = lora_tensors(Checkpoint.open(SEEDLING).transformer.linears())
    saved(folder / "loras" / "ink.safetensors", tensors, {"modelspec.trigger_phrase": "inky"})
    saved(folder / "outside.safetensors", tensors)
    (folder / "loras" / "broken.safetensors").write_bytes(b"x" * 50)
    settings = Settings(
        output=folder / "out", loras=folder / "loras", min_free_bytes=0, port=0, browser=False, token=None
    )
    with LiveServer(settings) as server:
        yield server


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


@pytest.mark.slow
def test_an_adapter_is_listed_used_and_written_down(live: LiveServer) -> None:
    broken, ink = live.client.get("/loras").json()["loras"]
    assert (ink["name"], ink["models"], ink["problem"]) == ("ink", ["seedling-ternary", "seedling-binary"], None)
    assert ink["trigger_words"] == "inky"
    assert (broken["models"], "not a whole safetensors file" in broken["problem"]) == ([], True)
    listed = live.client.get("/sdapi/v1/loras").json()
    assert [(one["name"], one["path"]) for one in listed] == [
        ("broken", "broken.safetensors"),
        ("ink", "ink.safetensors"),
    ]

    plain = live.client.post("/generate", json=SMALL)
    drawn = live.client.post("/generate", json=SMALL | {"loras": [{"name": "ink", "strength": 0.8}]})
    assert (plain.status_code, drawn.status_code) == (200, 200), drawn.text
    assert np.abs(pixels(drawn.content) - pixels(plain.content)).mean() > 1
    digest = hashlib.sha256((live.settings.loras / "ink.safetensors").read_bytes()).hexdigest()  # type: ignore[operator]
    told = [{"name": "ink", "strength": 0.8, "sha256": digest}]
    assert list(read(drawn.content).recipe.parameters["loras"]) == told  # type: ignore[union-attr]
    image = live.client.get(f"/images/{drawn.headers['X-Image-Id']}").json()
    assert image["recipe"]["loras"] == told
    for body in ({"loras": told}, {"prompt": "a fox <lora:ink:0.8>"}, {"prompt": "<lora:ink:1:0.8> a fox"}):
        again = live.client.post("/generate", json=SMALL | body)
        assert np.array_equal(pixels(again.content), pixels(drawn.content))
    nothing = live.client.post("/generate", json=SMALL | {"loras": [{"name": "ink", "strength": 0}]})
    assert np.array_equal(pixels(nothing.content), pixels(plain.content))


@pytest.mark.slow
def test_other_programs_mean_it_in_their_prompts(live: LiveServer) -> None:
    body = {"prompt": "a fox <lora:ink:0.8>", "seed": 7, "steps": 1, "width": 64, "height": 64}
    answer = live.client.post("/sdapi/v1/txt2img", json=body).json()
    expected = live.client.post("/generate", json=SMALL | {"loras": [{"name": "ink", "strength": 0.8}]})
    assert np.array_equal(pixels(base64.b64decode(answer["images"][0])), pixels(expected.content))
    refused = live.client.post("/sdapi/v1/txt2img", json=body | {"prompt": "a fox <lora:inc:1>"})
    assert (refused.status_code, "did you mean ink?" in refused.text) == (422, True)


@pytest.mark.slow
def test_what_a1111_redraws_in_tiles_has_the_adapters_of_its_words(live: LiveServer) -> None:
    """In the second pass of `enable_hr` and in "SD upscale"."""
    words, plain = "a fox <lora:ink:0.8>", "a fox"
    hires = {"prompt": plain, "seed": 7, "steps": 1, "width": 64, "height": 64, "enable_hr": True}
    hires |= {"denoising_strength": 0.5}
    photo = base64.b64encode(live.client.post("/generate", json=SMALL).content).decode()
    script = {"init_images": [photo], "script_name": "SD upscale", "seed": 7, "steps": 1, "denoising_strength": 0.5}

    def drawn(route: str, body: dict[str, Any]) -> tuple[bytes, list[str]]:
        answer = live.client.post(f"/sdapi/v1/{route}", json=body).raise_for_status().json()
        return pixels(base64.b64decode(answer["images"][0])).tobytes(), json.loads(answer["info"]).get("notes", [])

    own, second, none, upscaled, without = (
        drawn("txt2img", hires | {"prompt": words}),
        drawn("txt2img", hires | {"prompt": words, "hr_prompt": words}),
        drawn("txt2img", hires | {"prompt": words, "hr_prompt": plain}),
        drawn("img2img", script | {"prompt": words}),
        drawn("img2img", script | {"prompt": plain}),
    )
    assert own == second
    assert own[0] != none[0]
    assert upscaled[0] != without[0]
    assert [notes for _, notes in (own, second, none, upscaled, without)] == [[]] * 5
    jobs = len(live.client.get("/jobs?limit=200").json()["jobs"])
    for route, body in (
        ("txt2img", hires | {"hr_prompt": "a fox <lora:inc:1>"}),
        ("img2img", script | {"prompt": "a fox <lora:inc:1>"}),
    ):
        refused = live.client.post(f"/sdapi/v1/{route}", json=body)
        assert (refused.status_code, "did you mean ink?" in refused.text) == (422, True), refused.text
    assert len(live.client.get("/jobs?limit=200").json()["jobs"]) == jobs


@pytest.mark.parametrize(
    ("loras", "said"),
    [
        ([{"name": "nothing"}], "There is no adapter called 'nothing' here"),
        ([{"name": "../outside.safetensors"}], "There is no adapter called '../outside.safetensors' here"),
        ([{"name": "{folder}/outside.safetensors"}], "There is no adapter called"),
        ([{"name": "{folder}/loras/ink.safetensors"}], "There is no adapter called"),
        ([{"name": "broken"}], "broken.safetensors: not a whole safetensors file"),
        ([{"name": "ink", "sha256": "0" * 64}], "Ink is another file than the one that was used"),
        ([{"name": "ink"}, {"name": "INK"}], "ink is named twice"),
        ([{"name": "ink", "strength": 11}], "at most 10"),
        ([{"name": "ink", "strength": "much"}], "has to be a number"),
        ([{"name": ""}], "is empty"),
        ([{"name": "ink", "path": "/etc"}], ""),
        ([{"name": "ink"}] * 9, "at most 8"),
        ("ink", "has to be a list"),
    ],
)
def test_what_cannot_be_used_is_told(live: LiveServer, loras: Any, said: str) -> None:
    folder = str(live.settings.output.parent)
    for one in loras if isinstance(loras, list) else []:
        one["name"] = one["name"].replace("{folder}", folder)
    answer = live.client.post("/generate", json=SMALL | {"loras": loras})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"].startswith("loras")
    assert said.lower() in error["message"].lower()
    assert folder not in error["message"].replace(f"'{folder}", "")


@pytest.mark.slow
def test_what_is_enlarged_keeps_its_adapters(live: LiveServer) -> None:
    """Those of the picture with its words; others where a request names them, in its words too."""
    headers = {"accept": "application/json"}
    drawn = live.client.post("/generate", json=SMALL | {"loras": [{"name": "ink", "strength": 0.8}]}, headers=headers)
    source = drawn.json()["image"]["id"]
    refine = {"source": source, "method": "refine", "steps": 2, "seed": 3, "strength": 0.9}
    made = {}
    for name, more in {
        "kept": {},
        "words": {"prompt": "a fox <lora:ink:0.8>"},
        "named": {"prompt": "a fox", "loras": [{"name": "ink", "strength": 0.8}]},
        "none": {"prompt": "a fox"},
    }.items():
        answer = live.client.post("/enlarge", json=refine | more)
        assert answer.status_code == 200, answer.text
        made[name] = pixels(answer.content)
    assert np.array_equal(made["kept"], made["words"])
    assert np.array_equal(made["kept"], made["named"])
    assert not np.array_equal(made["kept"], made["none"])
    for more, field in (
        ({"method": "exact", "loras": [{"name": "ink"}]}, "loras"),
        ({"prompt": "x <lora:no>"}, "loras"),
    ):
        body = {"source": source, "method": "refine"} | more
        answer = live.client.post("/enlarge", json=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    axes = [{"name": "lora", "values": ["", "ink=0.8"]}]
    created = live.client.post("/grids", json=SMALL | {"axes": axes}).json()["jobs"]
    used = [live.finished(job["id"])["request"].get("loras", []) for job in created]
    assert [[one["name"] for one in each] for each in used] == [[], ["ink"]]
