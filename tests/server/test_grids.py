"""Grids over the native interface: one group of jobs, told before, and a labelled sheet."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.server.conftest import LiveServer, eventually

pytestmark = pytest.mark.slow

SMALL = {"width": 64, "height": 64, "steps": 1}


def axis(name: str, *values: Any) -> dict[str, Any]:
    return {"name": name, "values": list(values)}


def drawn(server: LiveServer, body: dict[str, Any]) -> list[dict[str, Any]]:
    response = server.client.post("/grids", json=SMALL | body)
    assert response.status_code == 202, response.text
    return [server.finished(job["id"]) for job in response.json()["jobs"]]


def pixels(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_every_cell_is_the_single_picture_and_stands_on_the_sheet(shared: LiveServer) -> None:
    body = {"prompt": "a {red|blue} house", "axes": [axis("seed", 30, 90), axis("model", *MODELS)]}
    jobs = drawn(shared, body)
    assert [job["status"] for job in jobs] == ["done"] * 8
    assert len({job["group"] for job in jobs}) == 1
    assert {job["group_kind"] for job in jobs} == {"grid"}
    rows = [f"seed {seed}, {model}" for seed in (30, 90) for model in MODELS]
    assert jobs[5]["cell"] == {"column": 1, "row": 2, "columns": ["red", "blue"], "rows": rows}
    assert (jobs[5]["prompt"], jobs[5]["seed"], jobs[5]["model"]) == ("a blue house", 90, MODELS[0])
    sheet = pixels(shared.client.get(f"/grids/{jobs[0]['group']}.png").content)
    for job in jobs:
        single = shared.client.post("/generate", json=SMALL | {k: job[k] for k in ("prompt", "seed", "model")}).content
        cell = pixels(shared.client.get(f"/images/{job['id']}.png").content)
        assert (cell == pixels(single)).all()
        assert int((sheet == cell[0, 0]).all(-1).sum()) == 2 * 64 * 64  # the fake engine's colour is the seed's
    assert shared.client.get(f"/images/{jobs[5]['id']}").json()["cell"] == jobs[5]["cell"]


MODELS = ("seedling-ternary", "seedling-binary")


def test_a_random_seed_is_one_for_all_and_styles_are_an_axis(shared: LiveServer) -> None:
    jobs = drawn(shared, {"prompt": "a fox", "axes": [axis("style", "", "At night")]})
    assert jobs[0]["seed"] == jobs[1]["seed"]
    assert [job["prompt"] for job in jobs] == ["a fox", "a fox at night"]
    assert jobs[1]["cell"]["columns"] == ["no style", "At night"]


def test_the_number_is_told_before_and_more_than_the_queue_takes_is_refused(serve: Callable[..., LiveServer]) -> None:
    server = serve(queue_size=4)
    asked = {"prompt": "a {red|blue} house", "axes": [axis("seed", 1, 2, 3)]}
    plan = server.client.post("/grids/plan", json=asked).json()
    assert (plan["count"], plan["limit"], plan["fits"]) == (6, 5, False)
    assert plan["message"] == "These are 6 pictures; at most 5 are drawn at a time. Leave some values out."
    refused = server.client.post("/grids", json=asked)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "axes")
    assert server.client.get("/jobs").json()["jobs"] == []
    fitting = SMALL | {"prompt": "a {red|blue} house", "axes": [axis("steps", 1, 2)]}
    plan = server.client.post("/grids/plan", json=fitting).json()
    assert (plan["columns"], plan["rows"], plan["fits"]) == (["red", "blue"], ["steps 1", "steps 2"], True)
    assert (plan["message"], plan["seconds"]) == (None, None)  # nothing is known of this size yet
    drawn(server, fitting)
    assert server.client.post("/grids/plan", json=fitting).json()["seconds"] > 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "a fox"}, "axes"),
        ({"prompt": "a fox", "axes": [{"name": "seed", "values": [-1]}]}, "axes.seed"),
        ({"prompt": "a fox", "axes": [{"name": "seed", "values": []}]}, "axes.0.values"),
        ({"prompt": "a fox", "axes": [{"name": "seed", "values": [None]}]}, "axes.0.values"),
        ({"prompt": "a fox", "axes": [{"name": "colour", "values": [1]}]}, "axes.0.name"),
        ({"prompt": "a fox", "axes": [{"name": "strength", "values": [0.5]}]}, "axes.strength"),
        ({"prompt": "a fox", "axes": [{"name": "style", "values": ["Ink"]}]}, "styles"),
        ({"prompt": "{" * 40}, "prompt"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(shared: LiveServer, body: dict[str, Any], field: str) -> None:
    for path in ("/grids/plan", "/grids"):
        response = shared.client.post(path, json=body)
        assert response.status_code == 422
        assert response.json()["error"]["field"] == field
    assert shared.client.post("/grids", json={"prompt": "a {b|c}", "model": "nothing"}).status_code in (404, 409, 422)


def test_a_cell_that_was_cancelled_is_grey_and_a_group_that_is_none_is_not_found(
    serve: Callable[..., LiveServer], gate: Any
) -> None:
    server = serve()
    response = server.client.post("/grids", json=SMALL | {"prompt": "{red|hold} house", "seed": 9})
    first, second = response.json()["jobs"]
    server.finished(first["id"])
    server.running(second["id"])
    server.client.delete("/jobs", params={"group": first["group"]})
    eventually(lambda: server.job(second["id"])["status"] == "cancelled")
    sheet = server.client.get(f"/grids/{first['group']}.png", params={"download": True})
    assert "bonsai-grid-" in sheet.headers["content-disposition"]
    grey = (pixels(sheet.content) == np.array([0xE4] * 3)).all(-1).sum()
    assert int(grey) == 64 * 64
    assert server.client.get(f"/grids/{'0' * 32}.png").status_code == 404
    gate.unlink()


def test_a_large_grid_is_made_smaller_for_its_sheet(shared: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.gallery.sheets._MOST_PIXELS", 2 * 32 * 32)
    jobs = drawn(shared, {"prompt": "a {red|blue} house", "seed": 40})
    sheet = pixels(shared.client.get(f"/grids/{jobs[0]['group']}.png").content)
    assert sheet.shape[1] < 2 * 64


def test_a_picture_of_the_gallery_is_changed_in_every_cell(shared: LiveServer) -> None:
    source = drawn(shared, {"prompt": "a fox", "axes": [axis("seed", 1)]})[0]["image_id"]
    body = {"prompt": "a bear", "init": source, "axes": [axis("strength", 0.4, 0.8)]}
    plan = shared.client.post("/grids/plan", json=SMALL | body).raise_for_status().json()
    assert (plan["count"], plan["columns"]) == (2, ["strength 0.4", "strength 0.8"])
    jobs = drawn(shared, body)
    assert [job["request"]["strength"] for job in jobs] == [0.4, 0.8]
    assert {len(job["request"]["init"]) for job in jobs} == {64}  # an input by now
    unknown = shared.client.post("/grids", json=SMALL | body | {"init": "0" * 32})
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (422, "init")


def test_the_rest_of_a_grid_is_drawn_in_the_same_grid(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    body = {"prompt": "hold {red|blue}", "axes": [axis("seed", 3, 4)], **SMALL}
    jobs = live.client.post("/grids", json=body).json()["jobs"]
    group = jobs[0]["group"]
    live.running(jobs[0]["id"])
    live.client.delete("/jobs", params={"group": group}).raise_for_status()
    for job in jobs:
        live.finished(job["id"])
    gate.unlink()  # what was held could be drawn to its end before it hears that it is cancelled
    lost = [jobs[3]["id"], jobs[1]["id"], jobs[3]["id"]]
    answer = live.client.post("/jobs/again", json={"jobs": lost})
    assert answer.status_code == 202, answer.text
    again = [live.finished(job["id"]) for job in answer.json()["jobs"]]
    assert answer.json()["group"] == group
    told = ("group", "group_kind", "cell", "request", "model")
    assert [{name: job[name] for name in told} for job in again] == [
        {name: jobs[place][name] for name in told} for place in (3, 1)
    ]
    assert live.client.get(f"/images/{again[0]['image_id']}").json()["cell"] == jobs[3]["cell"]
    sheet = pixels(live.client.get(f"/grids/{group}.png").content)
    for job in again:
        cell = pixels(live.client.get(f"/images/{job['image_id']}.png").content)
        assert int((sheet == cell[0, 0]).all(-1).sum()) == 64 * 64


def test_what_cannot_be_drawn_again(shared: LiveServer) -> None:
    done = shared.finished(shared.post_job("a fox", **SMALL)["id"])["id"]
    failed = [shared.finished(shared.post_job("raise", **SMALL | {"steps": 2})["id"])["id"] for _ in range(2)]
    for jobs, status, words in (
        ([done], 409, "nothing to be drawn again"),
        (failed, 422, "not of one request"),
        (["0" * 32], 404, "no such job"),
        ([], 422, ""),
    ):
        answer = shared.client.post("/jobs/again", json={"jobs": jobs})
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]["message"]
    answer = shared.client.post("/jobs/again", json={"jobs": failed[:1]})
    assert answer.status_code == 202, answer.text
    [again] = answer.json()["jobs"]
    assert (again["group"], again["prompt"]) == (None, "raise")
    run = {"steps": [{"operation": "draw", "prompt": "raise", **SMALL | {"steps": 2}}]}
    group = shared.client.post("/pipelines/run", json={"pipeline": run}).json()["group"]
    [step] = shared.client.get(f"/pipelines/runs/{group}").json()["jobs"]
    shared.finished(step)
    answer = shared.client.post("/jobs/again", json={"jobs": [step]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
