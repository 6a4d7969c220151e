"""Other programs' own client libraries on a live server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.compat.pictures import picture
from tests.server.conftest import FAKE_ENGINE, ROOT, LiveServer

pytestmark = pytest.mark.clients

PICTURE = {"prompt": "a fox", "size": "64x64"}
NODE_MODULES = ROOT / ".cache/openai-node"


def jobs_of(live: LiveServer) -> int:
    return len(live.client.get("/jobs?limit=200").json()["jobs"])


# OpenAI


@pytest.fixture(scope="module")
def openai() -> Any:
    """Imported where it is asked for: the library takes half a second."""
    return pytest.importorskip("openai", reason="needs the clients extra")


@pytest.fixture
def client(openai: Any, shared: LiveServer) -> Any:
    with openai.OpenAI(base_url=f"{shared.url}/v1", api_key="x") as made:
        yield made


def test_openai_python(client: Any) -> None:
    answer = client.images.generate(model="dall-e-3", **PICTURE, n=2, extra_body={"seed": 7, "steps": 3})
    assert [datum.seed for datum in answer.data] == [7, 8]
    assert answer.data[0].steps == 3
    assert picture(answer.data[0].b64_json).size == (64, 64)
    assert answer.size == "64x64"
    assert answer.usage.total_tokens == 0


@pytest.mark.parametrize(("form", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_openai_formats_keep_the_infotext(client: Any, form: str, kind: str) -> None:
    answer = client.images.generate(**PICTURE, output_format=form, output_compression=70)
    image = picture(answer.data[0].b64_json)
    assert image.format == kind
    if form == "png":
        assert "Steps: 4" in image.info["parameters"]
    else:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert "Steps: 4" in comment.removeprefix(b"UNICODE\0").decode("utf-16-be")
        assert b"trainedAlgorithmicMedia" in image.info["xmp"]


def test_openai_addresses_can_be_fetched(client: Any, shared: LiveServer) -> None:
    answer = client.images.generate(**PICTURE, response_format="url", output_format="jpeg")
    assert answer.data[0].b64_json is None
    fetched = shared.client.get(answer.data[0].url)
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "image/jpeg")


def test_openai_models(openai: Any, client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["seedling-ternary", "seedling-binary"]
    assert client.models.retrieve("seedling-binary").id == "seedling-binary"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


@pytest.fixture
def patient_client(openai: Any, serve: Callable[..., LiveServer]) -> Iterator[Any]:
    """Of a server that takes more steps, so that nobody has to be quicker than the picture."""
    with openai.OpenAI(base_url=f"{serve(compat_max_steps=100).url}/v1", api_key="x") as made:
        yield made


LONG = {"prompt": "slow", "size": "64x64", "stream": True, "extra_body": {"steps": 60}}  # three seconds


@pytest.mark.slow
def test_openai_streaming_has_real_previews(patient_client: Any) -> None:
    stream = patient_client.images.generate(**LONG, partial_images=2, output_format="webp")
    *partial, completed = list(stream)
    assert [event.partial_image_index for event in partial] == [0, 1]
    assert {type(event).__name__ for event in partial} == {"ImageGenPartialImageEvent"}
    first, second = (picture(event.b64_json) for event in partial)
    assert first.size == second.size == (64, 64)
    assert first.getpixel((9, 9)) != second.getpixel((9, 9))  # drawn from what the engine has at that moment
    assert type(completed).__name__ == "ImageGenCompletedEvent"
    assert picture(completed.b64_json).format == "WEBP"


def test_openai_async(openai: Any, shared: LiveServer) -> None:
    async def both() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{shared.url}/v1", api_key="x") as client:
            answer = await client.images.generate(**PICTURE, extra_body={"seed": 1})
            events = [e async for e in await client.images.generate(**PICTURE, stream=True, extra_body={"seed": 2})]
            return [answer.data[0].seed, events[-1].seed]

    assert asyncio.run(both()) == [1, 2]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["raise it", "oom it", "kill it"])
def test_a_failure_is_drawn_once(openai: Any, client: Any, shared: LiveServer, prompt: str, stream: bool) -> None:
    before = jobs_of(shared)
    with pytest.raises(openai.APIError) as caught:
        list(client.images.generate(prompt=prompt, size="64x64", stream=stream))
    assert jobs_of(shared) == before + 1
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_cancelled_picture_is_not_asked_for_again(openai: Any, patient_client: Any) -> None:
    stream = patient_client.images.generate(**LONG, partial_images=3)
    next(iter(stream))
    with httpx.Client(base_url=str(patient_client.base_url.join("/"))) as server:
        server.delete(f"/jobs/{server.get('/jobs').json()['jobs'][0]['id']}").raise_for_status()
        with pytest.raises(openai.APIError, match="cancelled"):
            list(stream)
        assert len(server.get("/jobs").json()["jobs"]) == 1


def test_wrong_values_are_told_with_their_name(openai: Any, client: Any) -> None:
    for field, value in {"n": 99, "size": "huge", "output_format": "gif", "partial_images": "many"}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(**(PICTURE | {field: value}))
        assert caught.value.param == field
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.images.generate(prompt=" ")


def test_a_model_that_is_not_here(openai: Any, client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="bonsai-mlx download ternary"):
        client.images.generate(model="bonsai-ternary", **PICTURE)


@pytest.mark.slow
def test_openai_node(shared: LiveServer, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "node_modules/openai").is_dir():
        pytest.skip("needs node, and openai in .cache/openai-node")
    before = jobs_of(shared)
    script = Path(__file__).parent / "openai_client.mjs"
    copy = NODE_MODULES / script.name  # a module looks for its packages beside its own file
    copy.write_text(script.read_text())
    done = subprocess.run([node, str(copy), f"{shared.url}/v1"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs_of(shared) == before + 5  # a picture, a stream, two edits, and one failure that was not repeated


# A1111


@pytest.mark.slow
def test_webuiapi(shared: LiveServer) -> None:
    api = pytest.importorskip("webuiapi").WebUIApi(baseurl=f"{shared.url}/sdapi/v1")
    result = api.txt2img(prompt="a fox", negative_prompt="no", seed=5, width=64, height=64, steps=30, batch_size=2)
    assert [image.size for image in result.images] == [(64, 64)] * 2
    assert (result.info["all_seeds"], result.info["steps"], result.info["negative_prompt"]) == ([5, 6], 4, "no")
    assert result.info["infotexts"][0] == result.images[0].info["parameters"] == api.png_info(result.image).info
    assert api.util_get_current_model() in api.util_get_model_names()
    api.util_set_model("seedling-binary")
    assert api.util_get_current_model() == "seedling-binary"
    assert api.txt2img(prompt="b", width=64, height=64).info["sd_model_name"] == "seedling-binary"
    api.util_set_model("seedling-ternary")
    api.util_wait_for_ready(check_interval=0.1)
    assert api.get_memory()["ram"]["total"] > 0
    for name in ("samplers", "schedulers", "upscalers", "sd_vae", "loras", "scripts", "cmd_flags", "embeddings"):
        assert getattr(api, f"get_{name}")() is not None


# Ollama


@pytest.mark.slow
def test_ollama_python(shared: LiveServer) -> None:
    with pytest.importorskip("ollama").Client(host=shared.url) as client:
        assert [model.model for model in client.list().models] == ["seedling-ternary:latest", "seedling-binary:latest"]
        assert client.show("seedling-ternary").capabilities == ["image"]
        answer = client.generate(model="seedling-binary", prompt="a fox", width=64, height=64, steps=50)
        assert picture(answer.image).size == (64, 64)
        assert answer.total_duration > 0
        *steps, last = client.generate(model="x", prompt="slow", width=64, height=64, steps=3, stream=True)
        assert [step.completed for step in steps][-1] == 3
        assert {step.total for step in steps} == {3}
        assert last.done
        assert client.ps().models[0].model == "seedling-ternary:latest"
        assert client.generate(model="x", prompt="").done_reason == "load"


# MCP


@pytest.mark.slow
def test_mcp_alone(tmp_path: Path) -> None:
    """Where no server runs; beside one, with the real engine, in test_real_edits."""
    mcp = pytest.importorskip("mcp")
    arguments = ["-m", "server.mcp", "--url", "http://127.0.0.1:1"]
    environment = {"BONSAI_OUTPUT": str(tmp_path / "out"), "BONSAI_ENGINE": FAKE_ENGINE}
    parameters = mcp.StdioServerParameters(
        command=sys.executable,
        args=arguments,
        env=dict(os.environ) | environment | {"BONSAI_MIN_FREE_BYTES": "0"},
        cwd=ROOT,
    )

    async def talk() -> None:
        async with mcp.Client(parameters) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {
                "generate_image",
                "edit_image",
                "extend_image",
                "list_models",
                "get_image",
            }
            wish = {"prompt": "a fox", "seed": 3, "width": 64, "height": 64}
            image, recipe = (await client.call_tool("generate_image", wish)).content
            assert (image.type, image.mime_type) == ("image", "image/png")
            assert picture(image.data).size == (64, 64)
            assert '"seed": 3' in recipe.text
            again = await client.call_tool("get_image", {"id": recipe.text.split('"id": "')[1][:32]})
            assert again.content[0].data == image.data
            first = recipe.text.split('"id": "')[1][:32]
            edited = (await client.call_tool("edit_image", {"id": first, "prompt": "a hare", "strength": 0.5})).content
            assert picture(edited[0].data).size == (64, 64)
            told = (await client.call_tool("edit_image", {"id": first, "prompt": "make it red"})).content
            assert '"prompt": "make it red"' in told[1].text
            wider = {"id": first, "prompt": "a hare", "left": 16, "right": 16}
            assert '"width": 96' in (await client.call_tool("extend_image", wider)).content[1].text
            assert "seedling-ternary" in (await client.call_tool("list_models", {})).content[0].text
            failed = await client.call_tool("generate_image", {"prompt": "a fox", "model": "no such"})
            assert failed.is_error
            assert "There is no model called" in failed.content[0].text

    asyncio.run(talk())
