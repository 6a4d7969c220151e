"""What the other programs' bodies may say: what is honoured, what is told beside the picture, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.request import MAX_PROMPT_CHARS
from server.compat.body import fitted, parsed, without_nulls
from server.compat.ollama import GenerateRequest
from server.compat.openai import ImagesRequest
from server.compat.sdapi.txt2img import Txt2Img
from server.errors import ApiError
from tests.server.conftest import LiveServer, eventually

PATHS = {"openai": "/v1/images/generations", "a1111": "/sdapi/v1/txt2img", "ollama": "/api/generate"}
SMALL: dict[str, dict[str, Any]] = {
    "openai": {"prompt": "a", "size": "64x64", "steps": 1},
    "a1111": {"prompt": "a", "width": 64, "height": 64, "steps": 1},
    "ollama": {"prompt": "a", "width": 64, "height": 64, "steps": 1, "stream": False},
}
EVERY = tuple(PATHS)


def ask(live: LiveServer, interface: str, **fields: Any) -> httpx.Response:
    """A small picture; a field that is given as `...` is left out."""
    body = {name: value for name, value in (SMALL[interface] | fields).items() if value is not ...}
    return live.client.post(PATHS[interface], content=json.dumps(body))


def told(response: httpx.Response) -> dict[str, Any]:
    """What the answer says of its (first) picture, with its notes."""
    body = response.raise_for_status().json()
    facts: dict[str, Any] = json.loads(body["info"]) if "info" in body else body
    first: dict[str, Any] = facts["data"][0] if "data" in facts else facts
    return {"notes": facts.get("notes", [])} | first


def refusal(response: httpx.Response) -> str:
    """The words of a refusal in any of the three shapes."""
    assert response.status_code in (400, 422), response.text
    body = response.json()
    return str(body["detail"] if "detail" in body else body["error"]["message"] if "code" in body["error"] else body)


# sizes


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((512, 512), (512, 512)),
        ((70, 100), (64, 96)),
        ((3840, 2160), (2048, 1152)),
        ((2160, 3840), (1152, 2048)),
        ((4096, 4096), (2048, 2048)),
        ((3000, 1000), (2048, 688)),
        ((999_999, 500_000), (2048, 1024)),
        ((2049, 2048), (2048, 2048)),
        ((2048, 64), (2048, 64)),
        ((4096, 128), (2048, 64)),
        ((32, 48), (64, 96)),
        ((1, 1), (64, 64)),
    ],
)
def test_a_size_out_of_bounds_keeps_its_shape(asked: tuple[int, int], drawn: tuple[int, int]) -> None:
    assert fitted(*asked) == drawn


@pytest.mark.parametrize("asked", [(4096, 64), (64, 4096), (1, 33), (999_999, 1)])
def test_a_shape_that_cannot_be_kept_is_refused(asked: tuple[int, int]) -> None:
    with pytest.raises(ApiError, match="too narrow"):
        fitted(*asked)


@pytest.mark.parametrize("interface", EVERY)
def test_every_interface_draws_the_shape_that_was_asked_for_and_says_so(shared: LiveServer, interface: str) -> None:
    size = {"size": "3840x2160"} if interface == "openai" else {"width": 3840, "height": 2160}
    facts = told(ask(shared, interface, **size))
    assert (facts["width"], facts["height"]) == (2048, 1152)
    assert facts["notes"] == ["3840x2160 pixels were asked for, 2048x1152 are what can be drawn."]
    narrow = {"size": "4096x64"} if interface == "openai" else {"width": 4096, "height": 64}
    assert "32 times" in refusal(ask(shared, interface, **narrow))


def test_the_native_interface_refuses_what_it_cannot_draw(shared: LiveServer) -> None:
    response = shared.client.post("/jobs", json={"prompt": "a", "width": 3840, "height": 2160})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "width")


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        (512, (512, 512)),
        (512.0, (512, 512)),
        ("512", (512, 512)),
        (" 128 x 64 ", (128, 64)),
        ("128×64", (128, 64)),
        ("128X64", (128, 64)),
        ("128*64", (128, 64)),
        ("auto", None),
        ("", None),
        (None, None),
    ],
)
def test_sizes_as_people_write_them(size: object, drawn: tuple[int, int] | None) -> None:
    assert parsed(ImagesRequest, without_nulls({"prompt": "a", "size": size})).size == drawn


@pytest.mark.parametrize(
    "size", ["huge", "0x64", "64x0", "0", 0, -512, True, [512, 512], {"w": 1}, "1234567x64", "64x"]
)
def test_a_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(ApiError, match="size has to be") as caught:
        parsed(ImagesRequest, {"prompt": "a", "size": size})
    assert caught.value.detail.field == "size"


def test_one_side_alone_is_drawn_beside_the_models_own(shared: LiveServer) -> None:
    native = lookup("seedling").recommended_size
    facts = told(ask(shared, "a1111", height=..., width=64))
    assert (facts["width"], facts["height"]) == (64, native[1])


# fields of all interfaces


HONOURED: list[tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = [
    (EVERY, {"seed": 0}, {"seed": 0, "notes": []}),
    (EVERY, {"seed": "7"}, {"seed": 7}),
    (EVERY, {"seed": 7.0}, {"seed": 7}),
    (EVERY, {"seed": 2**32 - 1}, {"seed": 2**32 - 1, "notes": []}),
    (EVERY, {"seed": 2**32 + 5}, {"seed": 5}),
    (EVERY, {"steps": "3"}, {"steps": 3}),
    (EVERY, {"steps": 0}, {"steps": 4}),  # "not set", as programs in Go send it
    (EVERY, {"steps": 22}, {"steps": 4}),
    (EVERY, {"width": 0, "height": 0, "size": "64x64"}, {}),
    (("openai",), {"steps": ..., "num_inference_steps": 3}, {"steps": 3}),
    (("openai",), {"steps": ..., "quality": "LOW"}, {"steps": 2}),
    (("openai",), {"steps": 3, "quality": "low"}, {"steps": 3}),
    (("openai",), {"width": 96, "height": 64}, {"width": 96, "height": 64}),
    (("openai",), {"model": "seedling-binary"}, {"model": "seedling-binary", "notes": []}),
    (("a1111",), {"batch_size": "2"}, {"batch_size": 2}),
    (("a1111",), {"batch_size": 2, "n_iter": 2}, {"batch_size": 4}),
    (("a1111",), {"sampler_name": "DPM++ 2M", "cfg_scale": 7}, {"sampler_name": "Euler", "cfg_scale": 1.0}),
    (("ollama",), {"options": {"seed": 9}}, {"seed": 9}),
    (("ollama",), {"options": {"seed": 9}, "seed": 0}, {"seed": 0}),
    (("ollama",), {"width": ..., "options": {"width": 96}}, {"width": 96}),
    (("ollama",), {"steps": 0, "options": {"steps": 2}}, {"steps": 2}),
    (("ollama",), {"images": []}, {"done_reason": "stop"}),
]


@pytest.mark.parametrize(("interfaces", "fields", "facts"), HONOURED, ids=[str(fields) for _, fields, _ in HONOURED])
def test_what_is_asked_for_is_drawn(
    shared: LiveServer, interfaces: tuple[str, ...], fields: dict[str, Any], facts: dict[str, Any]
) -> None:
    for interface in interfaces:
        found = told(ask(shared, interface, **fields))
        assert {name: found[name] for name in facts} == facts, interface


@pytest.mark.parametrize(
    ("interface", "fields", "words"),
    [
        ("openai", {"seed": 2**32 + 5}, "last 32 bits are 5"),
        ("a1111", {"steps": 22}, "22 steps were asked for; 4 were made"),
        ("ollama", {"width": 70}, "70x64 pixels were asked for, 64x64"),
        ("openai", {"model": "dall-e-2"}, "no model called 'dall-e-2' here; seedling-ternary draws"),
        ("ollama", {"model": "llama3"}, "no model called 'llama3' here; seedling-ternary draws"),
        ("openai", {"background": "transparent"}, "The background is opaque"),
    ],
)
def test_what_is_drawn_otherwise_is_told(
    shared: LiveServer, interface: str, fields: dict[str, Any], words: str
) -> None:
    [note] = told(ask(shared, interface, **fields))["notes"]
    assert words in note


REFUSED: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (EVERY, {"prompt": ["a", "b"]}, "The prompt has to be text, not a list."),
    (EVERY, {"prompt": 7}, "The prompt has to be text, not a number."),
    (EVERY, {"prompt": {"text": "a"}}, "The prompt has to be text, not an object."),
    (EVERY, {"prompt": True}, "The prompt has to be text, not true or false."),
    (EVERY, {"prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "The prompt has 32001 characters; at most 32000 are accepted."),
    (("openai", "a1111"), {"prompt": " "}, "The prompt is empty"),
    (("openai", "a1111"), {"prompt": ...}, "The prompt is missing."),
    (EVERY, {"seed": 7.5}, "seed has to be a whole number, not 7.5."),
    (EVERY, {"seed": "seven"}, 'seed has to be a whole number, not "seven".'),
    (EVERY, {"seed": True}, "seed has to be a whole number, not true or false."),
    (EVERY, {"seed": [7]}, "seed has to be a whole number, not a list."),
    (EVERY, {"steps": -1}, "steps has to be at least 0, not -1."),
    (EVERY, {"steps": 2.5}, "steps has to be a whole number, not 2.5."),
    (EVERY, {"width": -64}, "width has to be at least 0, not -64."),
    (EVERY, {"height": "tall"}, 'height has to be a whole number, not "tall".'),
    (("openai",), {"n": 0}, "n has to be at least 1, not 0."),
    (("openai",), {"n": 11}, "n has to be at most 10, not 11."),
    (("openai",), {"n": True}, "n has to be a whole number"),
    (("openai",), {"model": 4}, "model has to be text, not a number."),
    (("openai",), {"response_format": "png"}, "response_format has to be"),
    (("openai",), {"output_format": "gif"}, "output_format has to be"),
    (("openai",), {"output_format": 3}, "output_format has to be"),
    (("openai",), {"output_compression": 101}, "output_compression has to be at most 100, not 101."),
    (("openai",), {"partial_images": 4}, "partial_images has to be at most 3, not 4."),
    (("openai",), {"stream": "perhaps"}, "stream has to be true or false, not text."),
    (("openai",), {"background": "pink"}, "background has to be"),
    (("openai",), {"quality": 5}, "quality has to be text, not a number."),
    (("a1111",), {"batch_size": 0}, "batch_size has to be at least 1, not 0."),
    (("a1111",), {"n_iter": 11}, "n_iter has to be at most 10, not 11."),
    (("a1111",), {"batch_size": 4, "n_iter": 4}, "batch_size times n_iter is 16; at most 10"),
    (("a1111",), {"override_settings": "x"}, "override_settings has to be an object, not text."),
    (("a1111",), {"override_settings": {"sd_model_checkpoint": "sdxl"}}, "no model called 'sdxl' here."),
    (("a1111",), {"override_settings": {"sd_model_checkpoint": "seedling-binry"}}, "Did you mean seedling-binary?"),
    (("ollama",), {"options": {"seed": "x"}}, "options.seed has to be a whole number"),
    (("ollama",), {"options": []}, "options has to be an object, not a list."),
    (("ollama",), {"images": ["aGk="]}, "it is no PNG, JPEG, WebP or AVIF picture"),
    (("ollama",), {"images": ["aGk="] * 5}, "images has 5 pictures; at most 4 are looked at."),
    (("ollama",), {"images": ["https://example.org/a.png"]}, "Pictures are not fetched from addresses."),
    (("ollama",), {"keep_alive": "soon"}, 'keep_alive has to be a number of seconds, or a duration such as "5m".'),
    (("ollama",), {"keep_alive": True}, "keep_alive has to be a number of seconds"),
]


@pytest.mark.parametrize(("interfaces", "fields", "words"), REFUSED, ids=[str(fields)[:60] for _, fields, _ in REFUSED])
def test_what_makes_no_sense_is_refused_with_words(
    shared: LiveServer, interfaces: tuple[str, ...], fields: dict[str, Any], words: str
) -> None:
    before = shared.client.get("/jobs?limit=1").json()["jobs"]
    for interface in interfaces:
        response = ask(shared, interface, **fields)
        assert words in refusal(response), interface
        if interface == "openai":
            assert response.json()["error"]["param"] == next(iter(fields))
    assert shared.client.get("/jobs?limit=1").json()["jobs"] == before


def test_the_longest_prompt_fits_however_it_is_escaped(shared: LiveServer) -> None:
    prompt = "🌲" * MAX_PROMPT_CHARS
    for interface in EVERY:
        assert "\\ud83c" in json.dumps({"prompt": prompt})
        assert ask(shared, interface, prompt=prompt).status_code == 200, interface
    native = {"prompt": prompt, "width": 64, "height": 64, "steps": 1}
    assert shared.client.post("/generate", content=json.dumps(native), headers=JSON).status_code == 200


JSON = {"Content-Type": "application/json"}


def test_a_long_prompt_full_of_commas_is_one_value(shared: LiveServer) -> None:
    prompt = "🌲🌳," * (MAX_PROMPT_CHARS // 3)
    assert ask(shared, "a1111", prompt=prompt, steps=1).status_code == 200


def test_a_stream_of_several_pictures_has_each_and_their_addresses(shared: LiveServer) -> None:
    text = ask(shared, "openai", n=2, stream=True, seed=4, response_format="url").text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert [event["seed"] for event in events] == [4, 5]
    for event in events:
        assert event["b64_json"]
        assert shared.client.get(event["url"]).headers["content-type"] == "image/png"


# models


@pytest.mark.slow
def test_every_name_of_our_own_lists_draws_that_model(shared: LiveServer) -> None:
    for listed in shared.client.get("/sdapi/v1/sd-models").json():
        names = [listed["title"], listed["model_name"], listed["filename"], listed["model_name"].upper()]
        for name in names:
            override = {"override_settings": {"sd_model_checkpoint": name}}
            assert told(ask(shared, "a1111", **override))["sd_model_name"] == listed["title"], name
            shared.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": name}).raise_for_status()
            assert shared.client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == listed["title"]
            assert told(ask(shared, "a1111"))["sd_model_name"] == listed["title"], name
    shared.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "seedling-ternary"}).raise_for_status()
    for path, key, interface in (("/v1/models", "data", "openai"), ("/api/tags", "models", "ollama")):
        for listed in shared.client.get(path).json()[key]:
            facts = told(ask(shared, interface, model=listed.get("id") or listed["name"]))
            assert facts["notes"] == []


def test_a_checkpoint_that_is_none_of_ours_is_refused_and_the_choice_stays(shared: LiveServer) -> None:
    response = shared.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "v1-5-pruned.safetensors"})
    assert "no model called 'v1-5-pruned.safetensors' here. There are seedling-ternary" in refusal(response)
    assert shared.client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "seedling-ternary"
    for nothing in ("", None):
        assert shared.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": nothing}).status_code == 200


# Ollama's keep_alive


@pytest.mark.parametrize("value", [0, "0", "0s", "0m", 0.0, "0.0h"])
def test_keep_alive_of_nothing_unloads(shared: LiveServer, value: object) -> None:
    assert ask(shared, "ollama").status_code == 200
    assert shared.client.get("/api/ps").json()["models"]
    answer = ask(shared, "ollama", prompt=..., keep_alive=value).json()
    assert (answer["done"], answer["done_reason"]) == (True, "unload")
    assert shared.client.get("/api/ps").json()["models"] == []
    assert shared.client.get("/health").json()["worker"] == "stopped"


@pytest.mark.parametrize("stream", [False, True])
def test_keep_alive_of_nothing_unloads_after_the_picture(shared: LiveServer, stream: bool) -> None:
    last = json.loads(ask(shared, "ollama", keep_alive=0, stream=stream).text.splitlines()[-1])
    assert last["image"]
    assert shared.client.get("/api/ps").json()["models"] == []


@pytest.mark.parametrize("value", [5, "5m", "1h", -1, "-1", "0.5s", None])
def test_any_other_keep_alive_leaves_the_model(shared: LiveServer, value: object) -> None:
    ask(shared, "ollama").raise_for_status()
    assert ask(shared, "ollama", prompt="", keep_alive=value).json()["done_reason"] == "load"
    assert len(shared.client.get("/api/ps").json()["models"]) == 1


@pytest.mark.slow
def test_a_model_that_draws_for_others_is_not_unloaded(serve: Callable[..., LiveServer], gate: Any) -> None:
    live = serve()
    job = live.running(live.post_job("hold")["id"])
    refused = ask(live, "ollama", prompt="", keep_alive=0)
    assert (refused.status_code, "being drawn" in refused.json()["error"]) == (409, True)
    assert live.job(job["id"])["status"] == "running"
    other = ask(live, "ollama", prompt="", keep_alive=0, model="seedling-binary").json()
    assert other["done_reason"] == "unload"
    gate.unlink()
    assert eventually(lambda: live.job(job["id"])["status"] == "done")


# the document


@pytest.mark.parametrize("shape", [ImagesRequest, Txt2Img, GenerateRequest])
def test_the_document_is_made_of_the_model_that_reads(shared: LiveServer, shape: Any) -> None:
    path = {ImagesRequest: "openai", Txt2Img: "a1111", GenerateRequest: "ollama"}[shape]
    document = shared.client.get("/openapi.json").json()
    schema = document["paths"][PATHS[path]]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "$ref" not in json.dumps(schema)
    names = set(schema["properties"]) - {"num_inference_steps"}
    assert names == {*shape.model_fields}
