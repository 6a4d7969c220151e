"""The compatibility routes: what they ignore, clamp and refuse, how they are left, stopped and guarded."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from server.compat.openai import partial_steps
from tests.server.conftest import LiveServer

DRAWING: dict[str, dict[str, Any]] = {
    "/v1/images/generations": {"prompt": "a", "size": "64x64", "steps": 1},
    "/api/v1/images/generations": {"prompt": "a", "size": "64x64", "steps": 1},
    "/sdapi/v1/txt2img": {"prompt": "a", "width": 64, "height": 64, "steps": 1},
    "/api/generate": {"prompt": "a", "width": 64, "height": 64, "steps": 1, "stream": False},
}
OTHERS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/sdapi/v1/options", {}),
    ("POST", "/sdapi/v1/interrupt", {}),
    ("POST", "/sdapi/v1/skip", {}),
    ("POST", "/sdapi/v1/refresh-checkpoints", {}),
    ("POST", "/sdapi/v1/reload-checkpoint", {}),
    ("POST", "/api/show", {"model": "seedling"}),
    ("POST", "/api/generate", {}),
    ("GET", "/v1/models", None),
    ("GET", "/api/v1/models", None),
    ("GET", "/v1/models/seedling-ternary", None),
    ("GET", "/api/tags", None),
    ("GET", "/api/ps", None),
    ("GET", "/api/version", None),
    ("GET", "/sdapi/v1/options", None),
    ("GET", "/sdapi/v1/sd-models", None),
    ("GET", "/sdapi/v1/progress", None),
    ("GET", "/sdapi/v1/memory", None),
    ("GET", "/sdapi/v1/samplers", None),
    ("GET", "/sdapi/v1/upscalers", None),
    ("GET", "/requests", None),
]
OPTIONAL = ("model", "seed", "n", "size", "response_format", "output_format", "quality", "stream", "partial_images",
            "background", "style", "user", "negative_prompt", "batch_size", "n_iter", "override_settings",
            "send_images", "infotext", "options", "keep_alive", "sampler_name", "cfg_scale", "enable_hr")  # fmt: skip


def random_value(source: random.Random, depth: int = 0) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: source.random() < 0.5,
        lambda: source.randint(-(2**70), 2**70),
        lambda: source.uniform(-1e300, 1e300),
        lambda: "".join(map(chr, source.choices((0, 10, 65, 0xD800, 0x1F332, 0x202E), k=source.randint(0, 8)))),
        lambda: [random_value(source, depth + 1) for _ in range(source.randint(0, 3) if depth < 3 else 0)],
        lambda: {str(i): random_value(source, depth + 1) for i in range(source.randint(0, 3) if depth < 3 else 0)},
    ]
    return source.choice(makers)()


def with_extras(source: random.Random, body: dict[str, Any]) -> bytes:
    """The body among unknown fields of every kind, with some of the known ones null."""
    extras = {f"x_{source.randint(0, 999)}": random_value(source) for _ in range(source.randint(1, 6))}
    nulls = dict.fromkeys(source.sample(OPTIONAL, 3))
    items = list((nulls | extras | body).items())
    source.shuffle(items)
    return json.dumps(dict(items)).encode()


@pytest.mark.slow
def test_hundreds_of_requests_with_unknown_fields_and_nulls(shared: LiveServer) -> None:
    source = random.Random(1)
    statuses: dict[str, set[int]] = {}
    for turn in range(300):
        if turn % 20 == 0:
            path, body = source.choice(list(DRAWING.items()))
            response = shared.client.post(path, content=with_extras(source, body))
        else:
            method, path, other = source.choice(OTHERS)
            query = "" if other is not None else f"?x={source.randint(0, 9)}&force_disable="
            content = None if other is None else with_extras(source, other)
            response = shared.client.request(method, path + query, content=content)
        statuses.setdefault(path, set()).add(response.status_code)
    assert {path: found for path, found in statuses.items() if found != {200}} == {}
    assert statuses.keys() >= DRAWING.keys()


@pytest.mark.parametrize("path", DRAWING)
def test_bodies_that_are_none(shared: LiveServer, path: str) -> None:
    for content in (b"[]", b"{", b"\xff", b"[" * 100_000, b'"a"', b"1"):
        assert shared.client.post(path, content=content).status_code == 400, content[:9]


@pytest.mark.parametrize("path", DRAWING)
def test_numbers_that_cannot_be_sent_back(shared: LiveServer, path: str) -> None:
    body = json.dumps(DRAWING[path])[:-1] + ', "cfg_scale": NaN, "x": Infinity, "y": 1e999}'
    assert shared.client.post(path, content=body).status_code == 200


def used(response: httpx.Response) -> dict[str, Any]:
    """Steps, seed and size that an answer of any interface reports."""
    body = response.raise_for_status().json()
    return json.loads(body["info"]) if "info" in body else body["data"][0] if "data" in body else body


@pytest.mark.parametrize("path", DRAWING)
def test_numbers_are_made_to_fit_and_reported(shared: LiveServer, serve: Callable[..., LiveServer], path: str) -> None:
    sizes = {"width": 70, "height": "100"}
    body = DRAWING[path] | sizes | {"steps": 22, "seed": 2**32 + 5}
    got = used(shared.client.post(path, json=body))
    assert (got["steps"], got["seed"], got["width"], got["height"]) == (4, 5, 64, 96)
    assert shared.client.get("/images?limit=1").json()["images"][0]["steps"] == 4
    assert 0 <= used(shared.client.post(path, json=body | {"seed": -1}))["seed"] < 2**32


@pytest.mark.slow
def test_the_limit_of_steps_is_an_option(serve: Callable[..., LiveServer]) -> None:
    live = serve(compat_max_steps=7)
    for path, body in DRAWING.items():
        assert used(live.client.post(path, json=body | {"steps": 22}))["steps"] == 7
    exact = live.client.post("/generate", json={"prompt": "a", "steps": 22, "width": 64, "height": 64})
    assert exact.headers["x-steps"] == "22"


def test_fewer_steps_for_low_quality(shared: LiveServer) -> None:
    body = {"prompt": "a", "size": "64x64", "quality": "low"}
    assert used(shared.client.post("/v1/images/generations", json=body))["steps"] == 2


def test_a_picture_by_its_address_is_compressed_as_it_was_asked_for(shared: LiveServer) -> None:
    wish = {"prompt": "a", "size": "64x64", "output_format": "jpeg", "output_compression": 5}

    def datum(**fields: Any) -> dict[str, Any]:
        answer = shared.client.post("/v1/images/generations", json=wish | fields).raise_for_status()
        return answer.json()["data"][0]  # type: ignore[no-any-return]

    def tables(jpeg: bytes) -> Any:
        return Image.open(io.BytesIO(jpeg)).quantization  # type: ignore[attr-defined]

    address = datum(response_format="url")["url"]
    given = tables(base64.b64decode(datum()["b64_json"]))
    assert tables(shared.client.get(address).content) == given
    assert tables(shared.client.get(address.partition("?")[0]).content) != given
    assert datum(response_format="url", output_compression=90)["url"].endswith(".jpeg")
    assert datum(response_format="url", output_format="png")["url"].endswith(".png")
    beyond = shared.client.get(address.partition("?")[0], params={"output_compression": 101})
    assert (beyond.status_code, list(beyond.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/v1/images/generations", {"error"}),
        ("/sdapi/v1/txt2img", {"error", "detail", "body", "errors"}),
        ("/api/generate", {"error"}),
    ],
)
def test_errors_in_the_shape_of_the_interface(shared: LiveServer, path: str, keys: set[str]) -> None:
    response = shared.client.post(path, json=DRAWING[path] | {"prompt": "oom it", "steps": 4})
    assert response.status_code == 507
    assert response.json().keys() == keys
    if path.startswith("/v1"):
        assert response.headers["x-should-retry"] == "false"
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
        assert response.json()["error"]["code"] == "out_of_memory"


def test_waiting_may_help_when_the_queue_is_full(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve(queue_size=1)
    for _ in range(2):
        live.post_job("hold")
    response = live.client.post("/v1/images/generations", json={"prompt": "a"})
    assert response.status_code == 429
    assert "x-should-retry" not in response.headers
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("path", "field", "status"), [("/v1/images/generations", "n", 400), ("/sdapi/v1/txt2img", "batch_size", 422)]
)
def test_more_than_the_queue_ever_holds(serve: Callable[..., LiveServer], path: str, field: str, status: int) -> None:
    """OpenAI's libraries repeat what was refused for a while, which would never end well."""
    response = serve(queue_size=1).client.post(path, json=DRAWING[path] | {field: 3})
    assert response.status_code == status
    assert "--queue-size" in response.text
    assert "retry-after" not in response.headers
    if path.startswith("/v1"):
        assert response.json()["error"]["param"] == field
        assert response.headers["x-should-retry"] == "false"


@pytest.mark.slow
def test_a_queue_longer_than_clients_wait(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve(compat_wait_s=0.001)
    live.finished(live.post_job("slow learn", width=64, height=64)["id"])
    jobs = [live.post_job("hold", width=64, height=64) for _ in range(4)]
    live.running(jobs[0]["id"])
    response = live.client.post("/v1/images/generations", json={"prompt": "a", "size": "64x64"})
    assert response.status_code == 429
    assert "before this one" in response.json()["error"]["message"]
    for job in jobs:
        live.client.delete(f"/jobs/{job['id']}")


def test_txt2img_details(shared: LiveServer) -> None:
    wish = {"prompt": "a", "width": 64, "height": 64, "steps": 1}
    body = shared.client.post("/sdapi/v1/txt2img", json=wish | {"send_images": False, "unknown": [1]}).json()
    assert body["images"] == []
    assert body["parameters"] == wish | {"send_images": False}
    infotext = "a blue square\nSteps: 2, Sampler: Euler, Seed: 77, Size: 80x64"
    info = used(shared.client.post("/sdapi/v1/txt2img", json={"infotext": infotext, "seed": 78}))
    assert (info["prompt"], info["seed"], info["steps"], info["width"]) == ("a blue square", 78, 2, 80)
    other = wish | {"override_settings": {"sd_model_checkpoint": "seedling-binary"}}
    assert used(shared.client.post("/sdapi/v1/txt2img", json=other))["sd_model_name"] == "seedling-binary"
    assert shared.client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "seedling-ternary"
    too_many = shared.client.post("/sdapi/v1/txt2img", json=wish | {"batch_size": 4, "n_iter": 4})
    assert too_many.status_code == 422


def test_png_info_reads_texts_only(shared: LiveServer) -> None:
    png = shared.client.post("/generate", json={"prompt": "read me", "seed": 4, "width": 64, "height": 64}).content
    encoded = base64.b64encode(png).decode()
    for image in (encoded, f"data:image/png;base64,{encoded}"):
        found = shared.client.post("/sdapi/v1/png-info", json={"image": image}).json()
        assert found["info"].startswith("read me\nSteps: 4")
        assert found["parameters"]["Seed"] == "4"
    padded = base64.b64encode(png + bytes(1 << 20)).decode()  # more than other routes accept
    assert shared.client.post("/sdapi/v1/png-info", json={"image": padded}).status_code in (200, 422)
    for image in ("", "nothing", base64.b64encode(b"GIF89a").decode()):
        assert shared.client.post("/sdapi/v1/png-info", json={"image": image}).status_code == 422


@pytest.mark.parametrize("part", ["[],", "{},", "1,", '"",', "[[[[]]]],"])
def test_a_large_body_of_many_values_is_not_parsed(shared: LiveServer, part: str) -> None:
    """Of 20 MiB of them the parser made 700 MB, and nobody else was answered for seconds."""
    body = '{"image": "", "x": [' + part * (300_000 // len(part)) + "0]}"
    response = shared.client.post("/sdapi/v1/png-info", content=body)
    assert response.status_code == 413
    assert "at most" in response.json()["detail"]


@pytest.mark.parametrize("path", DRAWING)
def test_brackets_in_a_prompt_are_no_values(shared: LiveServer, path: str) -> None:
    prompt = "a (((red))) square, [[blue]], {green|grey}, " * 300
    extra = {"negative_prompt": "[x], " * 40_000, "notes": [[{}]] * 5_000}
    assert len(json.dumps(extra)) < 256 << 10
    assert shared.client.post(path, json=DRAWING[path] | extra | {"prompt": prompt}).status_code == 200


def test_only_with_a_token(serve: Callable[..., LiveServer]) -> None:
    live = serve(token="a-long-secret-of-16")  # noqa: S106
    basic = base64.b64encode(b"anybody:a-long-secret-of-16").decode()
    for path in ("/v1/models", "/sdapi/v1/options", "/api/tags", "/requests", "/connect"):
        assert live.client.get(path).status_code == 401
        assert live.client.get(path, headers={"Authorization": "Basic Og=="}).status_code == 401
        assert live.client.get(path, headers={"Authorization": "Bearer a-long-secret-of-16"}).status_code == 200
        assert live.client.get(path, headers={"Authorization": f"Basic {basic}"}).status_code == 200
    page = live.client.get("/connect", headers={"Authorization": f"Basic {basic}"}).text
    assert "a-long-secret-of-16" not in page
    assert "YOUR-TOKEN" in page


@pytest.mark.parametrize("value", ["Basic", "Basic !!", "Bearer", "Basic Og==", "nonsense"])
def test_without_a_token_nobody_reads_the_header(shared: LiveServer, value: str) -> None:
    assert shared.client.get("/sdapi/v1/options", headers={"Authorization": value}).status_code == 200


def test_the_page_names_this_server(shared: LiveServer) -> None:
    page = shared.client.get("/connect").text
    assert f"http://127.0.0.1:{shared.port}/v1" in page
    assert "seedling-ternary" in page
    for name in ("Open WebUI", "SillyTavern", "AnythingLLM", "LibreChat", "openai-node", "LangChain4j", "curl"):
        assert name in page


def test_the_last_requests_without_prompts(serve: Callable[..., LiveServer]) -> None:
    live = serve(max_log_lines=5)
    live.client.get("/v1/models?prompt=private", headers={"User-Agent": "some-client/1.0"})
    first = live.client.get("/requests").json()["requests"][0]
    assert (first["method"], first["path"], first["status"]) == ("GET", "/v1/models", 200)
    assert first["client"] == "some-client/1.0"
    assert first["seconds"] >= 0
    for _ in range(9):
        live.client.get("/api/version")
    body = live.client.get("/requests")
    assert len(body.json()["requests"]) == 5
    assert "private" not in body.text
    assert "/requests" not in body.text.replace('"requests"', "")


@pytest.mark.parametrize(
    ("partials", "steps", "expected"),
    [(0, 4, []), (1, 4, [2]), (2, 4, [1, 3]), (3, 4, [1, 2, 3]), (3, 1, []), (3, 2, [1])],
)
def test_partial_pictures_are_spread_evenly(partials: int, steps: int, expected: list[int]) -> None:
    assert partial_steps(partials, steps) == expected
