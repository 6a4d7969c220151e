"""Engines that are lost while they draw: one job fails, and the next one is drawn."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from tests.server.conftest import HASTY, EventStream, LiveServer

Serve = Callable[..., LiveServer]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "code"),
    [("abort", "failed"), ("exit", "failed"), ("hang", "failed"), ("oom", "out_of_memory"), ("raise", "failed")],
)
def test_a_loss_fails_one_job_and_the_next_works(serve: Serve, prompt: str, code: str) -> None:
    live = serve(**HASTY if prompt == "hang" else {})
    job, following = live.post_job(prompt), live.post_job("plain")
    failed = live.finished(job["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", code)
    assert failed["error"]["message"].endswith(".") or "choose" in failed["error"]["message"]
    assert failed["error"]["remedy"] or prompt == "raise", "whose reason is in the log alone"
    assert live.finished(following["id"])["status"] == "done"


@pytest.mark.slow
def test_the_child_killed_from_outside(gate: Path, live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engine.losses._LITTLE", 0.0)  # however little this machine has
    job = live.post_job("hold")
    live.running(job["id"])
    os.kill(live.worker_pid(), signal.SIGKILL)
    failed = live.finished(job["id"])
    assert "from outside (SIGKILL)" in failed["error"]["message"]
    assert (failed["error"]["code"], failed["error"]["remedy"]) == ("failed", "Draw it again.")
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


@pytest.mark.slow
def test_the_child_stopped_from_outside(gate: Path, serve: Serve) -> None:
    live = serve(**HASTY)
    job = live.post_job("hold")
    live.running(job["id"])
    with live.client.stream("GET", "/events") as stream:
        events = EventStream(stream)
        next(events)
        os.kill(live.worker_pid(), signal.SIGSTOP)
        states = (event["data"]["state"] for event in events if event["event"] == "worker")
        assert "unresponsive" in takewhile(lambda state: state != "stopped", states)
    assert "did not respond" in live.finished(job["id"])["error"]["message"]
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


@pytest.mark.slow
def test_a_cancel_that_the_child_cannot_hear_still_ends_the_job(gate: Path, serve: Serve) -> None:
    live = serve(**HASTY)
    job = live.post_job("hold")
    live.running(job["id"])
    os.kill(live.worker_pid(), signal.SIGSTOP)
    live.client.delete(f"/jobs/{job['id']}")
    assert live.finished(job["id"])["status"] == "cancelled"


@pytest.mark.slow
def test_a_cancel_of_what_hangs_ends_the_job_and_makes_way(serve: Serve) -> None:
    live = serve(progress_unknown_s=600.0, cancel_unknown_s=0.5)
    job, following = live.post_job("hang")["id"], live.post_job("plain")["id"]
    live.running(job)
    live.client.delete(f"/jobs/{job}").raise_for_status()
    assert live.finished(job)["status"] == "cancelled"
    assert live.finished(following)["status"] == "done"
