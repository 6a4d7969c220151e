"""What the queue refuses, what it tells those who follow a job, and what it finds again after a start."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.jobs.records import JobRecords
from server.store import NAME, Store
from tests.server.conftest import LiveServer

Serve = Callable[..., LiveServer]


def refused(live: LiveServer) -> tuple[int, str]:
    answer = live.client.post("/jobs", json={"prompt": "a fox", "steps": 1, "width": 64, "height": 64})
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.slow
def test_nothing_is_taken_that_cannot_be_drawn_or_noted(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = live.studio.jobs
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_closing", True)
        assert refused(live) == (503, "shutting_down")
    many = {str(number): SimpleNamespace() for number in range(live.studio.settings.queue_size + 1)}
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_unnoted", many)
        assert refused(live) == (507, "disk_full")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "log_bytes", property(lambda _: 33 << 20))
        assert refused(live) == (429, "queue_full")
    assert live.finished(live.post_job("a fox")["id"])["status"] == "done", "and all is well again"


@pytest.mark.slow
def test_who_follows_a_job_hears_of_its_pictures(live: LiveServer) -> None:
    body = {"prompt": "a fox", "size": "64x64", "stream": True, "partial_images": 1, "response_format": "b64_json"}
    with live.client.stream("POST", "/v1/images/generations", json=body) as answer:
        kinds = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    assert kinds[-1] == "image_generation.completed"


def rewrite(folder: Path, job_id: str, *, keep_image: bool) -> None:
    """As if the server had been killed after it saved the picture and before it noted that."""
    with closing(sqlite3.connect(folder / NAME)) as index, index:
        (data,) = index.execute("SELECT data FROM jobs WHERE id = ?", (job_id,)).fetchone()
        job = json.loads(data) | {"status": "running", "image_ids": [], "finished_at": None}
        index.execute("UPDATE jobs SET status = 'running', data = ? WHERE id = ?", (json.dumps(job), job_id))
        if not keep_image:
            index.execute("DELETE FROM images WHERE id = ?", (job_id,))


@pytest.mark.slow
def test_a_picture_that_was_saved_and_not_noted_is_found_again(serve: Serve, tmp_path: Path) -> None:
    first = serve()
    ids = [first.finished(first.post_job("a fox")["id"])["id"] for _ in range(2)]
    first.__exit__()
    rewrite(tmp_path / "out", ids[0], keep_image=False)
    rewrite(tmp_path / "out", ids[1], keep_image=True)
    next((tmp_path / "out").rglob(f"{ids[1]}.png")).unlink()
    with closing(Store(tmp_path / "out")) as store:
        assert {job.id for job, _ in JobRecords(store).unfinished()} == set(ids)
    again = serve()
    found = [again.finished(job_id) for job_id in ids]
    assert [job["interruptions"] for job in found] == [0, 1], "the second one's picture is gone, and drawn again"
    for job_id, job in zip(ids, found, strict=True):
        assert (job["status"], job["image_ids"]) == ("done", [job_id])
        assert again.client.get(f"/images/{job_id}").json()["prompt"] == "a fox"


@pytest.mark.slow
def test_a_job_that_a_caller_waited_for_does_not_return(serve: Serve, gate: Path, tmp_path: Path) -> None:
    first = serve()
    first.post_job("hold")
    waiting = first.post_job("next")["id"]
    first.__exit__()
    with closing(sqlite3.connect(tmp_path / "out" / NAME)) as index, index:
        index.execute("UPDATE jobs SET attached = 1, status = 'queued' WHERE id = ?", (waiting,))
        (data,) = index.execute("SELECT data FROM jobs WHERE id = ?", (waiting,)).fetchone()
        queued = json.dumps(json.loads(data) | {"status": "queued", "finished_at": None, "error": None})
        index.execute("UPDATE jobs SET data = ? WHERE id = ?", (queued, waiting))
    gate.unlink()
    assert serve().client.get(f"/jobs/{waiting}").json()["error"]["code"] == "interrupted"
