"""Runs of pipelines that outlive the server."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from server.store import NAME
from tests.server.conftest import EventStream, LiveServer, eventually
from tests.server.piped import DRAW, LARGE, STEPS, ended


def test_a_run_goes_on_after_the_server_was_ended(serve: Callable[..., LiveServer], gate: Path) -> None:
    """Amid its second step: what is drawn is not drawn again, the step is begun anew, and the pages are told."""
    live = serve()
    second = DRAW | {"prompt": "hold", "id": "two", "init": "sketch", "strength": 0.5, "seed": 5}
    del second["width"], second["height"]
    body = {"pipeline": {"name": "three", "steps": [DRAW, second, LARGE]}, "prompt": "a red star"}
    group = live.client.post("/pipelines/run", json=body).json()["group"]
    eventually(lambda: len(live.client.get(f"/pipelines/runs/{group}").json()["jobs"]) == 2)
    before = live.client.get(f"/pipelines/runs/{group}").json()
    live.running(before["jobs"][1])
    live.__exit__()
    again = serve()
    resumed = again.client.get(f"/pipelines/runs/{group}").json()
    assert (resumed["status"], resumed["step"], resumed["name"]) == ("running", 2, "three")
    assert resumed["ways"] == ["draw", "redraw", "enlarge"]
    assert resumed["image_ids"] == before["image_ids"]
    with again.client.stream("GET", "/events") as response:
        assert [one["group"] for one in next(EventStream(response))["data"]["pipelines"]] == [group]
    gate.unlink()
    run = ended(again, group)
    assert (run["status"], run["step"], len(run["image_ids"]), len(run["jobs"])) == ("done", 3, 3, 3), run
    assert run["jobs"][0] == before["jobs"][0]
    assert run["jobs"][1] != before["jobs"][1]
    assert again.job(before["jobs"][1])["status"] == "interrupted"
    assert again.job(run["jobs"][1])["parents"] == [{"id": run["image_ids"][0], "role": "input"}]
    again.__exit__()
    assert serve().client.get(f"/pipelines/runs/{group}").json() == run


def test_a_step_that_ends_the_server_each_time_ends_its_run(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    group = live.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "prompt": "hold"}).json()["group"]
    for _ in range(3):
        live.__exit__()
        live = serve()
        assert live.client.get(f"/pipelines/runs/{group}").json()["status"] == "running"
    live.__exit__()
    run = serve().client.get(f"/pipelines/runs/{group}").json()
    assert (run["status"], run["step"]) == ("interrupted", 1)
    assert "again and again" in run["error"]["message"]


def test_what_was_cancelled_stays_so_and_rows_that_nobody_can_read_are_left_out(
    serve: Callable[..., LiveServer], gate: Path
) -> None:
    live = serve()
    first, second = (
        live.client.post("/pipelines/run", json={"pipeline": {"steps": STEPS}, "prompt": "hold"}).json()["group"]
        for _ in range(2)
    )
    live.client.delete(f"/pipelines/runs/{first}").raise_for_status()
    live.__exit__()
    with contextlib.closing(sqlite3.connect(live.settings.output / NAME)) as index:
        (data,) = index.execute("SELECT data FROM pipeline_runs WHERE id = ?", (second,)).fetchone()
        odd = json.loads(data)
        odd["steps"][0]["operation"] = "shell"
        for row in ("{", None, json.dumps(odd), data):
            index.execute(
                "INSERT INTO pipeline_runs (id, status, data) VALUES (hex(randomblob(16)), 'running', ?)",
                (row or b"\xff",),
            )
        index.execute("UPDATE pipeline_runs SET data = ? WHERE id = ?", (json.dumps(odd), second))
        index.commit()
    again = serve()
    assert ended(again, first)["status"] == "cancelled"
    assert again.client.get(f"/pipelines/runs/{second}").status_code == 404
    with contextlib.closing(sqlite3.connect(live.settings.output / NAME)) as index:
        assert index.execute("SELECT count(*) FROM pipeline_runs").fetchone() == (1,)
