"""Jobs end and the queue goes on, whatever fails below them: a full or damaged index, an error nobody thought of."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from server.events import EventHub
from server.store import Store
from tests.server.conftest import EventStream, LiveServer, eventually

pytestmark = pytest.mark.slow

Serve = Callable[..., LiveServer]


def test_a_full_disk_under_the_index(serve: Serve) -> None:
    """The index cannot grow any more: clear words, the server lives, and it recovers with the space."""
    live = serve()
    live.finished(live.post_job("plain")["id"])
    store = live.studio.store

    def limit(pages: int) -> None:
        loop = live.studio._tasks[0].get_loop()
        asyncio.run_coroutine_threadsafe(_execute(store, f"PRAGMA max_page_count = {pages}"), loop).result(5)

    limit(1)  # no more than there are
    full = None
    for _ in range(200):
        answer = live.client.post(
            "/jobs", json={"prompt": "plain " + "x" * 20_000, "steps": 1, "width": 64, "height": 64}
        )
        if answer.status_code == 507:
            full = answer.json()["error"]
            break
        live.finished(answer.json()["jobs"][0]["id"])
    assert full is not None
    assert full["code"] == "disk_full"
    assert live.client.get("/health").status_code == 200
    limit(1_000_000)
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


def test_a_job_that_cannot_be_noted_ends_all_the_same(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = Store.execute

    def full(self: Store, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith(("UPDATE jobs", "INSERT OR REPLACE INTO images")):
            raise sqlite3.OperationalError("database or disk is full")
        return execute(self, sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "execute", full)
        with live.client.stream("GET", "/events") as stream:
            events = EventStream(stream)
            next(events)
            job = live.post_job("plain")
            ended = next(e["data"] for e in events if e["event"] == "job" and e["data"]["finished_at"])
        asked = live.client.post("/generate", json={"prompt": "plain"})
        assert (live.job(job["id"])["status"], live.client.get("/jobs").json()["jobs"][1]) == ("failed", ended)
    assert (ended["id"], ended["status"], ended["error"]["code"]) == (job["id"], "failed", "disk_full")
    assert (asked.status_code, asked.json()["error"]["code"]) == (507, "disk_full")
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"
    listed = live.client.get("/jobs", params={"status": "failed"}).json()["jobs"]
    assert [found["id"] for found in listed] == [listed[0]["id"], job["id"]], "noted as soon as there is room"


def test_a_damaged_index_stops_no_queue(gate: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is answered, and whoever asks is told what to do."""

    def damaged(*_arguments: Any) -> Any:
        raise sqlite3.DatabaseError("database disk image is malformed")

    live = serve()
    held = live.post_job("hold")["id"]
    live.running(held)
    with ThreadPoolExecutor() as pool, monkeypatch.context() as patch:
        waiting = pool.submit(live.client.post, "/generate", json={"prompt": "plain"})
        eventually(lambda: live.client.get("/jobs").json()["queue"]["waiting"])
        patch.setattr(Store, "execute", damaged)
        patch.setattr(Store, "execute_many", damaged)
        patch.setattr(Store, "_read", damaged)
        gate.unlink()
        answer = waiting.result(60)
        refused = live.client.post("/jobs", json={"prompt": "plain"})
        failed = live.job(held)["error"]
    assert refused.status_code == 500
    assert refused.json()["error"]["message"] == "The gallery's index is damaged."
    assert failed["message"] == "The picture is saved. The gallery's index is damaged."
    assert failed["remedy"] == refused.json()["error"]["remedy"]
    assert answer.json()["error"] == refused.json()["error"] | {"message": failed["message"]}
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


@pytest.mark.parametrize(("untold", "answer"), [({"done"}, 200), ({"running", "failed"}, 500)])
def test_an_end_that_cannot_be_told_is_an_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, untold: set[str], answer: int
) -> None:
    live = serve()
    publish = EventHub.publish

    def broken(self: EventHub, event: str, data: Any, **options: Any) -> None:
        if event == "job" and data["status"] in untold:
            raise RuntimeError("nobody thought of it")
        publish(self, event, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(EventHub, "publish", broken)
        assert live.client.post("/generate", json={"prompt": "plain"}).status_code == answer
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


def test_an_engine_error_nobody_thought_of(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("server.jobs.runner.image_of", lambda *_: 1 / 0)
        failed = live.finished(live.post_job("plain")["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "failed")
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


async def _execute(store: Store, sql: str) -> None:
    store.execute(sql)
