"""Pipelines over the native interface: carried out, followed, cancelled, kept, made of a picture's steps."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.cli.main import main
from bonsai_mlx.images.metadata import read
from tests.server.conftest import EventStream, LiveServer, eventually
from tests.server.piped import DRAW, LARGE, REDRAW, SIZE, STEPS, ended

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONSAI_PIPELINES_DIR", str(tmp_path / "pipelines"))
    return tmp_path / "pipelines"


def ran(live: LiveServer, body: dict[str, Any]) -> dict[str, Any]:
    """The run once it has ended."""
    answer = live.client.post("/pipelines/run", json=body)
    assert answer.status_code == 202, answer.text
    return ended(live, answer.json()["group"])


def picture(live: LiveServer, image_id: str) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Its pixels, and the steps before it."""
    data = live.client.get(f"/images/{image_id}.png").raise_for_status().content
    found = read(data)
    assert found is not None
    assert found.recipe is not None
    opened = Image.open(io.BytesIO(data))
    opened.load()
    return opened, list(found.recipe.parameters.get("chain", ()))


def nearly_equal(made: Image.Image, file: Path) -> bool:
    """To a level here and there: processes with another BLAS round otherwise."""
    with Image.open(file) as other:
        far = np.abs(np.asarray(made.convert("RGB")).astype(int) - np.asarray(other.convert("RGB")))
    return int(far.max()) <= 1 and float((far > 0).mean()) < 0.001


def test_the_server_draws_what_the_command_line_draws(
    real: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file, the same words: the same picture, and the same steps in it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps({"name": "mine", "steps": STEPS}))
    assert main(["run", "mine.json", "--prompt", "a red star", "--model", "seedling", "--quiet", "-o", "cli.png"]) == 0
    run = ran(real, {"pipeline": {"name": "mine", "steps": STEPS}, "prompt": "a red star"})
    assert (run["status"], run["name"], run["step"], run["steps"]) == ("done", "mine", 3, 3), run
    made, chain = picture(real, run["image_id"])
    assert nearly_equal(made, Path("cli.png"))
    cli = read(Path("cli.png"))
    assert cli is not None
    assert cli.recipe is not None
    told = ("operation", "prompt", "id", "seed", "init", "strength")
    assert [{name: step.get(name) for name in told} for step in chain] == [
        {name: step.get(name) for name in told} for step in cli.recipe.parameters["chain"]
    ]
    other = ran(real, {"pipeline": {"steps": STEPS}, "prompt": "a red star", "seed": 8})
    assert [step["seed"] for step in picture(real, other["image_id"])[1]] == [8, 8]


def test_steps_of_a_picture_are_kept_and_run_on_other_words(real: LiveServer, tmp_path: Path) -> None:
    """Drawn, repainted by hand, enlarged, each by itself; then all of it anew."""
    first = real.client.post("/generate", json={"prompt": "a house", "seed": 3, **SIZE}).headers["x-image-id"]
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (16, 16, 40, 40))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    added = real.client.post("/inputs", params={"mask": True}, content=buffer.getvalue()).json()["id"]
    body = {"prompt": "a red star", "init": first, "mask": added, "feather_px": 4, "seed": 4, "steps": 1}
    second = real.client.post("/edit", json=body).raise_for_status().headers["x-image-id"]
    third = real.client.post("/enlarge", json={"source": second}).raise_for_status().headers["x-image-id"]
    made, chain = picture(real, third)
    assert [step["prompt"] for step in chain] == ["a house", "a red star"]
    assert list(chain[1]["pictures"]) == [added]
    assert "chain" not in real.client.get(f"/images/{third}").json()["recipe"]

    kept = real.client.post("/pipelines", json={"from": third, "name": "repaint"})
    assert kept.status_code == 201, kept.text
    assert (kept.json()["operations"], kept.json()["takes_prompt"], kept.json()["pictures"]) == (
        ["draw", "draw", "enlarge"],
        True,
        [],
    )
    assert kept.json()["steps"][0]["prompt"] == "{prompt}"
    again = ran(real, {"name": "Repaint", "prompt": "a house"})
    assert again["status"] == "done", again
    assert (np.asarray(picture(real, again["image_id"])[0]) == np.asarray(made)).all()
    other = ran(real, {"name": "repaint", "prompt": "a green tree"})
    assert [step["prompt"] for step in picture(real, other["image_id"])[1]] == ["a green tree", "a red star"]
    assert main(["run", "repaint", "--prompt", "a house", "-o", str(tmp_path / "cli.png"), "--quiet"]) == 0
    assert nearly_equal(made, tmp_path / "cli.png")


def test_pictures_of_before_have_their_steps_from_the_gallery(real: LiveServer) -> None:
    """Files whose recipes do not name the steps before: the index knows what they were made from."""
    first = real.client.post("/generate", json={"prompt": "a house", "seed": 5, **SIZE}).headers["x-image-id"]
    body = {"prompt": "a house", "init": first, "strength": 0.5, "seed": 4, "steps": 1}
    second = real.client.post("/edit", json=body).raise_for_status().headers["x-image-id"]
    whole = real.client.post("/pipelines", json={"from": second, "name": "whole"}).json()["steps"]
    path = real.settings.output / f"{second}.png"
    found = read(path)
    assert found is not None
    assert found.recipe is not None
    from dataclasses import replace

    from bonsai_mlx.images.metadata import encode_png

    parameters = {name: value for name, value in found.recipe.parameters.items() if name != "chain"}
    with Image.open(path) as opened:
        path.write_bytes(encode_png(opened.convert("RGB"), replace(found.recipe, parameters=parameters)))
    assert real.client.post("/pipelines", json={"from": second, "name": "index"}).json()["steps"] == whole
    assert len(whole) == 2


def test_every_step_is_told_as_it_comes(live: LiveServer) -> None:
    with live.client.stream("GET", "/events") as response:
        events = EventStream(response)
        hello = next(events)
        assert hello["data"]["pipelines"] == []
        group = live.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "prompt": "fox"}).json()["group"]
        told = []
        while not told or told[-1]["status"] == "running":
            event = next(events)
            if event["event"] == "pipeline":
                told.append(event["data"])
    assert [(one["step"], len(one["jobs"]), one["status"]) for one in told] == [
        (1, 1, "running"),
        (2, 2, "running"),
        (3, 3, "running"),
        (3, 3, "done"),
    ]
    jobs = [live.job(job) for job in told[-1]["jobs"]]
    assert {(job["group"], job["group_kind"], job["status"]) for job in jobs} == {(group, "pipeline", "done")}
    assert [job["request"]["operation"] for job in jobs] == ["draw", "draw", "enlarge"]
    assert jobs[1]["parents"] == [{"id": jobs[0]["image_id"], "role": "input"}]
    assert told[-1]["image_ids"] == [job["image_id"] for job in jobs]
    assert told[-1]["image_id"] == jobs[2]["image_id"]


def test_what_follows_a_step_does_not_wait_behind_others(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve(queue_size=4)
    started = live.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "prompt": "hold"}).json()
    live.running(started["jobs"][0])
    others = [live.post_job("slow", **SIZE | {"steps": 20})["id"] for _ in range(4)]
    assert live.client.post("/jobs", json={"prompt": "a fox"}).status_code == 429
    gate.unlink()
    run = ended(live, started["group"])
    assert run["status"] == "done"
    assert "queued" in [live.job(other)["status"] for other in others]  # one may begin between two steps


def test_a_pipeline_is_cancelled_and_a_step_that_fails_ends_it(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    started = live.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "prompt": "hold"}).json()
    live.running(started["jobs"][0])
    assert live.client.delete(f"/pipelines/runs/{started['group']}").status_code == 200
    run = ended(live, started["group"])
    assert (run["status"], run["step"], run["image_ids"]) == ("cancelled", 1, [])
    again = live.client.delete(f"/pipelines/runs/{started['group']}")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    second = DRAW | {"prompt": "raise", "id": "two", "steps": 2}
    run = ran(live, {"pipeline": {"steps": [DRAW, second, LARGE]}, "prompt": "a fox"})
    assert (run["status"], run["step"], len(run["image_ids"])) == ("failed", 2, 1)
    assert "log has the details" in run["error"]["message"]
    assert live.client.get(f"/pipelines/runs/{'0' * 32}").status_code == 404


FAULTS: list[tuple[Any, str, str]] = [
    ({"steps": []}, "steps", "no list of 1 to 16 steps"),
    ({"steps": [DRAW | {"operation": "shell"}]}, "steps[0].operation", "'shell' is not known"),
    ({"steps": [DRAW, REDRAW | {"init": "nobody"}]}, "steps[1]", "no earlier step and no picture 'nobody'"),
    ({"steps": [DRAW, REDRAW | {"init": "f" * 64}]}, "steps[1]", "no earlier step"),
    ({"steps": [DRAW, LARGE | {"by": 3}]}, "steps[1].by", ""),
    ({"steps": [DRAW | {"width": 100}]}, "steps[0].width", "multiple of 16"),
    ({"steps": [DRAW | {"model": "nobody"}]}, "steps[0].model", ""),
    (
        {"steps": [DRAW, LARGE | {"method": "learned", "upscaler": "x.safetensors"}]},
        "steps[1].upscaler",
        "no such file",
    ),
    ({"steps": [DRAW | {"styles": ["Nothing"]}]}, "steps[0].styles", "no style called"),
    ({"steps": [DRAW | {"pictures": {"a": "AAAA"}}]}, "steps[0].pictures", "cannot be used"),
    ({"steps": [DRAW], "code": "x"}, "code", "no field"),
    ({}, "pipeline.steps", "missing"),
    (7, "pipeline", ""),
]


def test_what_cannot_be_run_names_the_step(shared: LiveServer) -> None:
    jobs = len(shared.client.get("/jobs?limit=200").json()["jobs"])
    for pipeline, field, words in FAULTS:
        answer = shared.client.post("/pipelines/run", json={"pipeline": pipeline, "prompt": "a fox"})
        detail = answer.json()["error"]
        assert answer.status_code == 422, (pipeline, answer.text)
        assert field in detail["field"], (pipeline, detail)
        assert words in detail["message"], (pipeline, detail)
    both = shared.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "name": "x", "prompt": "x"})
    assert (both.status_code, both.json()["error"]["field"]) == (422, "pipeline")
    wordless = shared.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}})
    assert (wordless.status_code, wordless.json()["error"]["field"]) == (422, "prompt")
    assert shared.client.post("/pipelines/run", json={"name": "nobody", "prompt": "x"}).status_code == 404
    large = {"steps": [DRAW | {"prompt": "x" * 30_000, "id": str(place)} for place in range(16)]}
    assert shared.client.post("/pipelines/run", json={"pipeline": large}).status_code == 413
    assert len(shared.client.get("/jobs?limit=200").json()["jobs"]) == jobs


def test_pipelines_are_kept_shown_changed_and_deleted(shared: LiveServer, folder: Path) -> None:
    assert shared.client.get("/pipelines").json() == {"pipelines": [], "problems": []}
    put = shared.client.put("/pipelines/my sketch", json={"steps": STEPS})
    assert put.status_code == 200, put.text
    shown = shared.client.get("/pipelines/My Sketch").json()
    assert shown == put.json()
    assert (shown["name"], shown["takes_prompt"], shown["pictures"]) == ("my sketch", True, [])
    assert shown["steps"][1] == REDRAW
    assert shared.client.put("/pipelines/MY SKETCH", json={"steps": [DRAW]}).json()["name"] == "my sketch"
    (folder / "broken.json").write_text("{")
    listed = shared.client.get("/pipelines").json()
    assert [one["operations"] for one in listed["pipelines"]] == [["draw"]]
    made = {"extend": [16, 0, 0, 0], "init": "sketch"}, {"references": ["sketch"]}, {"init": "sketch", "mask": "f" * 64}
    steps = [DRAW, REDRAW, *({"operation": "draw", "prompt": "x", **one} for one in made), LARGE]
    ways = shared.client.put("/pipelines/all", json={"steps": steps}).json()["ways"]
    assert ways == ["draw", "redraw", "extend", "change", "repaint", "enlarge"]
    shared.client.delete("/pipelines/all").raise_for_status()
    assert [one["name"] for one in listed["problems"]] == ["broken"]
    assert shared.client.get("/pipelines/broken").status_code == 500
    for name in ("my sketch", "broken"):
        assert shared.client.delete(f"/pipelines/{name}").status_code == 204
        assert shared.client.delete(f"/pipelines/{name}").status_code == 404
    for name, body, field in (
        ("a:b", {"steps": STEPS}, "name"),
        ("a", {"steps": STEPS, "name": "b"}, "name"),
        ("a", {"steps": [DRAW | {"operation": "x"}]}, "steps[0].operation"),
        ("a", {"steps": STEPS, "more": 1}, "more"),
        ("a", {}, "steps"),
    ):
        answer = shared.client.put(f"/pipelines/{name}", json=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text


def test_pictures_that_say_nothing_make_no_pipeline(shared: LiveServer) -> None:
    drawn = shared.client.post("/generate", json={"prompt": "a fox", **SIZE}).headers["x-image-id"]
    assert shared.client.post("/pipelines", json={"from": drawn, "name": "one"}).status_code == 201
    taken = shared.client.post("/pipelines", json={"from": drawn, "name": "ONE"})
    assert (taken.status_code, taken.json()["error"]["field"]) == (409, "name")
    for body, status, field in (
        ({"from": "0" * 32, "name": "two"}, 404, None),
        ({"from": "x", "name": "two"}, 422, "from"),
        ({"from": drawn, "name": "../two"}, 422, "name"),
        ({"from": drawn}, 422, "name"),
    ):
        answer = shared.client.post("/pipelines", json=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field), answer.text
    Image.new("RGB", (64, 64)).save(shared.settings.output / "photo.png")
    other = eventually(
        lambda: [one for one in shared.client.get("/images").json()["images"] if one["name"] == "photo.png"]
    )
    nothing = shared.client.post("/pipelines", json={"from": other[0]["id"], "name": "two"})
    assert (nothing.status_code, nothing.json()["error"]["field"]) == (422, "from")
