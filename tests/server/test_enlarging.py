"""Pictures of the gallery, and others, made larger by the server; what its fake engine draws is of the right size."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.conftest import LiveServer
from tests.upscaling.files import compact, saved


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def drawn(live: LiveServer, **fields: Any) -> dict[str, Any]:
    headers = {"accept": "application/json"}
    body = {"prompt": "a red fox", "width": 96, "height": 64, "seed": 5} | fields
    image: dict[str, Any] = live.client.post("/generate", json=body, headers=headers).raise_for_status().json()["image"]
    return image


@pytest.mark.parametrize(("method", "steps"), [("exact", 0), ("refine", 4)])
def test_a_picture_of_the_gallery_is_enlarged(method: str, steps: int, shared: LiveServer) -> None:
    source = drawn(shared)
    answer = shared.client.post("/enlarge", json={"source": source["id"], "by": 4, "method": method})
    assert answer.status_code == 200, answer.text
    assert size_of(answer.content) == (384, 256)
    made = shared.client.get(f"/images/{answer.headers['x-image-id']}").json()
    assert made["parents"] == [{"id": source["id"], "role": "source"}]
    assert (made["width"], made["height"], made["prompt"], made["steps"]) == (384, 256, "a red fox", steps)
    assert made["recipe"]["operation"] == "enlarge"
    job = shared.client.get("/jobs?limit=1").json()["jobs"][0]
    assert (job["request"]["operation"], job["request"]["by"], job["request"]["method"]) == ("enlarge", 4, method)
    children = shared.client.get(f"/images/{source['id']}").json()["children"]
    assert {"id": made["id"], "role": "source"} in children


def test_a_picture_that_was_sent_is_enlarged_in_the_queue(shared: LiveServer) -> None:
    source = shared.client.post("/inputs", content=png((70, 50))).json()["id"]
    body = {"source": source, "method": "refine", "prompt": "a fox", "seed": 7, "steps": 2, "strength": 0.2}
    created = shared.client.post("/jobs/enlarge", json=body)
    assert created.status_code == 202, created.text
    job = shared.finished(created.json()["jobs"][0]["id"])
    assert (job["status"], job["width"], job["height"], job["seed"], job["steps"]) == ("done", 140, 100, 7, 2)
    assert size_of(shared.client.get(f"/images/{job['image_id']}.png").content) == (140, 100)
    headers = {"accept": "application/json"}
    told = shared.client.post("/enlarge", json={"source": source}, headers=headers).raise_for_status().json()
    assert size_of(base64.b64decode(told["b64_json"])) == (140, 100)


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"source": "f" * 32}, "source", "no such picture"),
    ({"source": "../x"}, "source", ""),
    ({"by": 3}, "by", ""),
    ({"method": "magic"}, "method", ""),
    ({"method": "refine"}, "prompt", "empty"),
    ({"method": "learned"}, "upscaler", "missing"),
    ({"strength": 0}, "strength", ""),
    ({"force": 1}, "force", ""),
    ({"by": 4, "source": "large"}, "by", "at most 40 million"),
    ({"model": "nobody"}, "model", ""),
    ({"factor": 2}, "factor", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize("route", ["/enlarge", "/jobs/enlarge"])
def test_what_cannot_be_done_names_its_field(route: str, shared: LiveServer) -> None:
    ids = {size: shared.client.post("/inputs", content=png(size)).json()["id"] for size in ((64, 64), (1800, 1600))}
    for fields, field, words in FAULTS:
        body = {"source": ids[64, 64]} | fields
        if body["source"] == "large":
            body["source"] = ids[1800, 1600]
        answer = shared.client.post(route, json=body)
        assert answer.status_code == 422, (fields, answer.text)
        detail = answer.json()["error"]
        assert detail["field"] == field, (fields, detail)
        assert words in detail["message"], detail


@pytest.mark.slow
def test_the_file_of_an_upscaler_is_chosen_by_its_name(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    folder = tmp_path / "upscalers"
    folder.mkdir()
    saved(folder / "4x.safetensors", compact(width=8))
    (folder / "notes.txt").write_text("no upscaler")
    live = serve(upscalers_dir=folder)
    assert live.client.get("/upscalers").json() == {"names": ["4x.safetensors"]}
    source = live.client.post("/inputs", content=png((64, 64))).json()["id"]
    body = {"source": source, "by": 4, "method": "learned", "upscaler": "4x.safetensors"}
    job = live.finished(live.client.post("/jobs/enlarge", json=body).raise_for_status().json()["jobs"][0]["id"])
    assert (job["status"], job["width"], job["request"]["upscaler"]) == ("done", 256, "4x.safetensors")
    for name in ("notes.txt", "../4x.safetensors", "4X"):
        refused = live.client.post("/jobs/enlarge", json=body | {"upscaler": name})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "upscaler")
