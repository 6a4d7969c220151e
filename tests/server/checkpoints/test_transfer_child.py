"""The real download child against a Hub on loopback: progress, an end in the middle, the rest, a bad answer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.weights.layout import PACKED, TRANSFORMER
from tests.fake_hub import FakeHub, Fault, digest, fake_hub
from tests.server.conftest import ROOT, eventually
from tests.tiny_decoder import write_taef2

pytestmark = pytest.mark.slow

REPO = "someone/a-checkpoint"
BIG = PACKED.weights(TRANSFORMER)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub with one repository in the published layout, of random bytes."""
    noise = random.Random(7)
    with fake_hub() as running:
        running.repos[REPO] = {path: noise.randbytes(400_000 if path == BIG else 500) for path in PACKED.required_files}
        yield running


@pytest.fixture
def start(hub: FakeHub, tmp_path: Path) -> Iterator[Start]:
    """Start the child for an action; it downloads into `tmp_path / "here"`."""
    children: list[subprocess.Popen[str]] = []

    def run(action: str, name: str = REPO) -> subprocess.Popen[str]:
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        children.append(
            subprocess.Popen(
                [sys.executable, "-m", "server.checkpoints.transfer_child", action, name, str(tmp_path / "here")],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return children[-1]

    yield run
    for child in children:
        with child:  # closes its pipes and waits for it
            child.kill()


def events(child: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Everything that the child says until its end; its input stays open, as the server keeps it."""
    assert child.stdout is not None
    return [json.loads(line) for line in child.stdout]


def test_a_download_a_check_and_what_is_damaged_since(start: Start, hub: FakeHub, tmp_path: Path) -> None:
    child = start("download")
    said = events(child)
    assert child.wait(60) == 0
    assert said[-1]["done"] is True
    assert said[-1]["bytes_done"] == said[-1]["bytes_total"] == sum(map(len, hub.repos[REPO].values()))
    assert (tmp_path / "here" / BIG).read_bytes() == hub.repos[REPO][BIG]
    check = start("verify")
    assert events(check)[-1]["done"] is True
    assert check.wait(60) == 0
    path = tmp_path / "here" / BIG
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    check = start("verify")
    said = events(check)
    assert check.wait(60) == 1
    assert "is damaged" in said[-1]["error"]


def test_a_part_comes_by_its_name(start: Start, hub: FakeHub, tmp_path: Path) -> None:
    data = write_taef2(tmp_path / "published").joinpath("taef2.safetensors").read_bytes()
    hub.repos["madebyollin/taef2"] = {"taef2.safetensors": data, "evil.py": b"print()"}
    said = events(start("download", "taef2"))
    assert (said[-1]["done"], said[-1]["bytes_total"]) == (True, len(data))
    assert (tmp_path / "here" / "taef2.safetensors").read_bytes() == data
    assert not (tmp_path / "here" / "evil.py").exists()
    (tmp_path / "here" / "taef2.safetensors").write_bytes(data[:-1] + b"?")
    assert "is damaged" in events(start("verify", "taef2"))[-1]["error"]


@pytest.mark.parametrize("how", ["terminate", "kill", "server gone"])
def test_an_end_in_the_middle_and_the_rest(start: Start, hub: FakeHub, tmp_path: Path, how: str) -> None:
    hub.faults[BIG] = Fault(chunk_delay_s=0.1)
    child = start("download")
    partial = tmp_path / "here/.cache/bonsai-mlx" / f"{digest(BIG, hub.repos[REPO][BIG])}.incomplete"
    eventually(lambda: partial.exists() and partial.stat().st_size > 100_000)  # what was sent may not be there yet
    if how == "server gone":
        assert child.stdin is not None
        child.stdin.close()
    else:
        child.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGKILL)
    child.wait(2)
    assert not (tmp_path / "here" / BIG).exists()
    hub.faults.clear()
    hub.forget()
    again = start("download")
    assert events(again)[-1]["done"] is True
    assert again.wait(60) == 0
    assert hub.served[BIG] < 400_000, "what had arrived was not fetched again"
    assert (tmp_path / "here" / BIG).read_bytes() == hub.repos[REPO][BIG]


def test_ctrl_c_is_left_to_the_server(start: Start, hub: FakeHub) -> None:
    """A terminal sends it to the whole group; a child that ended by itself would count as a failed download."""
    hub.faults[BIG] = Fault(chunk_delay_s=0.02)
    child = start("download")
    eventually(lambda: hub.served.get(BIG, 0) > 0)
    child.send_signal(signal.SIGINT)
    assert events(child)[-1]["done"] is True
    assert child.wait(60) == 0
    assert child.stderr is not None
    assert child.stderr.read() == ""


def test_an_unknown_repository_is_an_error_in_words(start: Start) -> None:
    child = start("download", "someone/else")
    assert "error" in events(child)[-1]
    assert child.wait(60) == 1
