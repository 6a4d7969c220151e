"""The prompt writer over the native interface: streamed, stopped, given back, and as a step of a pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.settings import Settings
from tests.server.conftest import QUICK, EventStream, LiveServer, eventually
from tests.server.test_pipelines import LARGE, SIZE, ended, picture, ran
from tests.server.writing_engine import FOLDER
from tests.writing.writers import saved_writer

pytestmark = pytest.mark.slow

WRITE: dict[str, Any] = {"operation": "write", "prompt": "{prompt}", "seed": 7}
DRAW: dict[str, Any] = {"operation": "draw", "prompt": "{prompt}, at night", "seed": 3, **SIZE}


def events(live: LiveServer, **body: Any) -> list[dict[str, Any]]:
    with live.client.stream("POST", "/write", json={"prompt": "a red fox"} | body) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(EventStream(response))


def proposals(live: LiveServer, **body: Any) -> list[dict[str, Any]]:
    headers = {"accept": "application/json"}
    answer = live.client.post("/write", json={"prompt": "a red fox"} | body, headers=headers).raise_for_status().json()
    found: list[dict[str, Any]] = answer["proposals"]
    return found


def test_proposals_are_streamed_word_by_word(shared: LiveServer) -> None:
    told = events(shared, prompt="two lost foxes", seed=7, count=2)
    words = [one["data"] for one in told if one["event"] == "word"]
    assert [one["text"] for one in words] == ["two ", "foxes "] * 2
    assert [one["proposal"] for one in words] == [0, 0, 1, 1]
    wholes = [one["data"] for one in told if one["event"] == "proposal"]
    assert wholes[1] == {
        "proposal": 1,
        "text": "two foxes 8",
        "seed": 8,
        "missing": ["lost"],
        "note": "Left out: lost.",
    }
    assert told[-1]["event"] == "done"
    assert proposals(shared, prompt="two lost foxes", seed=7, count=2) == wholes
    assert len(proposals(shared)) == 3


FAULTS: list[tuple[dict[str, Any], int, str | None]] = [
    ({"prompt": " "}, 422, "prompt"),
    ({"prompt": "x" * 2_001}, 422, "prompt"),
    ({"count": 9}, 422, "count"),
    ({"count": 0}, 422, "count"),
    ({"seed": -1}, 422, "seed"),
    ({"model": "nobody"}, 422, "model"),
    ({"language": "en"}, 422, "language"),
    ({"prompt": "nowriter"}, 409, None),
    ({"prompt": "oom"}, 507, None),
    ({"prompt": "raise"}, 500, None),
]


def test_what_cannot_be_written(shared: LiveServer) -> None:
    for body, status, field in FAULTS:
        for accept in ("application/json", "text/event-stream"):
            answer = shared.client.post("/write", json={"prompt": "a fox"} | body, headers={"accept": accept})
            if answer.status_code == 200:
                assert accept == "text/event-stream"
                [error] = [line for line in answer.text.splitlines() if line.startswith('data: {"error"')]
                detail = json.loads(error[6:])["error"]
            else:
                assert answer.status_code == status, (body, answer.text)
                detail = answer.json()["error"]
            assert detail["field"] == field, detail
    assert proposals(shared)[0]["text"].startswith("a red fox")


def test_it_waits_for_the_picture_that_is_drawn_and_pictures_for_it(
    serve: Callable[..., LiveServer], gate: Path
) -> None:
    live = serve()
    with live.client.stream("POST", "/write", json={"prompt": "hold", "count": 1}) as response:
        assert response.status_code == 200
        job = live.post_job("a fox", **SIZE)
        cancelled = live.post_job("a fox", **SIZE)
        live.client.delete(f"/jobs/{cancelled['id']}").raise_for_status()
        assert live.job(job["id"])["status"] == "queued"
        first = live.client.delete(f"/jobs/{job['id']}").json()  # it is next, and waits for the writer
        gate.unlink()
        assert list(EventStream(response))[-1]["event"] == "done"
    assert live.finished(first["id"])["status"] == "cancelled"
    assert live.finished(live.post_job("a fox", **SIZE)["id"])["status"] == "done"


def test_a_missing_library_is_told_with_its_remedy(shared: LiveServer) -> None:
    headers = {"Accept": "application/json"}
    answer = shared.client.post("/write", json={"prompt": "nolibrary"}, headers=headers)
    detail = answer.json()["error"]
    assert (answer.status_code, detail["code"]) == (501, "not_installed")
    assert detail["message"] == "writing needs the library mlx-lm, which is not installed."
    assert detail["remedy"] == "Get it with: scripts/setup"


def test_leaving_stops_it(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    with live.client.stream("POST", "/write", json={"prompt": "hold"}) as response:
        assert response.status_code == 200
        assert live.client.get("/memory").json()["worker"] == "busy"
    eventually(lambda: live.client.get("/memory").json()["worker"] == "idle")
    assert live.finished(live.post_job("a fox", **SIZE)["id"])["status"] == "done"


def test_a_step_of_a_pipeline_writes_and_is_cancelled(serve: Callable[..., LiveServer], gate: Path) -> None:
    live = serve()
    started = live.client.post("/pipelines/run", json={"pipeline": {"steps": [WRITE, DRAW]}, "prompt": "hold"}).json()
    assert started["jobs"] == []
    eventually(lambda: live.client.get("/memory").json()["worker"] == "busy")
    live.client.delete(f"/pipelines/runs/{started['group']}").raise_for_status()
    assert ended(live, started["group"])["status"] == "cancelled"
    gate.unlink()
    run = ran(live, {"pipeline": {"steps": [WRITE, DRAW, LARGE]}, "prompt": "two foxes"})
    assert (run["status"], run["step"], len(run["jobs"])) == ("done", 3, 2), run
    draw = live.job(run["jobs"][0])["request"]
    assert (draw["prompt"], draw["typed"]) == ("two foxes 7, at night", "two foxes")
    failed = ran(live, {"pipeline": {"steps": [WRITE, DRAW]}, "prompt": "nowriter"})
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_missing")
    for steps, field in (
        ([WRITE], "steps[0]"),
        ([WRITE, LARGE], "steps[1]"),
        ([WRITE | {"count": 2}, DRAW], "steps[0].count"),
    ):
        answer = live.client.post("/pipelines/run", json={"pipeline": {"steps": steps}, "prompt": "x"})
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The real engine, and mlx-lm with a tiny random Qwen3."""
    own = {"engine": "tests.server.writing_engine:backend", "output": tmp_path_factory.mktemp("writing")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(saved_writer(tmp_path_factory.mktemp("writer"))))
        with LiveServer(Settings(**(QUICK | own | {"heartbeat_kill_s": 60.0}))) as server:
            server.client.timeout = 120
            yield server


def test_the_real_engine_writes_draws_and_gives_the_memory_back(writing: LiveServer) -> None:
    first = writing.client.post("/generate", json={"prompt": "a house", "seed": 3, **SIZE}).raise_for_status()
    held = eventually(lambda: (m := writing.client.get("/memory").json())["worker"] == "idle" and m["mlx_active_bytes"])
    texts = proposals(writing, seed=7, count=2)
    assert len({one["text"] for one in texts}) == 2
    assert "fox" in texts[0]["missing"]
    eventually(  # the figures that were told last may be of the moment before
        lambda: (
            (after := writing.client.get("/memory").json())["worker"] == "idle"
            and after["mlx_active_bytes"] <= held + 100_000
            and after["mlx_cache_bytes"] <= 10_000_000
        )
    )
    again = writing.client.post("/generate", json={"prompt": "a house", "seed": 3, **SIZE}).raise_for_status()
    before, later = (picture(writing, one.headers["x-image-id"])[0] for one in (first, again))
    assert before.tobytes() == later.tobytes()
    run = ran(writing, {"pipeline": {"steps": [WRITE, DRAW, LARGE]}, "prompt": "a red fox"})
    assert run["status"] == "done", run
    made, chain = picture(writing, run["image_id"])
    assert made.size == (128, 128)
    # the same seed, the same text
    assert (chain[0]["prompt"], chain[0]["typed"]) == (f"{texts[0]['text']}, at night", "a red fox")


def test_the_real_writer_stops_when_nobody_listens(writing: LiveServer) -> None:
    with httpx.stream(
        "POST", f"{writing.url}/write", json={"prompt": "a red fox", "count": 8}, timeout=120
    ) as response:
        stream = EventStream(response)
        assert next(stream)["event"] == "word"
    seen = eventually(lambda: (m := writing.client.get("/memory").json())["worker"] == "idle" and m)
    assert seen["worker"] == "idle"
    assert len(proposals(writing, count=1)) == 1
