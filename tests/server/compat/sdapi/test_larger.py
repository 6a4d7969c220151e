"""Pictures made larger for A1111's clients with the real engine: `enable_hr`, "SD upscale", upscalers' files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.server.compat.pictures import picture, text_of
from tests.server.compat.test_leaving import busy, draw_in_background
from tests.server.conftest import LiveServer, eventually

SMALL = {"prompt": "a house", "seed": 3, "width": 64, "height": 64, "steps": 1}
PHOTO = Image.effect_noise((64, 80), 90).convert("RGB")


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def far(image: Image.Image, other: Image.Image) -> float:
    """The mean step between two pictures at the size of the second, in levels."""
    return float(np.abs(values(image.resize(other.size)) - values(other)).mean())


@pytest.fixture(scope="module")
def api(real: LiveServer) -> Any:
    return pytest.importorskip("webuiapi").WebUIApi(baseurl=f"{real.url}/sdapi/v1")


LARGER: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"hr_upscaler": "Lanczos"}, (128, 128)),
    ({"hr_scale": 1.5, "hr_upscaler": "tiny"}, (96, 96)),
    ({"hr_scale": 3, "hr_second_pass_steps": 1}, (192, 192)),
    ({"hr_resize_x": 120, "hr_resize_y": 100}, (120, 100)),
    ({"hr_resize_y": 160, "hr_prompt": "a red house"}, (160, 160)),
]


@pytest.mark.slow
@pytest.mark.clients
def test_webuiapi_draws_in_two_passes(api: Any, real: LiveServer) -> None:
    first = api.txt2img(**SMALL).image
    for fields, size in LARGER:
        result = api.txt2img(**SMALL, enable_hr=True, **({"denoising_strength": 0.3, "hr_upscaler": "None"} | fields))
        assert result.image.size == size, fields
        assert far(result.image.crop((0, 0, *size)), first) < 60, fields
        assert result.info["infotexts"][0] == result.image.info["parameters"]
        assert (result.info["width"], result.info["height"], result.info["denoising_strength"]) == (64, 64, 0.3)
        told = result.info["extra_generation_params"]
        assert told["Hires upscaler"] == ("tiny" if fields.get("hr_upscaler") == "tiny" else "Lanczos")
        assert told["Hires upscale"] == pytest.approx(size[0] / 64, abs=0.01)
        assert result.info["prompt"] == fields.get("hr_prompt", SMALL["prompt"])
        assert "notes" not in result.info
    made = real.client.get("/images?limit=1").json()["images"][0]
    assert (made["recipe"]["method"], made["recipe"]["by"], made["recipe"]["strength"]) == ("refine", 4, 0.3)
    [parent] = real.client.get(f"/images/{made['id']}").json()["parents"]
    assert real.client.get(f"/images/{parent['id']}").json()["width"] == 64


@pytest.mark.slow
@pytest.mark.clients
def test_what_is_not_redrawn_is_enlarged_exactly(api: Any) -> None:
    first = api.txt2img(**SMALL).image
    result = api.txt2img(**SMALL, enable_hr=True, denoising_strength=0, hr_upscaler="Latent")
    assert (values(result.image) == values(first.resize((128, 128), Image.Resampling.LANCZOS))).all()
    assert result.info["notes"] == ["There is no upscaler called 'Latent' here; Lanczos enlarges."]
    usual = api.txt2img(**SMALL, enable_hr=True, denoising_strength=0.7, hr_upscaler="None")
    assert usual.info["notes"] == ["A denoising strength of 0.7 was asked for; 0.5 was used."]
    assert usual.info["denoising_strength"] == 0.5


@pytest.mark.slow
@pytest.mark.clients
def test_what_a_picture_says_makes_it_again(api: Any, real: LiveServer) -> None:
    result = api.txt2img(**SMALL, enable_hr=True, denoising_strength=0.25, hr_upscaler="tiny", hr_scale=2)
    said = result.info["infotexts"][0]
    assert "Denoising strength: 0.25, Hires upscale: 2, Hires upscaler: tiny" in said
    again = real.client.post("/sdapi/v1/txt2img", json={"infotext": said}).raise_for_status().json()
    assert (values(picture(again["images"][0])) == values(result.image)).all()


SCRIPTS: list[tuple[list[Any], tuple[int, int], str]] = [
    (["", 64, "Lanczos", 2.0], (128, 160), "Lanczos"),
    (["", 64, 2, 3], (192, 240), "tiny"),
    ([None, 64, "tiny.safetensors", "1.5"], (96, 120), "tiny"),
    ([], (128, 160), "Lanczos"),
]


@pytest.mark.slow
@pytest.mark.clients
def test_webuiapi_runs_sd_upscale(api: Any) -> None:
    assert api.get_scripts()["img2img"] == ["sd upscale"]
    assert [one["name"] for one in api.get_upscalers()] == ["None", "Lanczos", "tiny"]
    wish = {"prompt": "a forest", "seed": 5, "steps": 1, "script_name": "SD upscale", "denoising_strength": 0.2}
    for arguments, size, upscaler in SCRIPTS:
        result = api.img2img(images=[PHOTO], **wish, width=512, height=512, script_args=arguments)
        assert result.image.size == size, arguments
        assert result.info["extra_generation_params"] == {"SD upscale upscaler": upscaler}
        assert result.info["denoising_strength"] == 0.2
    two = api.img2img(images=[PHOTO], **wish, batch_size=2)
    assert two.info["all_seeds"] == [5, 6]
    assert [image.size for image in two.images] == [(128, 160)] * 2
    assert (values(two.images[0]) != values(two.images[1])).any()


@pytest.mark.clients
def test_webuiapi_enlarges_by_a_file(api: Any, real: LiveServer) -> None:
    by_file = api.extra_single_image(PHOTO, upscaler_1="tiny", upscaling_resize=2).image
    assert by_file.size == (128, 160)
    assert (values(by_file) != values(PHOTO.resize((128, 160), Image.Resampling.LANCZOS))).any()
    body = {"image": text_of(PHOTO), "upscaler_1": "tiny"}
    for fields, size in (
        ({"upscaling_resize": 6}, (384, 480)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100}, (100, 100)),
    ):
        answer = real.client.post("/sdapi/v1/extra-single-image", json=body | fields).raise_for_status().json()
        assert (picture(answer["image"]).size, answer["html_info"]) == (size, "")
    body["upscaler_1"] = "<b>SwinIR</b>"
    told = real.client.post("/sdapi/v1/extra-single-image", json=body).raise_for_status().json()["html_info"]
    assert told == "<p>There is no upscaler called &#x27;&lt;b&gt;SwinIR&lt;/b&gt;&#x27; here; Lanczos enlarges.</p>"


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"hr_scale": 4.5}, "288x288 is more than 4 times 64x64"),
    ({"hr_scale": -1}, "hr_scale"),
    ({"hr_resize_x": 9_999}, "more than 4 times"),
    ({"hr_resize_y": "wide"}, "hr_resize_y"),
    ({"denoising_strength": 1.5}, "denoising_strength"),
    ({"width": 2048, "height": 2048, "hr_scale": 4}, "At most 40 million"),
    ({"enable_hr": "maybe"}, "enable_hr"),
]
SCRIPT_FAULTS: list[tuple[list[Any], str]] = [
    (["", 64, "Lanczos", 8], "script_args[3] is no factor. Give a number from 1 to 4."),
    (["", 64, "Lanczos", "much"], "script_args[3] is no factor."),
    (["", 64, ["Lanczos"]], "script_args[2] is no name of an upscaler."),
    (["", 64, 7], "There is no upscaler 7. There are 0 to 1: None, Lanczos."),
    ([""] * 65, "script_args"),
]


@pytest.mark.slow
def test_what_cannot_be_made_larger_is_told_before_anything_is_drawn(shared: LiveServer) -> None:
    jobs = len(shared.client.get("/jobs?limit=200").json()["jobs"])
    for fields, words in FAULTS:
        answer = shared.client.post("/sdapi/v1/txt2img", json=SMALL | {"enable_hr": True} | fields)
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True), (fields, answer.text)
    body = {"prompt": "a fox", "init_images": [text_of(PHOTO)], "script_name": "sd upscale"}
    for arguments, words in SCRIPT_FAULTS:
        answer = shared.client.post("/sdapi/v1/img2img", json=body | {"script_args": arguments})
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True), (arguments, answer.text)
    assert len(shared.client.get("/jobs?limit=200").json()["jobs"]) == jobs
    other = shared.client.post("/sdapi/v1/img2img", json=body | {"script_name": "Loopback"}).raise_for_status().json()
    assert json.loads(other["info"])["notes"] == ["There is no script called 'Loopback' here."]


@pytest.mark.slow
def test_interrupting_the_second_pass_leaves_the_first(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    thread, answers = draw_in_background(live, prompt="a fox", enable_hr=True, hr_prompt="hold", batch_size=2)
    eventually(lambda: busy(live) and live.client.get("/jobs?limit=1").json()["jobs"][0]["prompt"] == "hold")
    live.client.post("/sdapi/v1/interrupt").raise_for_status()
    thread.join(60)
    assert [picture(image).size for image in answers[0].json()["images"]] == [(64, 64)] * 2
    thread, answers = draw_in_background(live, prompt="hold", enable_hr=True, batch_size=2, seed=5)
    eventually(lambda: busy(live))
    live.client.post("/sdapi/v1/skip")
    gate.unlink()
    thread.join(60)
    assert [picture(image).size for image in answers[0].json()["images"]] == [(128, 128)]
