"""The child itself: what it loads, how it hears a cancel, and how much of the machine it takes."""

import io
from pathlib import Path
from typing import Any

import pytest

from server.engine.backend import mlx_backend
from server.engine.child import Channel, Engine, Inbox
from server.engine.protocol import (
    Cancelled,
    Event,
    Memory,
    Progress,
)
from tests.server.conftest import LiveServer
from tests.server.engine.conftest import JOB, command
from tests.server.fake_engine import FakeBackend


def test_the_engine_takes_a_folder_for_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --models-dir . the path of a checkpoint is its name."""
    folder.rename(folder.with_name("ternary"))
    monkeypatch.chdir(folder.parent)
    pipeline: Any = mlx_backend().load("ternary", memory_limit_bytes=None, embeddings=None, parts={})
    assert pipeline.model.checkpoint.root == Path("ternary")


def test_a_cancel_that_has_arrived_takes_effect_within_a_step() -> None:
    inbox, told = Inbox(io.BytesIO()), []

    class Told(Channel):
        def send(self, message: Event) -> None:
            told.append(message)
            if message == Progress(JOB, "denoise", 3, 50):
                inbox._cancelled.add(JOB)

    Engine(FakeBackend(), Told(io.BytesIO()), inbox).run(command(steps=50))
    assert told[-3:-1] == [Progress(JOB, "denoise", 3, 50), Cancelled(JOB)]
    assert isinstance(told[-1], Memory)
    assert told[-1].settled == "ternary"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no kernel that groups processes by sessions")
def test_the_engine_s_session_leaves_the_server_its_moment(live: LiveServer) -> None:
    """It has a session of its own, whose weight its nice value alone does not change."""
    live.finished(live.post_job("plain", steps=1)["id"])
    assert Path(f"/proc/{live.worker_pid()}/autogroup").read_text().split()[-1] == "5"
