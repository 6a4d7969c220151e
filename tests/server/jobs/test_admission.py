"""What the queue takes, by the numbers and over the interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.errors import ApiError
from server.jobs.admission import Allowance, Undrawn
from tests.server.conftest import PLAIN, LiveServer

Serve = Callable[..., LiveServer]


def test_so_much_at_once_and_more_every_second() -> None:
    now = 100.0
    allowance = Allowance(10, 2, clock=lambda: now)
    assert allowance.wait_s(10) == 0
    allowance.take(10)
    assert (allowance.wait_s(1), allowance.wait_s(4)) == (0.5, 2.0)
    now += 2
    assert allowance.wait_s(4) == 0
    now += 1_000
    allowance.take(1)
    assert allowance.wait_s(10) == 0.0, "full again, since nothing was asked of it meanwhile"


def test_it_never_holds_more_than_a_burst() -> None:
    now = 0.0
    allowance = Allowance(10, 2, clock=lambda: now)
    now += 1_000
    assert allowance.wait_s(10) == 0
    allowance.give_back(5)
    allowance.take(10)
    assert allowance.wait_s(1) == 0.5


def test_more_than_a_burst_is_taken_from_a_full_bucket() -> None:
    now = 0.0
    allowance = Allowance(10, 2, clock=lambda: now)
    assert allowance.wait_s(25) == 0
    allowance.take(25)
    assert allowance.wait_s(10) == 12.5


def test_what_is_drawn_does_not_count() -> None:
    undrawn = Undrawn(32)
    for _ in range(10_000):
        undrawn.take(1, 120_000)
        undrawn.drawn(120_000)


@pytest.mark.parametrize(("jobs", "size", "times"), [(8, 1_000, 33), (1, 1 << 20, 16)])
def test_what_is_given_up_counts_in_number_and_bytes(jobs: int, size: int, times: int) -> None:
    undrawn = Undrawn(32)

    def take(times: int) -> None:
        for _ in range(times):
            undrawn.take(jobs, size)

    take(times)
    with pytest.raises(ApiError) as refused:
        take(20)  # the clock runs meanwhile
    assert (refused.value.status, refused.value.detail.code) == (429, "queue_full")
    assert refused.value.detail.retry_after_s is not None


@pytest.fixture
def small(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> LiveServer:
    """A server with a short queue, and with an eighth of the bytes that may be given up at once."""
    monkeypatch.setattr("server.jobs.admission._JOBS_PER_S", 0.001)  # on a busy machine the next one comes late
    monkeypatch.setattr("server.jobs.admission._BYTES", 2 << 20)
    monkeypatch.setattr("server.jobs.admission._BYTES_PER_S", 64 << 10)
    return serve(queue_size=4)


def test_what_cannot_fit_is_refused_unless_forced(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    live = serve()
    monkeypatch.setattr("server.jobs.fits._predict", lambda *_: 10**15)
    refused = live.client.post("/jobs", json={"prompt": "a"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "does_not_fit")
    assert "1000000.00 GB" in refused.json()["error"]["message"]
    assert live.client.post("/jobs", json={"prompt": "a", "force": True}).status_code == 202


def test_a_full_disk_is_noticed_before_drawing(serve: Serve) -> None:
    live = serve(min_free_bytes=10**18)
    refused = live.client.post("/jobs", json={"prompt": "a"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_full")


async def _flood(url: str, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30, verify=PLAIN) as client:
        body = {"prompt": "plain", "steps": 2, "width": 64, "height": 64}
        return await asyncio.gather(*(client.post("/jobs", json=body) for _ in range(count)))


@pytest.mark.slow
def test_a_full_queue_refuses_the_rest(gate: Path, serve: Serve) -> None:
    """20 concurrent requests while one picture is held: exactly the queue's 8 are accepted, the rest told to wait."""
    live = serve(queue_size=8)
    held = live.post_job("hold")
    live.running(held["id"])
    answers = asyncio.run(_flood(live.url, 20))
    accepted = [a for a in answers if a.status_code == 202]
    refused = [a for a in answers if a.status_code == 429]
    assert (len(accepted), len(refused)) == (8, 12)
    assert all(int(a.headers["retry-after"]) >= 1 for a in refused)
    assert refused[0].json()["error"]["code"] == "queue_full"
    assert live.client.post("/generate", json={"prompt": "a"}).status_code == 429
    gate.unlink()
    for answer in accepted:
        assert live.finished(answer.json()["jobs"][0]["id"])["status"] == "done"
    assert live.client.get("/images").json()["total"] == 9


@pytest.mark.slow
def test_a_batch_is_accepted_as_a_whole_or_not_at_all(gate: Path, serve: Serve) -> None:
    live = serve(queue_size=4)
    live.running(live.post_job("hold")["id"])
    assert live.client.post("/jobs", json={"prompt": "a", "count": 5}).status_code == 429
    assert live.client.get("/jobs").json()["queue"]["waiting"] == 0
    assert live.client.post("/jobs", json={"prompt": "a", "count": 4}).status_code == 202


def test_a_batch_that_never_fits_is_not_told_to_wait(serve: Serve) -> None:
    live = serve(queue_size=4)
    response = live.client.post("/jobs", json={"prompt": "a", "count": 6})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "count")
    assert "--queue-size" in response.json()["error"]["remedy"]
    assert "retry-after" not in response.headers
    assert live.client.post("/jobs", json={"prompt": "a", "count": 5}).status_code == 202


def flood(live: LiveServer, prompt: str, count: int) -> httpx.Response:
    """Ask and give up until that is refused; the refusal."""
    for _ in range(1_000):
        answer = live.client.post("/jobs", json={"prompt": prompt, "count": count, "width": 64, "height": 64})
        if answer.status_code != 202:
            return answer
        for job in reversed(answer.json()["jobs"]):
            live.client.delete(f"/jobs/{job['id']}").raise_for_status()
    pytest.fail("it was never refused")


@pytest.mark.slow
@pytest.mark.parametrize(("prompt", "count"), [("x", 4), ("x" * 30_000, 4), ("\N{FOX FACE}" * 30_000, 1)])
def test_what_is_asked_for_and_given_up_is_slowed_down(gate: Path, small: LiveServer, prompt: str, count: int) -> None:
    live = small
    live.running(live.post_job("hold")["id"])
    refused = flood(live, prompt, count)
    assert refused.status_code == 429
    assert refused.json()["error"]["message"].startswith("Too many pictures were asked for and given up")
    assert int(refused.headers["Retry-After"]) >= 1
    assert live.client.get("/jobs").json()["queue"]["waiting"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {}),
        ("/v1/images/generations", {}),
        ("/sdapi/v1/txt2img", {}),
        ("/api/generate", {"model": "bonsai", "stream": False}),
    ],
)
def test_other_programs_are_slowed_down_in_their_own_words(
    gate: Path, small: LiveServer, path: str, body: dict[str, Any]
) -> None:
    live = small
    live.running(live.post_job("hold")["id"])
    flood(live, "x", 4)
    flood(live, "x", 1)  # what is left of four
    refused = live.client.post(path, json={"prompt": "x", **body})
    assert refused.status_code == 429, refused.text
    assert int(refused.headers["Retry-After"]) >= 1
    assert "asked for and given up" in refused.text


@pytest.mark.slow
def test_what_is_drawn_is_never_slowed_down(small: LiveServer) -> None:
    """More than may be given up at once, in number and in bytes."""
    live = small
    for _ in range(11):
        jobs = live.client.post(
            "/jobs", json={"prompt": "x" * 30_000, "count": 4, "steps": 1, "width": 64, "height": 64}
        )
        assert jobs.status_code == 202, jobs.text
        for job in jobs.json()["jobs"]:
            assert live.finished(job["id"])["status"] == "done"


@pytest.mark.slow
def test_a_queue_of_long_prompts_is_bounded_in_bytes(gate: Path, serve: Serve) -> None:
    live = serve(queue_size=1_000)
    live.running(live.post_job("hold")["id"])
    answers = [live.client.post("/jobs", json={"prompt": "x" * 30_000, "count": 8}) for _ in range(20)]
    refused = next(answer for answer in answers if answer.status_code != 202)
    assert refused.status_code == 429
    assert sum(4 * len(job["prompt"]) for job in live.client.get("/jobs").json()["jobs"]) <= 16 << 20
