"""Pictures that go in: added once, named afterwards, let go of when nothing needs them."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.editing.pictures import digest_of
from server.settings import Settings
from tests.editing.test_normalise import BAD, png
from tests.server.conftest import QUICK, LiveServer

pytestmark = pytest.mark.slow

PICTURE = Image.effect_noise((96, 80), 90).convert("RGB")
MASK = Image.new("L", (96, 80), 0)
MASK.paste(255, (16, 16, 64, 48))


def png_of(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(Settings(**QUICK | {"output": tmp_path})) as server:
        yield server


def add(live: LiveServer, image: Image.Image, **query: Any) -> dict[str, Any]:
    response = live.client.post("/inputs", content=png_of(image), params=query)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def error_of(response: Any) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["field"]


def test_a_picture_is_known_by_its_pixels(live: LiveServer) -> None:
    found = add(live, PICTURE)
    assert found == {
        "id": digest_of(PICTURE),
        "width": 96,
        "height": 80,
        "mask": False,
        "alpha": None,
        "notes": [],
        "usable_for": ["init", "references", "source"],
    }
    webp = io.BytesIO()
    PICTURE.save(webp, "WEBP", lossless=True)
    again = live.client.post("/inputs", files={"file": ("photo.webp", webp.getvalue(), "image/webp")})
    assert again.json() == found
    assert [path.name for path in live.studio.inputs.folder.iterdir()] == [f"{found['id']}.png"]
    back = live.client.get(f"/inputs/{found['id']}")
    assert back.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(back.content)).tobytes() == PICTURE.tobytes()


def test_what_is_transparent_is_a_mask_as_well(shared: LiveServer) -> None:
    clear = PICTURE.copy()
    clear.putalpha(Image.eval(MASK, lambda value: 255 - value))
    found = add(shared, clear)
    assert found["alpha"] == digest_of(MASK)
    assert add(shared, clear, mask=True) == {
        "id": digest_of(MASK),
        "width": 96,
        "height": 80,
        "mask": True,
        "alpha": None,
        "notes": [],
        "usable_for": ["mask"],
    }


CHANGED = ["init", "references"]
USES = {
    (96, 80): (["source"], None),
    (64, 512): (["source"], None),
    (63, 80): (["source"], "63x80 pixels; 64 a side are needed"),
    (1, 1): (["source"], "1x1 pixels; 64 a side are needed"),
    (3000, 8): (["source"], "3000x8 pixels; 64 a side are needed"),
    (64, 513): (["source"], "is 64x513; one side may have 8 times the other"),
    (4000, 2500): (["source"], None),
    (4000, 2501): ([], None),  # twice as wide and as high it would have more than 40 million pixels
}


@pytest.mark.parametrize("size", USES, ids=str)
def test_what_a_picture_can_be_used_for_is_told_when_it_is_added(size: tuple[int, int], shared: LiveServer) -> None:
    """And each of its uses is as it was told."""
    enlarging, lack = USES[size]
    shared.client.post(
        "/queue/pause"
    ).raise_for_status()  # what is taken is not drawn: forty million pixels take a second
    taken = add(shared, Image.new("RGB", size, "green"))
    assert taken["usable_for"] == ([] if lack else CHANGED) + enlarging
    assert [lack in note for note in taken["notes"]] == ([True] if lack else [])
    bodies: dict[str, Any] = {"init": {"init": taken["id"]}, "references": {"references": [taken["id"]]}}
    for use in CHANGED:
        answer = shared.client.post("/jobs", json={"prompt": "a fox", "width": 64, "height": 64} | bodies[use])
        assert (answer.status_code == 202) == (use in taken["usable_for"]), answer.text
        if answer.status_code != 202:
            assert answer.json()["error"]["field"] in ("init", "references[0]")
    answer = shared.client.post("/jobs/enlarge", json={"source": taken["id"]})
    assert (answer.status_code == 202) == ("source" in taken["usable_for"]), answer.text
    shared.client.delete("/jobs").raise_for_status()
    shared.client.post("/queue/resume").raise_for_status()


def test_what_a_picture_loses_is_told_when_it_is_added(shared: LiveServer) -> None:
    deep = png(64, 64, 16, 0, bytes(64 * (1 + 2 * 64)))
    assert shared.client.post("/inputs", content=deep).json()["notes"] == [
        "Of its 16 bits a channel the upper eight are used."
    ]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused_and_nothing_is_kept(name: str, shared: LiveServer) -> None:
    before = set(shared.studio.inputs.folder.iterdir())
    response = shared.client.post("/inputs", content=BAD[name][0])
    assert error_of(response) == (422, "bad_picture", "file")
    assert set(shared.studio.inputs.folder.iterdir()) == before


def test_an_empty_file_is_called_one(shared: LiveServer) -> None:
    assert shared.client.post("/inputs", content=b"").json()["error"]["message"] == "The file is empty."


def test_a_form_without_a_file(shared: LiveServer) -> None:
    response = shared.client.post("/inputs", files={"picture": ("a.png", png_of(PICTURE))})
    assert error_of(response) == (422, "bad_field", "file")


def test_the_largest_picture_is_taken(live: LiveServer) -> None:
    """Forty million pixels of four inks and an alpha each are the child's to bear, and no more than that."""
    large = png(6_300, 6_300, 8, 6, bytes(6_300 * (1 + 4 * 6_300)))
    response = live.client.post("/inputs", content=large)
    assert response.status_code == 201, response.text
    assert live.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"init": "f" * 64}, "init"),
        ({"init": "f" * 32}, "init"),
        ({"init": "../secret"}, "init"),
        ({"references": ["f" * 64]}, "references[0]"),
        ({"init": "known", "mask": "f" * 64}, "mask"),
        ({"init": "known", "extend": [0, 0, 0]}, "extend"),
        ({"init": "known", "extend": [2048, 2048, 2048, 2049]}, "extend.3"),
        ({"init": "known", "extend": [0, 0, 0, 0]}, "extend"),
        ({"init": "known", "mask": "black"}, "mask"),
        ({"init": "known", "strength": 0.5, "reference_detail": 256}, "reference_detail"),
        ({"init": "known", "strength": 0}, "strength"),
        ({"init": "known", "strength": 1.5}, "strength"),
        ({"init": "known", "strength_rule": "sigmas"}, "strength_rule"),
        ({"init": "small"}, "init"),
        ({"references": ["known", "narrow"]}, "references[1]"),
        ({}, "init"),
    ],
)
def test_what_cannot_be_changed_is_told_by_its_field(body: dict[str, Any], field: str, shared: LiveServer) -> None:
    known = {
        "known": add(shared, PICTURE)["id"],
        "small": add(shared, Image.new("RGB", (63, 80)))["id"],
        "narrow": add(shared, Image.new("RGB", (64, 600)))["id"],
        "black": add(shared, Image.new("L", (96, 80), 0), mask=True)["id"],
    }
    named = {name: known.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
    if "references" in named:
        named["references"] = [known.get(value, value) for value in named["references"]]
    before = shared.client.get("/jobs").json()["jobs"]
    response = shared.client.post("/edit", json={"prompt": "a fox"} | named)
    assert (response.status_code, response.json()["error"]["field"]) == (422, field), response.text
    assert [job["id"] for job in shared.client.get("/jobs").json()["jobs"]] == [job["id"] for job in before]


def test_sizes_follow_the_picture(shared: LiveServer) -> None:
    init, mask = add(shared, PICTURE)["id"], add(shared, MASK, mask=True)["id"]
    for fields, size in (
        ({"init": init}, (96, 80)),
        ({"init": init, "extend": [32, 0, 0, 16]}, (128, 96)),
        ({"references": [init]}, (96, 80)),
        ({"init": init, "width": 64, "height": 64}, (64, 64)),
        ({"init": init, "mask": mask, "only_masked": False}, (96, 80)),
    ):
        job = shared.post_job("a fox", **fields)
        assert (job["request"]["width"], job["request"]["height"]) == size, fields
        assert shared.finished(job["id"])["status"] == "done"


def test_a_picture_of_the_gallery_goes_in_and_is_the_parent(shared: LiveServer) -> None:
    parent = shared.finished(shared.post_job("a fox", width=96, height=80)["id"])["image_id"]
    other = shared.finished(shared.post_job("a hare", width=96, height=80)["id"])["image_id"]
    child = shared.finished(shared.post_job("a red fox", init=parent, references=[other])["id"])["image_id"]
    roles = {one["id"]: one["role"] for one in shared.client.get(f"/images/{child}").json()["parents"]}
    assert roles == {parent: "input", other: "reference"}
    assert shared.client.get(f"/images/{parent}").json()["children"] == [{"id": child, "role": "input"}]
    recipe = shared.client.get(f"/images/{child}").json()["recipe"]
    pixels = Image.open(io.BytesIO(shared.client.get(f"/images/{parent}.png").content)).convert("RGB")
    assert recipe["init"] == digest_of(pixels)
    assert len(recipe["references"]) == 1
    varied = shared.finished(shared.post_job("a blue fox", init=recipe["init"])["id"])[
        "image_id"
    ]  # as a recipe says it
    assert shared.client.get(f"/images/{varied}").json()["parents"] == [{"id": parent, "role": "input"}]


def test_a_batch_has_the_same_parents(shared: LiveServer) -> None:
    parent = shared.finished(shared.post_job("a fox", width=96, height=80)["id"])["image_id"]
    jobs = shared.client.post("/jobs", json={"prompt": "a fox", "init": parent, "count": 2}).json()["jobs"]
    for job in jobs:
        image = shared.finished(job["id"])["image_id"]
        assert shared.client.get(f"/images/{image}").json()["parents"] == [{"id": parent, "role": "input"}]


def test_what_nothing_needs_goes_after_a_day(live: LiveServer) -> None:
    for way in ("init", "references", "source"):
        used, unused = add(live, PICTURE)["id"], add(live, Image.new("RGB", (64, 64)))["id"]
        if way == "source":
            image = live.client.post("/enlarge", json={"source": used}).raise_for_status().headers["x-image-id"]
        else:
            named = {way: [used] if way == "references" else used}
            image = live.finished(live.post_job("a fox", **named)["id"])["image_id"]
        assert live.client.delete(f"/inputs/{used}").status_code == 409
        assert _on_loop(live, live.studio.inputs.purge()) == 0
        assert _on_loop(live, live.studio.inputs.purge(older_than_s=0.0)) == 1, way
        assert live.client.get(f"/inputs/{unused}").status_code == 404
        assert live.client.get(f"/inputs/{used}").status_code == 200
        live.client.delete(f"/images/{image}")
        _on_loop(live, _forget(live, image))
        assert live.client.delete(f"/inputs/{used}").status_code == 204
        assert live.client.delete(f"/inputs/{used}").status_code == 404


async def _forget(live: LiveServer, image: str) -> None:
    live.studio.store.execute("DELETE FROM images WHERE id = ?", (image,))


def _on_loop(live: LiveServer, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, next(iter(live.studio._tasks)).get_loop()).result()


def test_a_picture_that_is_gone_when_its_turn_comes(shared: LiveServer) -> None:
    """Somebody empties the folder: the job says so, and the next one is drawn."""
    init = add(shared, PICTURE.rotate(90))["id"]
    gate = shared.post_job("slow", steps=20)
    job = shared.post_job("a fox", init=init)
    shared.studio.inputs.path(init).unlink()
    failed = shared.finished(job["id"])
    assert failed["status"] == "failed"
    assert "add it again" in failed["error"]["message"]
    assert shared.finished(gate["id"])["status"] == "done"
    assert shared.client.post("/edit", json={"prompt": "a fox", "init": init}).status_code == 422


def test_a_file_that_holds_another_picture_is_not_used(shared: LiveServer) -> None:
    init = add(shared, PICTURE.rotate(180))["id"]
    shared.studio.inputs.path(init).write_bytes(png_of(Image.new("RGB", (96, 80), "red")))
    failed = shared.finished(shared.post_job("a fox", init=init)["id"])
    assert failed["status"] == "failed"
    assert "not what it was" in failed["error"]["message"]


def test_jobs_that_wait_keep_their_pictures_over_a_restart(gate: Path, tmp_path: Path) -> None:
    with LiveServer(Settings(**QUICK | {"output": tmp_path})) as live:
        init = add(live, PICTURE)["id"]
        live.post_job("hold")
        job = live.post_job("a fox", init=init)
    gate.unlink()
    with LiveServer(Settings(**QUICK | {"output": tmp_path})) as live:
        done = live.finished(job["id"])
        assert (done["status"], done["request"]["init"]) == ("done", init)


def test_the_index_says_what_a_mask_repaints(shared: LiveServer) -> None:
    found = add(shared, MASK, mask=True)["id"]
    row = (
        sqlite3.connect(shared.studio.store.path)
        .execute("SELECT mask, box FROM inputs WHERE id = ?", (found,))
        .fetchone()
    )
    assert row == (1, "[16, 16, 64, 48]")
    assert np.asarray(MASK).max() == 255
