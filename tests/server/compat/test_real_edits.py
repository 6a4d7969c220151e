"""Other programs' own client libraries change pictures with the real engine; what comes back is looked at."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.server.compat.pictures import picture, png_of
from tests.server.compat.test_clients import NODE_MODULES
from tests.server.conftest import ROOT, LiveServer

pytestmark = [pytest.mark.slow, pytest.mark.clients]

SIDE, INSIDE = 96, (40, 40, 56, 56)
PHOTO = Image.effect_noise((SIDE // 8, SIDE // 8), 90).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
MASK = Image.new("L", (SIDE, SIDE), 0)
MASK.paste(255, INSIDE)
CLEAR = Image.merge("RGBA", [*PHOTO.split(), MASK.point(lambda value: 255 - value)])
FEATHER_PX = 16


def values(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image.convert("RGB")).astype(int)


def assert_repainted(found: Image.Image, feather_px: int = FEATHER_PX) -> None:
    """Another picture in the mask, and the photo itself beyond the mask and its feather."""
    changed = (values(found) != values(PHOTO)).any(axis=2)
    left, top, right, bottom = INSIDE
    assert changed[top:bottom, left:right].mean() > 0.8
    changed[top - feather_px : bottom + feather_px, left - feather_px : right + feather_px] = False
    assert not changed.any()


def assert_another(found: Image.Image, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    assert found.size == size
    assert values(found).std() > 5, "something is to be seen"
    if size == PHOTO.size:
        assert np.abs(values(found) - values(PHOTO)).mean() > 5


def test_openai_python(real: LiveServer) -> None:
    openai = pytest.importorskip("openai", reason="needs the clients extra")
    with openai.OpenAI(base_url=f"{real.url}/v1", api_key="x") as client:
        files = [("a.png", io.BytesIO(png_of(one)), "image/png") for one in (PHOTO, CLEAR, PHOTO)]
        asked: dict[str, Any] = {
            "model": "seedling-ternary",
            "prompt": "a red star",
            "extra_body": {"steps": 2, "seed": 3},
        }
        edited = client.images.edit(image=files[0], mask=files[1], **asked)
        assert_repainted(picture(edited.data[0].b64_json))
        *partial, last = client.images.edit(image=[files[2]], stream=True, partial_images=1, **asked)
        assert last.type == "image_edit.completed"
        assert_another(picture(last.b64_json))
        assert [event.type for event in partial] == ["image_edit.partial_image"]
        assert_another(picture(partial[0].b64_json))
        with pytest.deprecated_call():
            varied = client.images.create_variation(image=("a.png", io.BytesIO(png_of(PHOTO)), "image/png"))
        assert_another(picture(varied.data[0].b64_json))


def test_openai_node(real: LiveServer) -> None:
    """It changes what it has drawn: the mask is a white square in the middle."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "node_modules/openai").is_dir():
        pytest.skip("needs node, and openai in .cache/openai-node")
    script = NODE_MODULES / "openai_client_real.mjs"
    script.write_text((Path(__file__).parent / "openai_client.mjs").read_text())
    done = subprocess.run([node, str(script), f"{real.url}/v1", "real"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    looked, masked, _, drawn = (job["image_id"] for job in real.client.get("/jobs?limit=4").json()["jobs"])
    first, repainted, other = (
        values(Image.open(io.BytesIO(real.client.get(f"/images/{name}.png").content)))
        for name in (drawn, masked, looked)
    )
    change = np.abs(repainted - first)
    assert change[24:40, 24:40].mean() > 1
    assert change[[0, -1]].mean() < 0.2 * change[24:40, 24:40].mean(), "the end of its feather"
    assert (other != first).any()


def test_webuiapi(real: LiveServer) -> None:
    api = pytest.importorskip("webuiapi").WebUIApi(baseurl=f"{real.url}/sdapi/v1")
    given: dict[str, Any] = {
        "images": [PHOTO],
        "prompt": "a red star",
        "seed": 5,
        "steps": 2,
        "width": SIDE,
        "height": SIDE,
    }
    found = api.img2img(mask_image=MASK, mask_blur=4, denoising_strength=1.0, **given)
    assert_repainted(found.image, 8)
    near, far = (api.img2img(denoising_strength=strength, **given).image for strength in (0.1, 0.9))
    assert_another(far)
    assert np.abs(values(near) - values(PHOTO)).mean() < np.abs(values(far) - values(PHOTO)).mean()
    assert api.extra_single_image(PHOTO, upscaling_resize=2).image.size == (2 * SIDE, 2 * SIDE)


def test_ollama(real: LiveServer) -> None:
    with pytest.importorskip("ollama").Client(host=real.url) as client:
        options: dict[str, Any] = {"model": "seedling-ternary", "prompt": "a red star", "steps": 2}
        looked = picture(client.generate(images=[png_of(PHOTO)], options={"seed": 3}, **options).image)
        other = picture(client.generate(images=[png_of(PHOTO.rotate(180))], options={"seed": 3}, **options).image)
        assert_another(looked)
        assert (values(looked) != values(other)).any(), "it was looked at"


def test_mcp(real: LiveServer, tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp")
    parameters = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "server.mcp", "--url", real.url],
        env=dict(os.environ) | {"BONSAI_OUTPUT": str(tmp_path)},
        cwd=ROOT,
    )

    before = len(real.client.get("/jobs?limit=200").json()["jobs"])

    async def talk() -> None:
        async with mcp.Client(parameters) as client:
            wish = {"prompt": "a red star", "seed": 3, "steps": 2, "width": SIDE, "height": SIDE}
            image, recipe = (await client.call_tool("generate_image", wish)).content
            star = {"id": recipe.text.split('"id": "')[1][:32], "prompt": "a blue star", "seed": 4}
            for more, size in (({"strength": 0.6}, (SIDE, SIDE)), ({}, (SIDE, SIDE))):
                changed = (await client.call_tool("edit_image", star | more)).content[0]
                assert picture(changed.data).size == size
                assert (values(picture(changed.data)) != values(picture(image.data))).any()
            wider = picture((await client.call_tool("extend_image", star | {"left": 32})).content[0].data)
            assert wider.size == (SIDE + 32, SIDE)
            kept = values(wider)[:, 32 + 2 * FEATHER_PX :]
            assert (kept == values(picture(image.data))[:, 2 * FEATHER_PX :]).all()
            again = await client.call_tool("get_image", {"id": star["id"]})
            assert again.content[0].data == image.data
            assert "seedling-ternary" in (await client.call_tool("list_models", {})).content[0].text
            failed = await client.call_tool("generate_image", wish | {"model": "no such"})
            assert failed.is_error
            assert "There is no model called" in failed.content[0].text
            refused = await client.call_tool("extend_image", star)
            assert refused.is_error
            assert "adds nothing" in refused.content[0].text.lower()

    asyncio.run(talk())
    assert len(real.client.get("/jobs?limit=200").json()["jobs"]) == before + 4, "that server drew them"
