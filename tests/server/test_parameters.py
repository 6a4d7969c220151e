"""The parameters of a request in the interface: each is written once, in bonsai_mlx/request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest

from bonsai_mlx.bounds import Choice, Part, PictureDigest, Several, Whole, Words
from bonsai_mlx.request import Draw, ResolvedDraw, as_json, parameters
from server.parameters import JobRequest, annotation, body_fields, draw_of
from server.schemas.jobs import Job
from tests.server.conftest import ROOT

REQUEST = ResolvedDraw("a fox", 7, 4, 64, 96)
JOB = {"id": "a" * 32, "status": "queued", "model": "m", "created_at": "2026"}


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Annotated[int, Whole(2, 9)], [2, 9, 4.0], [1, 10, 4.5, "4", True, None]),
        (Annotated[int, Whole(0, 64, 16)], [0, 16, 64], [8, 80]),
        (Annotated[int, Whole(2, 9)] | None, [2, None], [1, "4", True]),
        (Annotated[str, Words(5)], ["a", " a b "], ["", "  ", "abcdef", 7, None]),
        (Annotated[str, Words(5)] | None, ["a", None], ["", "abcdef"]),
        (Annotated[float, Part()], [0.01, 1.0], [0, 1.1, "0.5", None]),
        (Annotated[float, Part(zero=True)], [0, 0.0, 1], [-0.1, 1.1, "0.5", None, float("nan")]),
        (Annotated[str, Choice(("a", "b"))], ["a", "b"], ["c", 1, None]),
        (Annotated[str, PictureDigest()], ["a" * 64, "0" * 32], ["A" * 64, "a" * 31, "../a", 1]),
        (Annotated[tuple[int, ...], Several(Whole(0, 9), 2, 2)], [[0, 9]], [[1], [1, 2, 3], [1, 10], 1]),
    ],
)
def test_a_field_takes_what_the_request_takes(hint: Any, good: list[Any], bad: list[Any]) -> None:
    field = pydantic.TypeAdapter(annotation(hint))
    assert [field.validate_python(value) for value in good] == good
    for value in bad:
        with pytest.raises(pydantic.ValidationError):
            field.validate_python(value)


def test_a_body_has_the_fields_of_a_request_with_their_defaults() -> None:
    assert list(body_fields(Draw)) == list(parameters(Draw("a fox")))
    body = JobRequest.model_validate({"prompt": "a fox", "steps": 2, "count": 3})
    assert draw_of(body) == Draw("a fox", steps=2)


def test_a_job_holds_its_request_and_says_its_parameters_beside_it() -> None:
    job = Job.model_validate(JOB | {"request": REQUEST})
    said = json.loads(job.model_dump_json())
    assert said["request"] == as_json(REQUEST)
    flat = {name: said[name] for name in ("prompt", "seed", "steps", "width", "height")}
    assert flat.items() <= said["request"].items()
    assert Job.model_validate(said) == job


def test_a_job_of_version_1_of_the_index_has_a_request_as_well() -> None:
    old = JOB | {"prompt": "a fox", "seed": 7, "steps": 4, "width": 64, "height": 96}
    assert Job.model_validate(old).request == REQUEST


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        as_json(REQUEST) | {"version": 2},
        as_json(REQUEST) | {"operation": "enlarge"},
        as_json(REQUEST) | {"steps": 0},
        as_json(REQUEST) | {"unheard": 1},
    ],
)
def test_a_request_that_is_none_makes_no_job(request_: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        Job.model_validate(JOB | {"request": request_})


_SERVER = """
import json, sqlite3, sys
from pathlib import Path
from bonsai_mlx.images.metadata import read
from server.settings import Settings
from tests.server.conftest import QUICK, LiveServer
with LiveServer(Settings(**QUICK | {"output": Path(sys.argv[1])})) as live:
    job = live.finished(live.post_job("plain", grain=30)["id"])
    left_out = live.finished(live.post_job("plain")["id"])
    index = sqlite3.connect(live.studio.store.path)
    drawn = live.client.post("/generate", json={"prompt": "plain", "grain": 20})
    print(json.dumps({
        "status": [job["status"], left_out["status"], drawn.status_code],
        "request": [job["request"]["grain"], left_out["request"]["grain"]],
        "again": live.job(job["id"])["request"]["grain"],
        "row": index.execute("SELECT json_extract(data, '$.request.grain') FROM jobs ORDER BY seq").fetchall(),
        "recipe": live.client.get(f"/images/{job['id']}").json()["recipe"]["grain"],
        "file": dict(read(drawn.content).recipe.parameters),
        "refused": live.client.post("/jobs", json={"prompt": "plain", "grain": 101}).json()["error"],
        "document": live.client.get("/openapi.json").json()["components"]["schemas"],
    }))
"""


def _add(file: Path, before: str, line: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, line + before), "utf-8")


@pytest.mark.slow
def test_a_new_parameter_is_a_field_of_the_request_and_nothing_more(tmp_path: Path) -> None:
    """In a copy of the program with one field more: bodies, document, row, engine and recipe have it."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "seedling")
    for package in ("bonsai_mlx", "server"):
        shutil.copytree(ROOT / package, copy / package, ignore=ignored, symlinks=True)
    for name in ("bonsai_mlx/seedling", "static", "templates", "tests"):
        (copy / name).symlink_to(ROOT / name)
    _add(copy / "bonsai_mlx/request/fields.py", "Margin = ", "Grain = Annotated[int, Whole(0, 100)]\n")
    draw = copy / "bonsai_mlx/request/draw.py"
    _add(draw, "    Guidance,\n", "    Grain,\n")
    _add(draw, "    guidance: Guidance | None", "    grain: Grain = 10\n")

    ran = subprocess.run(
        [sys.executable, "-P", "-c", _SERVER, str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["status"] == ["done", "done", 200]
    assert (said["request"], said["again"]) == ([30, 10], 30)
    assert said["row"] == [[30], [10], [20]]
    assert (said["recipe"], said["file"]["grain"]) == (30, 20)
    assert (said["refused"]["field"], said["refused"]["message"]) == ("grain", "grain has to be at most 100, not 101.")
    bounds = {"type": "integer", "minimum": 0, "maximum": 100, "default": 10, "title": "Grain"}
    for body in ("GenerateRequest", "CompareRequest", "JobRequest"):
        assert said["document"][body]["properties"]["grain"] == bounds
    drawing, _ = said["document"]["Job"]["properties"]["request"]["anyOf"]
    assert drawing["properties"]["grain"] == bounds
