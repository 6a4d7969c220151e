"""The whole thing with the real engine and the embedded checkpoints: no fake, no network."""

from __future__ import annotations

import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageStat

from bonsai_mlx.images.metadata import read
from tests.server.conftest import NATIVE, EventStream, LiveServer, eventually


def picture(content: bytes) -> Image.Image:
    opened = Image.open(io.BytesIO(content))
    opened.load()
    return opened


@pytest.mark.slow
def test_a_real_picture(real: LiveServer) -> None:
    body = {"prompt": "a red circle on a blue background", "seed": 11}
    response = real.client.post("/generate", json=body).raise_for_status()
    image = picture(response.content)
    assert image.size == NATIVE
    assert max(ImageStat.Stat(image).stddev) > 10, "the picture is not one colour"
    found = read(response.content)
    assert found is not None
    assert found.recipe is not None
    assert (found.recipe.prompt, found.recipe.seed, found.recipe.model) == (body["prompt"], 11, "seedling-ternary")
    assert float(response.headers["x-peak-memory-mb"]) > 1
    small = body | {"width": 64, "height": 64, "steps": 2}
    first, again = (real.client.post("/generate", json=small).raise_for_status() for _ in range(2))
    assert picture(again.content).tobytes() == picture(first.content).tobytes(), "the same seed gives the same picture"


@pytest.mark.slow
def test_a_real_comparison_encodes_once(real: LiveServer) -> None:
    body = {"prompt": "a green square, compared", "seed": 4, "steps": 2, "width": 64, "height": 64}
    with real.client.stream("GET", "/events") as stream, ThreadPoolExecutor(1) as pool:
        events = EventStream(stream)
        next(events)
        asked = pool.submit(real.client.post, "/generate/compare", json=body)
        phases: dict[str, set[str]] = {}
        ended: set[str] = set()
        while len(ended) < 2:
            event = next(events)
            if event["event"] != "job" or event["data"]["prompt"] != body["prompt"]:
                continue
            job = event["data"]
            if job["progress"] > 0:  # a phase is told of when it begins; of this one a part is done
                phases.setdefault(job["model"], set()).add(job["phase"])
            if job["status"] == "done":
                ended.add(job["id"])
        compared = asked.result().raise_for_status().json()
    assert compared["left"]["b64_json"] != compared["right"]["b64_json"]
    first, second = phases.values()
    assert "encode" in first
    assert "encode" not in second


@pytest.mark.slow
def test_real_previews_and_cancelling(real: LiveServer) -> None:
    job = real.post_job("a yellow triangle", steps=60)
    eventually(lambda: real.job(job["id"])["preview_seq"] >= 2, 60)
    small = picture(real.client.get(f"/jobs/{job['id']}/preview").content)
    assert small.width == small.height
    step = real.client.delete(f"/jobs/{job['id']}").json()["step"]
    cancelled = real.finished(job["id"], 60)
    assert cancelled["status"] == "cancelled"
    assert cancelled["step"] <= step + 2  # the one it was in, and one that was told meanwhile


@pytest.mark.slow
def test_memory_goes_back_after_cancelling(real: LiveServer) -> None:
    real.finished(real.post_job("a blue circle", steps=1)["id"], 60)
    idle = eventually(lambda: (m := real.client.get("/memory").json())["worker"] == "idle" and m)
    job = real.post_job("a blue circle", steps=60)
    eventually(lambda: real.job(job["id"])["step"] >= 2, 60)
    real.client.delete(f"/jobs/{job['id']}")
    real.finished(job["id"], 60)
    bound = idle["mlx_active_bytes"] * 1.2 + 1_000_000
    eventually(lambda: (m := real.client.get("/memory").json())["worker"] == "idle" and m["mlx_active_bytes"] < bound)


@pytest.mark.slow
def test_the_real_engine_killed_in_the_middle(real: LiveServer) -> None:
    job = real.post_job("a red square", steps=60)
    eventually(lambda: real.job(job["id"])["step"] >= 1, 60)
    os.kill(real.worker_pid(), signal.SIGKILL)
    assert real.finished(job["id"])["status"] == "failed"
    assert real.finished(real.post_job("a red square", steps=1)["id"], 60)["status"] == "done"


@pytest.mark.slow
def test_unloading_returns_the_memory(real: LiveServer) -> None:
    real.finished(real.post_job("a red square", steps=1)["id"], 60)
    assert real.client.post("/unload").json()["process_bytes"] == 0
    assert real.studio.engines.pids == []


@pytest.mark.slow
def test_a_real_repainting_leaves_all_else_as_it_is(real: LiveServer) -> None:
    small = {"width": 128, "height": 128, "steps": 2}
    first = real.client.post("/generate", json={"prompt": "a house", "seed": 3, **small}).raise_for_status()
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (48, 16, 112, 80))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    added = real.client.post("/inputs", params={"mask": True}, content=buffer.getvalue()).json()["id"]
    body = {
        "prompt": "a red star",
        "init": first.headers["x-image-id"],
        "mask": added,
        "seed": 1,
        "feather_px": 8,
        "steps": 2,
    }
    edited = real.client.post("/edit", json=body).raise_for_status()
    before, after = (np.asarray(picture(one.content).convert("RGB")).astype(int) for one in (first, edited))
    changed = np.abs(after - before).max(axis=2) > 0
    assert changed[16:80, 48:112].mean() > 0.5
    changed[8:88, 40:120] = False
    assert not changed.any()
    found = read(edited.content)
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.parameters["mask"] == added


@pytest.mark.slow
@pytest.mark.parametrize(("method", "more"), [("exact", {}), ("refine", {"steps": 2, "strength": 0.3})])
def test_a_real_picture_is_enlarged(real: LiveServer, method: str, more: dict[str, Any]) -> None:
    first = real.client.post("/generate", json={"prompt": "a house", "steps": 1, "width": 64, "height": 64})
    body = {"source": first.headers["x-image-id"], "by": 2, "method": method, **more}
    larger = real.client.post("/enlarge", json=body).raise_for_status()
    before, after = picture(first.content).convert("RGB"), picture(larger.content).convert("RGB")
    assert after.size == (128, 128)
    far = np.abs(np.asarray(after.resize((64, 64))).astype(int) - np.asarray(before).astype(int)).mean()
    assert far < (5 if method == "exact" else 40)
