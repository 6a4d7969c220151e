"""The queue over the interface: order, cancelling, previews, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bonsai_mlx.request import ResolvedDraw
from server.errors import ApiError
from server.jobs.active import Work
from tests.server.conftest import NATIVE, LiveServer, eventually

pytestmark = pytest.mark.slow

ID = "f" * 32
Serve = Callable[..., LiveServer]


def test_a_job_from_request_to_image(live: LiveServer) -> None:
    job = live.post_job("a fox", seed=5, steps=3.0, width=64, height=96)
    assert (job["status"], job["model"], job["seed"], job["steps_total"]) == ("queued", "seedling-ternary", 5, 3)
    done = live.finished(job["id"])
    assert (done["status"], done["image_id"], done["progress"]) == ("done", job["id"], 1.0)
    assert done["position"] is None
    assert done["created_at"] < done["started_at"] < done["finished_at"]
    image = live.client.get(f"/images/{job['id']}").json()
    assert (image["prompt"], image["seed"], image["steps"], image["width"], image["height"]) == ("a fox", 5, 3, 64, 96)
    assert image["peak_memory_bytes"] == 123_000_000
    assert image["recipe"]["model"] == "seedling-ternary"
    assert image["recipe"]["created_at"] == image["created_at"]
    assert live.client.get(image["url"]).content.startswith(b"\x89PNG")
    assert live.client.get(image["thumbnail_url"]).headers["content-type"] == "image/webp"


def test_what_is_left_out_is_recommended_and_a_seed_is_rolled(live: LiveServer) -> None:
    first, second = live.post_job("a"), live.post_job("a")
    assert (first["width"], first["height"], first["steps"]) == (*NATIVE, 4)
    assert first["seed"] != second["seed"]


def test_a_batch_has_consecutive_seeds_and_one_group(live: LiveServer) -> None:
    created = live.client.post("/jobs", json={"prompt": "a", "seed": 10, "count": 3}).json()
    assert [job["seed"] for job in created["jobs"]] == [10, 11, 12]
    assert {(job["group"], job["group_kind"]) for job in created["jobs"]} == {(created["group"], "batch")}
    for job in created["jobs"]:
        assert live.finished(job["id"])["status"] == "done"
    grouped = live.client.get("/images", params={"group": created["group"]}).json()
    assert grouped["total"] == 3


def test_a_comparison_is_a_pair_with_one_seed(live: LiveServer) -> None:
    created = live.client.post("/jobs", json={"prompt": "a", "compare": True, "width": 64}).json()
    assert [job["model"] for job in created["jobs"]] == ["seedling-ternary", "seedling-binary"]
    assert len({(job["seed"], job["steps"], job["width"], job["height"]) for job in created["jobs"]}) == 1
    images = [live.finished(job["id"])["image_id"] for job in created["jobs"]]
    assert [live.client.get(f"/images/{i}").json()["group_kind"] for i in images] == ["compare", "compare"]


def test_what_waits_is_put_in_another_order(gate: Path, live: LiveServer) -> None:
    ids = [live.post_job(f"hold {n}")["id"] for n in range(4)]
    live.running(ids[0])
    answer = live.client.post("/queue/order", json={"jobs": [ids[3], ID, ids[0], ids[2]]}).json()
    assert [job["id"] for job in answer["jobs"]] == [ids[0], ids[3], ids[2], ids[1]]
    assert [live.job(i)["position"] for i in ids] == [0, 3, 2, 1]
    gate.unlink()
    ends = [live.finished(i)["finished_at"] for i in (ids[0], ids[3], ids[2], ids[1])]
    assert ends == sorted(ends)
    for body in ({"jobs": []}, {"jobs": ["x"]}, {}, {"jobs": [ID], "to": 1}):
        refused = live.client.post("/queue/order", json=body)
        assert refused.status_code == 422, body


def test_a_paused_queue_finishes_what_runs_and_begins_nothing(gate: Path, live: LiveServer) -> None:
    first, second = (live.post_job(f"hold {n}")["id"] for n in range(2))
    live.running(first)
    assert live.client.post("/queue/pause").json()["paused"] is True
    gate.unlink()
    assert live.finished(first)["status"] == "done"
    assert live.client.get("/jobs").json()["queue"] == {"running": 0, "waiting": 1, "limit": 32, "paused": True}
    assert live.job(second)["status"] == "queued"
    assert live.client.post("/queue/resume").json()["paused"] is False
    assert live.finished(second)["status"] == "done"


def test_everything_can_be_cancelled_at_once(gate: Path, live: LiveServer) -> None:
    ids = [live.post_job(f"hold {n}")["id"] for n in range(3)]
    live.running(ids[0])
    live.client.post("/queue/pause")
    cancelled = live.client.delete("/jobs").json()["jobs"]
    assert sorted(job["id"] for job in cancelled) == sorted(ids)
    assert [live.finished(i)["status"] for i in ids] == ["cancelled"] * 3
    assert live.client.delete("/jobs").json()["jobs"] == []
    live.client.post("/queue/resume")


def test_what_follows_a_job_goes_before_all_that_wait_and_nothing_follows_after_the_end(
    gate: Path, live: LiveServer
) -> None:
    ids = [live.post_job(f"hold {n}")["id"] for n in range(2)]
    live.running(ids[0])
    jobs, work = live.studio.jobs, Work("seedling-ternary", ResolvedDraw("plain", 7, 4, 64, 64))

    async def follow() -> str:
        return jobs.go_on(work, "a" * 32, "pipeline").id

    loop = next(iter(live.studio._tasks)).get_loop()
    follower = asyncio.run_coroutine_threadsafe(follow(), loop).result()
    assert [live.job(i)["position"] for i in (ids[0], follower, ids[1])] == [0, 1, 2]
    jobs._closing = True
    with pytest.raises(ApiError, match="shutting down"):
        asyncio.run_coroutine_threadsafe(follow(), loop).result()
    jobs._closing = False


def test_positions_and_phases_of_a_held_queue(gate: Path, live: LiveServer) -> None:
    ids = [live.post_job(f"hold {n}")["id"] for n in range(3)]
    live.running(ids[0])
    assert [live.job(i)["position"] for i in ids] == [0, 1, 2]
    listed = live.client.get("/jobs").json()
    assert listed["queue"] == {"running": 1, "waiting": 2, "limit": 32, "paused": False}
    assert [job["id"] for job in listed["jobs"]] == ids[::-1]
    assert [j["id"] for j in live.client.get("/jobs", params={"status": "running"}).json()["jobs"]] == ids[:1]
    assert live.client.delete(f"/jobs/{ids[1]}").json()["status"] == "cancelled"
    assert live.job(ids[2])["position"] == 1
    assert live.client.get("/memory").json()["worker"] == "busy"
    gate.unlink()
    assert live.finished(ids[0])["status"] == "done"
    assert live.finished(ids[2])["status"] == "done"


def test_previews_can_be_fetched_and_turned_off(gate: Path, live: LiveServer) -> None:
    job = live.post_job("hold")
    assert live.client.get(f"/jobs/{ID}/preview").status_code == 404
    eventually(lambda: live.job(job["id"])["preview_seq"] > 1)
    assert live.client.get(f"/jobs/{job['id']}/preview").content.startswith(b"\x89PNG")
    gate.unlink()
    live.finished(job["id"])
    assert live.client.get(f"/jobs/{job['id']}/preview").status_code == 200
    live.client.patch("/settings", json={"preview": False})
    assert live.finished(live.post_job("plain")["id"])["preview_seq"] == 0


def test_cancelling_a_running_job(gate: Path, live: LiveServer) -> None:
    job = live.post_job("hold", steps=50)
    live.running(job["id"])
    assert live.client.delete(f"/jobs/{job['id']}").status_code == 200
    assert live.finished(job["id"])["status"] == "cancelled"
    again = live.client.delete(f"/jobs/{job['id']}")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


def test_cancelling_a_group(gate: Path, live: LiveServer) -> None:
    created = live.client.post("/jobs", json={"prompt": "hold", "count": 4}).json()
    live.running(created["jobs"][0]["id"])
    cancelled = live.client.delete("/jobs", params={"group": created["group"]}).json()["jobs"]
    assert len(cancelled) == 4
    assert {live.finished(job["id"])["status"] for job in created["jobs"]} == {"cancelled"}
    assert live.client.delete("/jobs", params={"group": created["group"]}).json() == {"jobs": []}
    assert live.client.delete("/jobs", params={"group": ID}).status_code == 404


def test_what_has_just_ended_is_no_obstacle_to_cancelling_the_others(gate: Path, live: LiveServer) -> None:
    """It is still the one that runs until the engine is done with it."""
    created = live.client.post("/jobs", json={"prompt": "hold", "count": 3}).json()
    first, *others = [job["id"] for job in created["jobs"]]
    live.running(first)
    for path, cancelled in ((f"/jobs?group={created['group']}", others), ("/jobs", [])):
        live.studio.jobs._running.finished.set()  # type: ignore[union-attr]
        answer = live.client.delete(path)
        assert sorted(job["id"] for job in answer.json()["jobs"]) == sorted(cancelled), path
    live.studio.jobs._running.finished.clear()  # type: ignore[union-attr]
    assert live.client.delete(f"/jobs/{first}").status_code == 200
    assert live.finished(first)["status"] == "cancelled"


def test_unknown_jobs(live: LiveServer) -> None:
    assert live.client.get(f"/jobs/{ID}").json()["error"]["code"] == "not_found"
    assert live.client.delete(f"/jobs/{ID}").status_code == 404
    assert live.client.get("/jobs/../etc").status_code in (404, 405)
    assert live.client.get("/jobs/short").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "   "}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "7"}, "seed"),
        ({"seed": True}, "seed"),
        ({"compare": 1}, "compare"),
        ({"steps": 0}, "steps"),
        ({"steps": 101}, "steps"),
        ({"width": 100}, "width"),
        ({"width": 48}, "width"),
        ({"height": 4096}, "height"),
        ({"model": "gpt"}, "model"),
        ({"model": ""}, "model"),
        ({"count": 0}, "count"),
        ({"count": 9}, "count"),
        ({"url": "http://evil.example"}, "url"),
        ({"count": 2, "compare": True}, "count"),
    ],
)
def test_bad_fields_are_named(shared: LiveServer, fields: dict[str, Any], field: str) -> None:
    response = shared.client.post("/jobs", json={"prompt": "fine", **fields})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["field"]) == ("bad_field", field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"prompt": 1e999}', b"[" * 5_000])
def test_bad_bodies_are_refused(shared: LiveServer, body: bytes) -> None:
    response = shared.client.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.json()["error"]["message"]
    form = shared.client.post("/jobs", content=b'{"prompt": "a"}', headers={"Content-Type": "text/plain"})
    assert form.status_code in (415, 422)


def test_a_missing_model_says_how_to_get_it(shared: LiveServer) -> None:
    response = shared.client.post("/jobs", json={"prompt": "a", "model": "bonsai-ternary-mlx"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "model_missing"
    assert response.json()["error"]["remedy"].startswith("bonsai-mlx download ternary")


def test_time_left_is_learned(gate: Path, live: LiveServer) -> None:
    assert live.finished(live.post_job("plain", steps=4)["id"])["status"] == "done"
    running, waiting = live.post_job("hold", steps=4)["id"], live.post_job("plain", steps=4)["id"]
    live.running(running)
    assert live.job(running)["eta_s"] is not None
    assert live.job(waiting)["eta_s"] >= live.job(running)["eta_s"]
    seconds = {(fit["width"], fit["height"]): fit["seconds"] for fit in live.client.get("/sizes").json()["sizes"]}
    assert seconds[NATIVE] is not None


def test_an_idle_engine_is_unloaded(serve: Serve) -> None:
    live = serve(keep_alive=0.005)
    live.finished(live.post_job("plain")["id"])
    eventually(lambda: live.client.get("/health").json()["worker"] == "stopped")
    assert live.studio.engines.pids == []


def test_unloading_by_hand(gate: Path, live: LiveServer) -> None:
    job = live.post_job("hold")
    live.running(job["id"])
    assert live.client.post("/unload").status_code == 409
    gate.unlink()
    live.finished(job["id"])
    eventually(lambda: live.client.get("/memory").json()["worker"] == "idle")
    memory = live.client.post("/unload").json()
    assert (memory["worker"], memory["mlx_active_bytes"], memory["model"]) == ("stopped", 0, None)
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


def test_nothing_is_leaked_by_many_jobs(live: LiveServer) -> None:
    process = psutil.Process()
    for seed in range(3):
        live.finished(live.post_job("plain", seed=seed, steps=1, width=64, height=64)["id"])
    before = (process.num_fds(), process.num_threads())
    for _ in range(3):
        jobs = live.client.post("/jobs", json={"prompt": "plain", "count": 8, "steps": 1, "width": 64}).json()["jobs"]
        for job in jobs:
            assert live.finished(job["id"])["status"] == "done"
    after = (process.num_fds(), process.num_threads())
    assert after[0] - before[0] <= 2
    assert after[1] - before[1] <= 2


def test_what_needs_no_model_goes_ahead_of_what_is_to_be_drawn(gate: Path, live: LiveServer) -> None:
    """An exact enlargement takes a second: it waits for the running picture and its own kind alone."""
    source = live.client.post("/generate", json={"prompt": "a", "width": 64, "height": 64}).headers["x-image-id"]
    running = live.post_job("hold")
    eventually(lambda: live.job(running["id"])["status"] == "running")
    drawings = [live.post_job(f"drawing {i}") for i in range(2)]
    refined = live.client.post("/jobs/enlarge", json={"source": source, "method": "refine"}).json()["jobs"][0]
    exact = [live.client.post("/jobs/enlarge", json={"source": source, "by": by}).json()["jobs"][0] for by in (2, 4)]
    waiting = [job["id"] for job in live.client.get("/jobs").json()["jobs"] if job["status"] == "queued"]
    places = {job_id: live.job(job_id)["position"] for job_id in waiting}
    assert [places[job["id"]] for job in (*exact, *drawings, refined)] == [1, 2, 3, 4, 5]
    gate.unlink()
    assert all(live.finished(job_id)["status"] == "done" for job_id in waiting)
