"""The queue after a start: what waited, what ran, what was cancelled, what was saved and never noted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.jobs.records import JobRecords
from tests.server.conftest import EventStream, LiveServer

pytestmark = pytest.mark.slow

Serve = Callable[..., LiveServer]


def running_when_killed(folder: Path, job_id: str, **changed: Any) -> None:
    """The index as a server leaves it that breaks off while the job runs."""
    with contextlib.closing(sqlite3.connect(folder / ".bonsai.sqlite3")) as index, index:
        (data,) = index.execute("SELECT data FROM jobs WHERE id = ?", (job_id,)).fetchone()
        begun = {"status": "running", "step": 2, "progress": 0.5, "started_at": "2026-01-02T03:04:05.000000Z"}
        data = json.dumps(json.loads(data) | begun | changed)
        index.execute("UPDATE jobs SET status = 'running', data = ? WHERE id = ?", (data, job_id))


def test_what_ran_and_what_waited_is_drawn_after_a_restart_in_that_order(gate: Path, serve: Serve) -> None:
    first = serve()
    first.client.post("/queue/pause")
    waiting, running = first.post_job("plain", seed=3)["id"], first.post_job("hold", seed=2)["id"]
    first.client.post("/queue/order", json={"jobs": [running]})  # the later one runs
    first.client.post("/queue/resume")
    first.running(running)
    with httpx.stream("GET", f"{first.url}/events", timeout=60) as stream:
        events = EventStream(stream)
        next(events)
        first.__exit__()
        last = [event["data"] for event in events if event["event"] == "job" and event["data"]["id"] == running][-1]
    assert (last["status"], last["progress"], last["started_at"]) == ("queued", 0, None)
    second = serve()
    second.running(running)
    assert [second.job(one)["position"] for one in (running, waiting)] == [0, 1]
    gate.unlink()
    done = [second.finished(one) for one in (running, waiting)]
    assert [(job["status"], job["seed"], job["image_ids"]) for job in done] == [
        ("done", 2, [running]),
        ("done", 3, [waiting]),
    ]
    assert done[0]["finished_at"] < done[1]["started_at"]
    assert done[0]["interruptions"] == 0, "the server was ended in order"


@pytest.mark.parametrize("killed", [False, True])
def test_an_order_that_somebody_chose_is_kept(gate: Path, serve: Serve, killed: bool) -> None:
    live = serve()
    ids = [live.post_job("hold")["id"] for _ in range(3)]
    live.running(ids[0])
    live.client.post("/queue/order", json={"jobs": [ids[2], ids[1]]})
    ids.append(live.post_job("hold")["id"])
    copy = live.settings.output / ".copy"
    with contextlib.closing(sqlite3.connect(live.settings.output / ".bonsai.sqlite3")) as index:
        index.execute("VACUUM INTO ?", (str(copy),))  # as a server leaves it that is killed now
    live.__exit__()
    if killed:
        copy.replace(live.settings.output / ".bonsai.sqlite3")
    live = serve()
    live.running(ids[0])
    assert [live.job(one)["position"] for one in (ids[0], ids[2], ids[1], ids[3])] == [0, 1, 2, 3]


def test_what_ran_at_two_breaks_in_a_row_is_not_drawn_a_third_time_by_itself(gate: Path, serve: Serve) -> None:
    live = serve()
    job, waiting = live.post_job("hold")["id"], live.post_job("plain")["id"]
    for breaks in (1, 2):
        live.running(job)
        live.__exit__()
        running_when_killed(live.settings.output, job)
        live = serve()
        assert live.job(job)["interruptions"] == breaks
    told = live.job(job)
    assert (told["status"], told["error"]["code"]) == ("interrupted", "interrupted")
    assert "broke off twice while this picture was drawn" in told["error"]["message"]
    assert told["error"]["remedy"].startswith("Draw it again")
    assert live.finished(waiting)["status"] == "done", "what it stood before"
    gate.unlink()
    again = live.client.post("/jobs/again", json={"jobs": [job]}).json()["jobs"][0]
    assert live.finished(again["id"])["status"] == "done"


def test_what_was_being_cancelled_is_not_drawn_again(gate: Path, serve: Serve) -> None:
    """Neither where the server is ended before the step is over, nor where it breaks off."""
    first = serve()
    ended, broken = first.post_job("hold")["id"], first.post_job("hold")["id"]
    first.running(ended)
    jobs = first.studio.jobs
    jobs._engines.cancel = lambda _job: None  # type: ignore[method-assign]  # an engine that does not hear
    assert first.client.delete(f"/jobs/{ended}").status_code == 200
    rows = sqlite3.connect(first.settings.output / ".bonsai.sqlite3")
    assert rows.execute("SELECT status FROM jobs WHERE id = ?", (ended,)).fetchone() == ("cancelled",)
    rows.close()
    assert first.job(ended)["status"] == "running"
    first.__exit__()
    second = serve()
    assert second.job(ended)["status"] == "cancelled"
    second.running(broken)


def test_a_cancel_works_while_the_index_takes_nothing(gate: Path, live: LiveServer, monkeypatch: Any) -> None:
    job = live.post_job("hold")["id"]
    live.running(job)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(JobRecords, "note", full)
        assert live.client.delete(f"/jobs/{job}").status_code == 200
    assert live.finished(job)["status"] == "cancelled"


@pytest.mark.parametrize("torn", [False, True])
def test_a_saved_picture_is_found_though_its_job_never_ended(serve: Serve, torn: bool) -> None:
    first = serve()
    done = first.finished(first.post_job("saved", seed=9)["id"])
    first.__exit__()
    index = sqlite3.connect(first.settings.output / ".bonsai.sqlite3")
    index.execute("DELETE FROM images")
    index.execute(
        "UPDATE jobs SET status = 'running', data = json_set(data, '$.status', 'running', '$.finished_at', NULL)"
    )
    index.commit()
    index.close()
    if torn:
        (first.settings.output / f"{done['id']}.png").write_bytes(b"half")
    second = serve()
    assert second.finished(done["id"])["interruptions"] == torn, "what is half there is drawn again"
    assert second.client.get(f"/images/{done['id']}.png").content.endswith(b"IEND\xaeB`\x82")
    assert second.client.get(f"/images/{done['id']}").json()["seed"] == 9
