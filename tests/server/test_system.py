"""Events over a real connection, memory figures, health, preferences, and the document of the interface."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.hub.catalog import known_names
from server.openapi import operations
from tests.server.conftest import NATIVE, EventStream, LiveServer, eventually

pytestmark = pytest.mark.slow

Serve = Callable[..., LiveServer]


def test_the_stream_tells_a_job_from_start_to_end(live: LiveServer) -> None:
    with live.client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        hello = next(EventStream(stream))
        assert hello["event"] == "hello"
        assert set(hello["data"]) == {"server_version", "jobs", "queue", "memory", "models", "pipelines"}
        job_id = live.post_job("plain")["id"]
        live.finished(job_id)
    with live.client.stream("GET", "/events", headers={"Last-Event-ID": hello["id"]}) as stream:
        events = []
        for event in EventStream(stream):
            events.append(event)
            if event["event"] == "job" and event["data"]["status"] == "done":
                break
    assert events[0]["event"] == "hello"
    jobs = [e["data"] for e in events if e["event"] == "job"]
    assert jobs[0]["status"] == "queued"
    assert jobs[-1]["image_id"] == job_id
    shares = [j["progress"] for j in jobs]
    assert shares == sorted(shares)
    kinds = [e["event"] for e in events]
    assert kinds.index("image") < len(kinds) - 1, "the image is told before its job is done"
    assert "memory" not in kinds
    ids = [int(e["id"]) for e in events[1:]]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("last", ["1", "99999999999999999", "nonsense", "-5", "²"])
def test_what_cannot_be_replayed_is_reset(shared: LiveServer, last: str) -> None:
    with shared.client.stream("GET", "/events", headers={"Last-Event-ID": last.encode()}) as stream:
        assert [e["event"] for e in islice(EventStream(stream), 2)] == ["hello", "reset"]


def twice_changed(live: LiveServer) -> None:
    collection = live.client.post("/collections", json={"name": "for a moment"}).raise_for_status().json()
    live.client.delete(f"/collections/{collection['id']}").raise_for_status()


@pytest.mark.parametrize("page", ["/", "/gallery", "/gallery/deleted", "/model-manager", "/preferences"])
def test_a_page_is_told_what_happened_since_it_was_written(shared: LiveServer, page: str) -> None:
    since = re.findall(r'data-since="(\d+)"', shared.client.get(page).text)
    twice_changed(shared)
    with shared.client.stream("GET", f"/events?since={since[0]}") as stream:
        events = [(e["event"], e.get("id")) for e in islice(EventStream(stream), 3)]
    assert [event for event, _ in events] == ["hello", "images_changed", "images_changed"]
    with shared.client.stream("GET", f"/events?since={events[1][1]}") as stream:
        assert [(e["event"], e.get("id")) for e in islice(EventStream(stream), 2)][1] == events[2]


@pytest.mark.parametrize("since", ["1", "nonsense"])
def test_a_page_that_is_too_old_begins_anew(shared: LiveServer, since: str) -> None:
    with shared.client.stream("GET", f"/events?since={since}") as stream:
        assert [e["event"] for e in islice(EventStream(stream), 2)] == ["hello", "reset"]


def test_what_a_browser_heard_last_counts_more_than_what_its_page_knew(shared: LiveServer) -> None:
    last = str(shared.studio.events.last_id)
    with shared.client.stream("GET", "/events?since=1", headers={"Last-Event-ID": last}) as stream:
        events = EventStream(stream)
        assert next(events)["event"] == "hello"
        twice_changed(shared)
        assert next(events)["event"] == "images_changed"


def test_a_reload_finds_the_running_job(gate: Path, live: LiveServer) -> None:
    job = live.post_job("hold")
    live.running(job["id"])
    with live.client.stream("GET", "/events") as stream:
        hello = next(EventStream(stream))["data"]
    assert [(j["id"], j["status"]) for j in hello["jobs"]] == [(job["id"], "running")]
    assert hello["memory"]["worker"] == "busy"
    assert [m["name"] for m in hello["models"]] == list(known_names())


def test_memory_is_told_again_and_again_while_drawing(gate: Path, live: LiveServer) -> None:
    live.running(live.post_job("hold")["id"])
    times: list[float] = []
    with live.client.stream("GET", "/events") as stream:
        for event in (e for e in EventStream(stream) if e["event"] == "memory"):
            times.append(event["data"]["t"])
            assert event["data"]["mlx_active_bytes"] == 1_000
            assert event["data"]["worker"] == "busy"
            if len(times) == 6:
                break
    assert times == sorted(set(times))


def test_listeners_are_bounded_and_leave_no_trace(serve: Serve) -> None:
    live = serve(max_listeners=2)
    with live.client.stream("GET", "/events") as one, live.client.stream("GET", "/events") as two:
        streams = [EventStream(one), EventStream(two)]  # dropping one would close its connection
        assert [next(stream)["event"] for stream in streams] == ["hello", "hello"]
        refused = live.client.get("/events")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    eventually(lambda: live.studio.events.listeners == 0)


def test_stopping_does_not_wait_for_listeners(serve: Serve) -> None:
    live = serve()
    with live.client.stream("GET", "/events") as stream:
        events = EventStream(stream)
        assert next(events)["event"] == "hello"
        live.__exit__()


def test_figures_of_an_idle_server(shared: LiveServer) -> None:
    before = time.time()
    memory = shared.client.get("/memory").json()
    assert before <= memory["t"] <= time.time()
    assert memory["system_total_bytes"] > memory["system_available_bytes"] > 0
    assert memory["server_bytes"] > 1_000_000


def test_health(shared: LiveServer) -> None:
    body = shared.client.get("/health").json()
    assert (body["status"], body["worker"]) == ("ok", "stopped")
    assert shared.client.get("/healthz").json()["version"] == body["version"]


def test_health_and_page_answer_while_drawing(gate: Path, live: LiveServer) -> None:
    live.running(live.post_job("hold")["id"])
    for path in ["/health", "/"] * 5:  # how quickly is what scripts/bench_server.py measures
        assert live.client.get(path).status_code == 200
    assert live.client.get("/memory").json()["worker"] == "busy"


def test_preferences_are_kept(serve: Serve) -> None:
    first = serve()
    assert first.client.get("/settings").json()["preview"] is True
    changed = first.client.patch("/settings", json={"preview": False, "default_model": "seedling-binary"}).json()
    assert (changed["preview"], changed["default_model"]) == (False, "seedling-binary")
    assert first.client.get("/models").json()["default"] == "seedling-binary"
    assert first.client.patch("/settings", json={"default_model": "gpt"}).status_code == 422
    assert first.client.patch("/settings", json={"token": "x"}).status_code == 422
    first.__exit__()
    second = serve()
    assert second.client.get("/settings").json() == changed
    assert second.post_job("plain")["model"] == "seedling-binary"
    assert second.client.patch("/settings", json={"default_model": None}).json()["default_model"] is None
    assert second.client.get("/models").json()["default"] == "seedling-ternary"


def test_sizes_of_the_seedling(shared: LiveServer) -> None:
    sizes = shared.client.get("/sizes", params={"model": "seedling-binary"}).json()["sizes"]
    assert NATIVE in {(s["width"], s["height"]) for s in sizes}
    assert all(s["width"] % 16 == 0 and s["height"] % 16 == 0 for s in sizes)
    assert {s["verdict"] for s in sizes} == {"fits"}
    assert shared.client.get("/sizes", params={"model": "ternary"}).json()["error"]["code"] == "model_missing"
    assert shared.client.get("/sizes", params={"model": "gpt"}).status_code == 422


def test_any_size_is_judged(shared: LiveServer) -> None:
    asked = {"model": "seedling-binary", "width": 336, "height": 64}
    fit = shared.client.get("/fit", params=asked).json()
    assert (fit["width"], fit["height"], fit["verdict"]) == (336, 64, "fits")
    assert fit["peak_bytes"] > 10**6
    for wrong in ({"width": 100}, {"height": 4096}, {"width": 0}, {"width": "wide"}, {"model": "gpt"}):
        assert shared.client.get("/fit", params=asked | wrong).status_code == 422, wrong
    missing = shared.client.get("/fit", params={"width": 64, "model": "seedling-binary"})
    assert missing.json()["error"]["field"] == "height"
    absent = shared.client.get("/fit", params=asked | {"model": "ternary"})
    assert absent.json()["error"]["code"] == "model_missing"


def test_the_document_describes_every_route(shared: LiveServer) -> None:
    document = shared.client.get("/openapi.json").json()
    rows = operations(document)
    named = {(row["method"], row["path"]) for row in rows}
    assert {("POST", "/generate"), ("GET", "/events"), ("DELETE", "/jobs/{job_id}"), ("PATCH", "/settings")} <= named
    assert all(row["summary"] for row in rows)
    generate = next(row for row in rows if row["path"] == "/generate")
    fields = {field["name"]: field for field in generate["body"]}
    assert fields["prompt"]["required"] is True
    assert fields["steps"]["type"] == "integer, 1 to 100"
    page = shared.client.get("/docs").text
    assert "/images/{image_id}/thumbnail" in page


def test_errors_never_tell_what_only_we_should_know(shared: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise RuntimeError("at 0x7f00deadbeef in /home/someone/site-packages/secret.py")

    monkeypatch.setattr(shared.studio.memory, "snapshot", fail)
    response = shared.client.get("/memory")
    assert response.status_code == 500
    assert re.search(r"under [0-9a-f]{8}\.", response.json()["error"]["message"])
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
