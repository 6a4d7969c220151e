"""A model of bits over the native interface: temperatures, no words, and what it refuses before anything waits."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.images.bitcode import BitCode
from tests.server.conftest import LiveServer

from .conftest import SIDE

BITS: dict[str, Any] = {"model": "seedling-bits", "width": SIDE, "height": SIDE, "steps": 2, "seed": 5}


@pytest.mark.slow
def test_what_is_drawn_says_how(drawing: LiveServer) -> None:
    jobs = drawing.client.post("/jobs", json={"unconditional": True, "temperature": 0.5} | BITS).json()["jobs"]
    request = drawing.finished(jobs[0]["id"])["request"]
    assert (request["prompt"], request["unconditional"], request["temperature"]) == ("anything", True, 0.5)
    image = drawing.client.get(f"/images/{jobs[0]['id']}").json()
    assert image["recipe"]["temperature"] == 0.5
    assert image["recipe"]["unconditional"] is True
    same = drawing.finished(drawing.post_job("a fox", unconditional=True, temperature=0.5, **BITS)["id"])
    codes = [drawing.client.get(f"/images/{one}/code").json()["code"] for one in (jobs[0]["id"], same["image_id"])]
    assert codes[0] == codes[1], "the words are not read"
    usual = drawing.post_job("a fox", **BITS)
    assert usual["request"]["temperature"] == 1.0
    assert "unconditional" not in usual["request"]
    drawing.finished(usual["id"])


def test_the_bits_are_shown_while_it_draws(drawing: LiveServer) -> None:
    job = drawing.finished(drawing.post_job("a fox", **BITS)["id"])
    shown = drawing.client.get(f"/jobs/{job['id']}/bits").raise_for_status()
    picture = Image.open(io.BytesIO(shown.content))
    assert (picture.size, picture.mode) == ((24, 24), "1")
    assert drawing.client.get(f"/jobs/{'0' * 32}/bits").status_code == 404


def test_steps_are_those_that_the_model_was_made_for(drawing: LiveServer) -> None:
    models = {one["name"]: one for one in drawing.client.get("/models").json()["models"]}
    assert (models["seedling-bits"]["family"], models["seedling-bits"]["recommended_steps"]) == ("bits", 4)
    assert models["seedling-ternary"]["family"] == "flux2"
    job = drawing.post_job("a fox", model="seedling-bits")
    assert job["steps"] == 4
    drawing.finished(job["id"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"temperature": 0.2}, "temperature"),
        ({"temperature": 1.3}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"unconditional": "maybe"}, "unconditional"),
        ({"prompt": ""}, "prompt"),
        ({"unconditional": True, "styles": ["Ink"]}, "styles"),
        ({"variation_amount": 0.5}, "variation_amount"),
        ({"model": "seedling-ternary", "temperature": 0.9}, "temperature"),
        ({"model": "seedling-ternary", "unconditional": True}, "unconditional"),
    ],
)
def test_what_is_refused_before_it_waits(drawing: LiveServer, body: dict[str, Any], field: str) -> None:
    answer = drawing.client.post("/jobs", json={"prompt": "a fox"} | BITS | body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field


@pytest.mark.slow
def test_compared_with_another_model_each_has_its_own(serve: Callable[..., LiveServer]) -> None:
    live = serve()
    body = {"prompt": "a fox", "backends": ["seedling-ternary", "seedling-bits"], "width": 64, "height": 64}
    left, right = (
        live.client.post("/generate/compare", json=body).raise_for_status().json()[side] for side in ("left", "right")
    )
    requests = [live.job(one["image"]["id"])["request"] for one in (left, right)]
    assert "temperature" not in requests[0]
    assert requests[1]["temperature"] == 1.0
    refused = live.client.post(
        "/generate/compare", json=body | {"backends": ["seedling-bits", "seedling-ternary"], "temperature": 0.5}
    )
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "temperature")
    grid = {"prompt": "a {fox|cat}", "model": "seedling-bits", "temperature": 0.7, "width": 64, "height": 64}
    jobs = live.client.post("/grids", json=grid).raise_for_status().json()["jobs"]
    assert [one["request"]["temperature"] for one in jobs] == [0.7, 0.7]


@pytest.mark.slow
def test_a_picture_between_two(drawing: LiveServer) -> None:
    ends = [drawing.finished(drawing.post_job("a fox", **BITS | {"seed": seed})["id"])["image_id"] for seed in (1, 2)]
    body = {"init": ends[0], "morph": ends[1], "morph_weight": 0.25, "strength": 0.1, "unconditional": True} | BITS
    job = drawing.client.post("/jobs", json=body).raise_for_status().json()["jobs"][0]
    assert job["request"]["morph_weight"] == 0.25
    assert {(one["id"], one["role"]) for one in job["parents"]} == {(ends[0], "input"), (ends[1], "morph")}
    done = drawing.finished(job["id"])
    told = [drawing.client.post("/encode", json={"picture": one}).json()["code"] for one in ends]
    told.append(drawing.client.get(f"/images/{done['image_id']}/code").json()["code"])
    codes = [BitCode.of_text(one) for one in told]
    near, far = codes[2].distance(codes[0]), codes[2].distance(codes[1])
    assert near is not None
    assert far is not None
    assert near < far
    digest = job["request"]["morph"]
    assert drawing.client.delete(f"/inputs/{digest}").status_code == 409, "the picture's recipe names it"
    alone = drawing.client.post("/jobs", json={"prompt": "a fox", "morph": ends[1]} | BITS)
    assert (alone.status_code, alone.json()["error"]["field"]) == (422, "morph")
    worded = body | {"model": "seedling-ternary", "unconditional": False, "prompt": "a fox"}
    plain = drawing.client.post("/jobs", json=worded)
    assert (plain.status_code, plain.json()["error"]["field"]) == (422, "morph")
