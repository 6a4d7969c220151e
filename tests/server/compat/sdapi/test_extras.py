"""Enlarging, and options that come back as they were written."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.server.compat.pictures import picture, text_of
from tests.server.conftest import LiveServer

PHOTO = Image.effect_noise((48, 32), 90).convert("RGB")


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (96, 64)),
        ({"upscaling_resize": 4}, (192, 128)),
        ({"upscaling_resize": "1.5"}, (72, 48)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100}, (100, 100)),
        ({"resize_mode": 1, "upscaling_resize_w": 90, "upscaling_resize_h": 30, "upscaling_crop": False}, (90, 30)),
    ],
)
def test_a1111_enlarges(fields: dict[str, Any], size: tuple[int, int], shared: LiveServer) -> None:
    body = {"image": text_of(PHOTO), "upscaler_1": "R-ESRGAN 4x+"} | fields
    answer = shared.client.post("/sdapi/v1/extra-single-image", json=body).raise_for_status().json()
    assert picture(answer["image"]).size == size
    batch = {"imageList": [{"data": text_of(PHOTO), "name": "a.png"}] * 2} | fields
    answer = shared.client.post("/sdapi/v1/extra-batch-images", json=batch).raise_for_status().json()
    assert [picture(one).size for one in answer["images"]] == [size] * 2


def test_it_is_lanczos(shared: LiveServer) -> None:
    answer = shared.client.post("/sdapi/v1/extra-single-image", json={"image": text_of(PHOTO)}).json()
    expected = PHOTO.resize((96, 64), Image.Resampling.LANCZOS)
    assert (np.asarray(picture(answer["image"])) == np.asarray(expected)).all()


def test_lemonade_enlarges(shared: LiveServer) -> None:
    body = {"image": f"data:image/png;base64,{text_of(PHOTO)}", "model": "RealESRGAN-x4plus"}
    answer = shared.client.post("/api/v1/images/upscale", json=body).raise_for_status().json()
    assert picture(answer["data"][0]["b64_json"]).size == (192, 128)


def test_lemonade_enlarges_a_file_of_a_form(shared: LiveServer) -> None:
    form = {"files": {"image": ("photo.png", base64.b64decode(text_of(PHOTO)))}, "data": {"factor": "2"}}
    answer = shared.client.post("/api/v1/images/upscale", **form).raise_for_status().json()
    assert picture(answer["data"][0]["b64_json"]).size == (96, 64)
    form["files"] = {"picture": form["files"]["image"]}
    refused = shared.client.post("/api/v1/images/upscale", **form)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "image"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "!"}, "no picture in base64"),
        ({"image": base64.b64encode(b"text").decode()}, "it is no PNG"),
        ({"upscaling_resize": 9}, "upscaling_resize"),
        ({"upscaling_resize": 0}, "upscaling_resize"),
        ({"resize_mode": 1}, "needs both its sides"),
        ({"resize_mode": 1, "upscaling_resize_w": 90_000, "upscaling_resize_h": 90_000}, "40 million pixels"),
    ],
)
def test_what_cannot_be_enlarged(changes: dict[str, Any], words: str, shared: LiveServer) -> None:
    response = shared.client.post("/sdapi/v1/extra-single-image", json={"image": text_of(PHOTO)} | changes)
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_picture_that_would_become_too_large(shared: LiveServer) -> None:
    large = Image.new("RGB", (3_000, 2_000))
    response = shared.client.post("/sdapi/v1/extra-single-image", json={"image": text_of(large), "upscaling_resize": 4})
    assert response.status_code == 422
    assert "12000x8000 pixels" in response.json()["detail"]


@pytest.mark.slow
def test_options_come_back(shared: LiveServer) -> None:
    written = {"send_seed": False, "CLIP_stop_at_last_layers": 2, "outdir_samples": "here", "nested": {"left": "out"}}
    shared.client.post("/sdapi/v1/options", json=written).raise_for_status()
    options = shared.client.get("/sdapi/v1/options").json()
    assert {name: options[name] for name in ("send_seed", "CLIP_stop_at_last_layers", "outdir_samples")} == {
        "send_seed": False,
        "CLIP_stop_at_last_layers": 2,
        "outdir_samples": "here",
    }
    assert "nested" not in options
    shared.client.post("/sdapi/v1/options", json={"send_seed": True}).raise_for_status()
    assert shared.client.get("/sdapi/v1/options").json()["send_seed"] is True
    large = shared.client.post("/sdapi/v1/options", json={"much": "x" * 20_000})
    assert large.status_code == 422
    assert shared.client.get("/sdapi/v1/options").json()["sd_model_checkpoint"].startswith("seedling")
