"""Pictures that other programs send to be changed: as forms, as base64, with masks, in each one's own shape."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.compat.pictures import picture, png_of, text_of
from tests.server.conftest import LiveServer

PHOTO = Image.effect_noise((96, 80), 90).convert("RGB")
MASK = Image.new("L", (96, 80), 0)
MASK.paste(255, (16, 16, 64, 48))
CLEAR = Image.merge("RGBA", [*PHOTO.split(), MASK.point(lambda value: 255 - value)])


def newest(live: LiveServer) -> dict[str, Any]:
    """The request of the latest job."""
    request: dict[str, Any] = live.client.get("/jobs?limit=1").json()["jobs"][0]["request"]
    return request


FORMS = [
    ({"image": PHOTO}, {"references": 1}),
    ({"image": PHOTO, "mask": CLEAR}, {"init": True, "mask": True, "references": 0}),
    ({"image": CLEAR}, {"init": True, "mask": True, "references": 0}),
]


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
@pytest.mark.parametrize(("files", "expected"), FORMS)
def test_openai_edits_as_a_form(
    prefix: str, files: dict[str, Image.Image], expected: dict[str, Any], shared: LiveServer
) -> None:
    sent = {name: (f"{name}.png", png_of(image), "image/png") for name, image in files.items()}
    response = shared.client.post(f"{prefix}/images/edits", files=sent, data={"prompt": "a fox", "n": "2", "seed": "7"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [datum["seed"] for datum in answer["data"]] == [7, 8]
    assert picture(answer["data"][0]["b64_json"]).size == (96, 80)
    assert answer["size"] == "96x80"
    request = newest(shared)
    for name, value in expected.items():
        assert len(request[name]) == value if name == "references" else request[name]


def test_openai_edits_with_several_pictures(shared: LiveServer) -> None:
    files = [("image[]", (f"{n}.png", png_of(PHOTO.rotate(90 * n)), "image/png")) for n in range(3)]
    response = shared.client.post("/v1/images/edits", files=files, data={"prompt": "a fox", "size": "64x64"})
    assert response.status_code == 200, response.text
    assert len(newest(shared)["references"]) == 3
    assert picture(response.json()["data"][0]["b64_json"]).size == (64, 64)


@pytest.mark.parametrize("form", ["images", "image", "list"])
def test_openai_edits_as_json(form: str, shared: LiveServer) -> None:
    address = f"data:image/png;base64,{text_of(PHOTO)}"
    given = {"images": {"images": [{"image_url": address}]}, "image": {"image": address}, "list": {"image": [address]}}
    body = {"prompt": "a fox", "mask": {"image_url": f"data:image/png;base64,{text_of(MASK)}"}} | given[form]
    response = shared.client.post("/v1/images/edits", json=body)
    assert response.status_code == 200, response.text
    assert newest(shared)["mask"]


def test_openai_edits_streamed(shared: LiveServer) -> None:
    files = {"image": ("a.png", png_of(PHOTO), "image/png")}
    data = {"prompt": "slow", "stream": "true", "partial_images": "1", "steps": "4"}
    events = [
        json.loads(line[6:])
        for line in shared.client.post("/v1/images/edits", files=files, data=data).text.split("\n")
        if line.startswith("data: {")
    ]
    assert events[-1]["type"] == "image_edit.completed"
    assert picture(events[-1]["b64_json"]).size == (96, 80)
    assert {event["type"] for event in events[:-1]} <= {"image_edit.partial_image"}


def test_openai_variations(shared: LiveServer) -> None:
    drawn = shared.client.post("/generate", json={"prompt": "a red fox", "width": 96, "height": 80})
    for data, prompt in ((drawn.content, "a red fox"), (png_of(PHOTO), "a picture")):
        response = shared.client.post(
            "/v1/images/variations", files={"image": ("a.png", data, "image/png")}, data={"n": "2"}
        )
        assert response.status_code == 200, response.text
        assert len(response.json()["data"]) == 2
        request = newest(shared)
        assert (request["prompt"], request["strength"], bool(request["init"])) == (prompt, 0.7, True)


OPENAI_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"json": {"prompt": "a fox"}}, "image", "no picture to be changed"),
    ({"json": {"prompt": "a fox", "image": "https://example.org/a.png"}}, "image", "not fetched from addresses"),
    ({"json": {"prompt": "a fox", "image": "!"}}, "image", "no picture in base64"),
    ({"json": {"prompt": "a fox", "image": 7}}, "image", "no picture in base64"),
    ({"json": {"image": text_of(PHOTO)}}, "prompt", "The prompt is missing"),
    ({"files": {"image": ("a.png", b"no")}, "data": {"prompt": "a fox"}}, "image", "it is no PNG"),
    ({"files": {"image": ("a.png", png_of(PHOTO))}}, "prompt", "The prompt is missing"),
    ({"files": {"mask": ("a.png", png_of(PHOTO))}, "data": {"prompt": "a fox"}}, "image", "no picture to be changed"),
    (
        {"files": {"image": ("a.png", png_of(PHOTO)), "mask": ("m.png", b"no")}, "data": {"prompt": "a fox"}},
        "mask",
        "it is no PNG",
    ),
    (
        {"files": {"image": ("a.png", png_of(Image.new("RGB", (8, 8))))}, "data": {"prompt": "a fox"}},
        "references[0]",
        "64",
    ),
]


@pytest.mark.parametrize(("sent", "param", "words"), OPENAI_FAULTS)
def test_openai_refuses_in_its_own_shape(sent: dict[str, Any], param: str, words: str, shared: LiveServer) -> None:
    response = shared.client.post("/v1/images/edits", **sent)
    assert 400 <= response.status_code < 500
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_form_that_is_none(shared: LiveServer) -> None:
    response = shared.client.post(
        "/v1/images/edits", content=b"--x\r\nbroken", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


# AUTOMATIC1111


def test_img2img_redraws(shared: LiveServer) -> None:
    body = {"prompt": "a fox", "init_images": [text_of(PHOTO)], "denoising_strength": 0.4, "seed": 5, "batch_size": 2}
    answer = shared.client.post("/sdapi/v1/img2img", json=body).raise_for_status().json()
    assert [picture(one).size for one in answer["images"]] == [(96, 80)] * 2
    assert newest(shared)["strength"] == 0.4
    info = json.loads(answer["info"])
    assert (info["all_seeds"], info["denoising_strength"]) == ([5, 6], 0.4)
    assert "init_images" not in answer["parameters"]


@pytest.mark.parametrize("route", ["txt2img", "img2img"])
def test_variations_are_a1111s(route: str, shared: LiveServer) -> None:
    """Its subseeds count up while the seed stays; without a strength they mean nothing."""
    body: dict[str, Any] = {"prompt": "a fox", "seed": 5, "init_images": [text_of(PHOTO)], "batch_size": 2}
    varied = {"subseed": 9, "subseed_strength": "0.2"}
    answer = shared.client.post(f"/sdapi/v1/{route}", json=body | varied).raise_for_status().json()
    info = json.loads(answer["info"])
    assert (info["all_seeds"], info["all_subseeds"], info["subseed_strength"]) == ([5, 5], [9, 10], 0.2)
    assert newest(shared)["variation_amount"] == 0.2
    again = {"infotext": info["infotexts"][1], "init_images": body["init_images"]}
    told = json.loads(shared.client.post(f"/sdapi/v1/{route}", json=again).raise_for_status().json()["info"])
    assert (told["seed"], told["subseed"], told["subseed_strength"]) == (5, 10, 0.2)
    shared.client.post(f"/sdapi/v1/{route}", json=body | {"subseed": 9}).raise_for_status()
    assert "variation_seed" not in newest(shared)
    refused = shared.client.post(f"/sdapi/v1/{route}", json=body | {"subseed_strength": 1.5})
    assert refused.status_code == 422
    assert "subseed_strength" in refused.json()["errors"]


@pytest.mark.parametrize("invert", [False, True, 0, 1])
def test_img2img_repaints_where_the_mask_is_white(invert: object, shared: LiveServer) -> None:
    mask = MASK.point(lambda value: 255 - value) if invert else MASK
    body = {
        "prompt": "a fox",
        "init_images": [f"data:image/png;base64,{text_of(PHOTO)}"],
        "mask": text_of(mask),
        "mask_blur": 3,
        "inpainting_mask_invert": invert,
        "inpaint_full_res": 1,
        "inpaint_full_res_padding": "24",
        "width": 128,
        "height": 128,
        "denoising_strength": "0.9",
    }
    answer = shared.client.post("/sdapi/v1/img2img", json=body).raise_for_status().json()
    request = newest(shared)
    assert (request["feather_px"], request["only_masked"], request["strength"]) == (6, True, 0.9)
    assert (request["width"], request["height"], request["margin_px"]) == (128, 128, 24)
    back = shared.client.get(f"/inputs/{request['mask']}").content
    assert Image.open(io.BytesIO(back)).tobytes() == MASK.tobytes()
    assert len(answer["images"]) == 1


def test_img2img_starts_a_masked_place_from_what_is_asked_for(shared: LiveServer) -> None:
    body = {"prompt": "a fox", "init_images": [text_of(PHOTO)], "mask": text_of(MASK), "denoising_strength": 0.5}
    for fill, expected in (
        ({}, ("surroundings", 0.5)),
        ({"inpainting_fill": 0}, ("surroundings", 0.5)),
        ({"inpainting_fill": 1}, ("original", 0.5)),
        ({"inpainting_fill": 2}, ("original", 1.0)),
        ({"inpainting_fill": 3}, ("surroundings", 0.5)),
    ):
        shared.client.post("/sdapi/v1/img2img", json=body | fill).raise_for_status()
        request = newest(shared)
        assert (request["mask_content"], request["strength"]) == expected, fill
    assert shared.client.post("/sdapi/v1/img2img", json=body | {"inpainting_fill": 4}).status_code == 422


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_images": []}, "no picture to be changed"),
        ({"init_images": ["!"]}, "no picture in base64"),
        ({"init_images": None}, "init_images is missing"),
        ({"mask": "!"}, "no picture in base64"),
        ({"denoising_strength": 2}, "denoising_strength"),
        ({"denoising_strength": "much"}, "denoising_strength"),
    ],
)
def test_img2img_refuses_in_its_own_shape(changes: dict[str, Any], words: str, shared: LiveServer) -> None:
    body = {"prompt": "a fox", "init_images": [text_of(PHOTO)]} | changes
    response = shared.client.post("/sdapi/v1/img2img", json=body)
    assert response.status_code == 422
    assert words in response.json()["detail"]


# Ollama


def test_ollama_looks_at_pictures(shared: LiveServer) -> None:
    body = {"prompt": "a fox", "images": [text_of(PHOTO), text_of(PHOTO.rotate(180))], "stream": False}
    answer = shared.client.post("/api/generate", json=body).raise_for_status().json()
    assert len(newest(shared)["references"]) == 2
    assert picture(answer["image"]).size == (96, 80)


# Their own client libraries


@pytest.mark.clients
def test_openai_python(shared: LiveServer, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai", reason="needs the clients extra")
    for name, image in (("photo.png", PHOTO), ("mask.png", CLEAR)):
        image.save(tmp_path / name)
    with openai.OpenAI(base_url=f"{shared.url}/v1", api_key="x") as client:
        with (tmp_path / "photo.png").open("rb") as photo, (tmp_path / "mask.png").open("rb") as mask:
            edited = client.images.edit(model="gpt-image-1", image=photo, mask=mask, prompt="a fox", size="auto")
        assert picture(edited.data[0].b64_json).size == (96, 80)
        with (tmp_path / "photo.png").open("rb") as photo:
            events = [event.type for event in client.images.edit(image=[photo], prompt="a fox", stream=True)]
        assert events[-1] == "image_edit.completed"


@pytest.mark.clients
def test_webuiapi(shared: LiveServer) -> None:
    api = pytest.importorskip("webuiapi").WebUIApi(baseurl=f"{shared.url}/sdapi/v1")
    result = api.img2img(
        images=[PHOTO], prompt="a fox", seed=5, width=96, height=80, denoising_strength=0.5, mask_image=MASK
    )
    assert result.image.size == (96, 80)
    assert newest(shared)["mask"]


@pytest.mark.clients
def test_ollama_python(shared: LiveServer) -> None:
    with pytest.importorskip("ollama").Client(host=shared.url) as client:
        answer = client.generate(model="x", prompt="a fox", images=[png_of(PHOTO)])
    assert picture(answer.image).size == (96, 80)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "expected"), [(0, "stretch"), (1, "cut"), (2, "filled")])
def test_img2img_fits_a_picture_of_another_shape(mode: int, expected: str, shared: LiveServer) -> None:
    """Red left, blue right, twice as wide as high, into a square."""
    wide = Image.new("RGB", (128, 64), "red")
    wide.paste("blue", (64, 0, 128, 64))
    wide.paste("lime", (0, 0, 8, 64))
    body = {"prompt": "a fox", "init_images": [text_of(wide)], "width": 64, "height": 64, "resize_mode": mode}
    body["mask"] = text_of(Image.new("L", (128, 64), 255))
    shared.client.post("/sdapi/v1/img2img", json=body).raise_for_status()
    init = Image.open(io.BytesIO(shared.client.get(f"/inputs/{newest(shared)['init']}").content))
    assert init.size == (64, 64)
    mask = Image.open(io.BytesIO(shared.client.get(f"/inputs/{newest(shared)['mask']}").content))
    assert (mask.mode, mask.size, mask.getextrema()) == ("L", (64, 64), (255, 255))
    left, top = init.getpixel((1, 32)), init.getpixel((48, 2))
    assert (left[1] > 200) == (expected != "cut")
    assert top[2] > 200
