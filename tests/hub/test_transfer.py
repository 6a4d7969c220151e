"""Interrupted downloads: nothing that has arrived is lost, and nothing half is ever ready."""

from __future__ import annotations

import math
import os
import random
import signal
from pathlib import Path

import pytest
from huggingface_hub import constants

from bonsai_mlx.errors import CheckpointError, CheckpointInUse, DownloadError
from bonsai_mlx.hub import api as hub

from ..fake_hub import FakeHub, Fault
from .world import (
    TERNARY,
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    content,
    needed,
    notes_of,
    partial_of,
    run,
    size,
    start_script,
    stop_within,
    wait_for_bytes,
)


def test_closing_keeps_what_has_arrived_and_the_next_call_goes_on(server: FakeHub) -> None:
    server.faults[TEXT_ENCODER] = Fault(chunk_delay_s=0.02)
    stop_within(hub.download(TERNARY), TEXT_ENCODER)
    local = hub.status(TERNARY)
    assert local.state == "partial"
    assert 0 < local.bytes_present < local.bytes_total == size(server.repos[TERNARY])
    assert any(TEXT_ENCODER in problem for problem in local.problems)
    with pytest.raises(CheckpointError, match=r"incomplete.*bonsai-mlx download acme/tiny-ternary"):
        hub.find(TERNARY)
    arrived = partial_of(server, TEXT_ENCODER).stat().st_size
    server.forget()
    server.faults.clear()
    run(TERNARY)
    assert {request.range for request in server.requests} == {None, f"bytes={arrived}-"}
    assert "vae/config.json" not in server.served
    assert hub.status(TERNARY).state == "ready"


@pytest.mark.parametrize("seed", range(50))
def test_a_cut_at_any_point_loses_nothing(server: FakeHub, seed: int) -> None:
    path = random.Random(seed).choice([TRANSFORMER, TEXT_ENCODER, VAE, "tokenizer/tokenizer.json"])
    cut = random.Random(seed + 1).randrange(len(server.repos[TERNARY][path]))
    server.faults[path] = Fault(cut_after=cut, times=1)
    run(TERNARY)  # the retry within the same call resumes
    assert server.bytes_served == size(server.repos[TERNARY])
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_network_that_stays_broken_is_reported_and_the_next_call_resumes(server: FakeHub) -> None:
    server.faults[TRANSFORMER] = Fault(cut_after=20_000)
    with pytest.raises(DownloadError, match=rf"{TRANSFORMER}: .*\(3 attempts\).*bonsai-mlx download acme/tiny-ternary"):
        run(TERNARY)
    assert hub.status(TERNARY).state == "partial"
    server.faults.clear()
    server.forget()
    run(TERNARY)
    assert server.served[TRANSFORMER] == 200_000 - 3 * 20_000


def test_an_interrupted_revision_is_gone_on_with(server: FakeHub) -> None:
    server.faults[TRANSFORMER] = Fault(cut_after=20_000)
    with pytest.raises(DownloadError, match=rf"from there: bonsai-mlx download {TERNARY} --revision main$"):
        run(TERNARY, revision="main")


def test_a_server_that_ignores_ranges_is_served_from_the_start(server: FakeHub) -> None:
    server.faults[TRANSFORMER] = Fault(cut_after=50_000)
    with pytest.raises(DownloadError):
        run(TERNARY)
    server.faults[TRANSFORMER] = Fault(ignore_range=True)
    run(TERNARY)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_partial_file_longer_than_the_file_is_started_anew(server: FakeHub) -> None:
    partial = partial_of(server, TRANSFORMER)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 300_000)
    run(TERNARY)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_server_that_sends_too_much_cannot_fill_the_disk(server: FakeHub) -> None:
    server.faults[TRANSFORMER] = Fault(surplus_bytes=5_000_000)
    with pytest.raises(DownloadError, match="sends more than the 200000 bytes"):
        run(TERNARY)
    assert partial_of(server, TRANSFORMER).stat().st_size <= 200_000


def test_what_no_download_will_finish_is_tidied_up(server: FakeHub) -> None:
    partial_of(server, VAE).parent.mkdir(parents=True)
    stale = [notes_of(TERNARY) / name for name in (f"{'a' * 40}.incomplete", f"{'b' * 64}.shared")]
    for path in stale:
        path.write_bytes(b"of an older revision")
    run(TERNARY)
    assert not any(path.exists() for path in stale)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_hub_that_is_briefly_unwell_is_asked_again(server: FakeHub, status: int) -> None:
    server.api_status = [status]
    server.faults[TRANSFORMER] = Fault(status=status, times=2)
    run(TERNARY)
    assert hub.status(TERNARY).state == "ready"


@pytest.mark.parametrize("status", [404, 500])
def test_a_file_that_cannot_be_had_is_named(server: FakeHub, status: int) -> None:
    server.faults[VAE] = Fault(status=status)
    with pytest.raises(DownloadError, match=rf"{VAE}: .*{status}.*bonsai-mlx download acme/tiny-ternary"):
        run(TERNARY)
    assert hub.status(TERNARY).state == "partial"
    server.faults.clear()
    run(TERNARY)
    assert hub.status(TERNARY).state == "ready"


def test_a_silent_server_is_given_up_on(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    server.faults[TRANSFORMER] = Fault(chunk_delay_s=0.4)
    with pytest.raises(DownloadError, match="did not answer in time"):
        run(TERNARY)
    assert hub.status(TERNARY).state == "partial"


def test_only_one_process_downloads_a_checkpoint_at_a_time(server: FakeHub) -> None:
    first = hub.download(TERNARY)
    next(first)
    with pytest.raises(CheckpointInUse, match="another process"):
        run(TERNARY)
    first.close()
    run(TERNARY)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "first"), [(signal.SIGKILL, 0), (signal.SIGTERM, 1_000)])
def test_a_killed_process_leaves_a_state_that_the_next_run_completes(
    server: FakeHub, tmp_path: Path, number: signal.Signals, first: int
) -> None:
    rounds = int(os.environ.get("BONSAI_KILL_ROUNDS", "2"))
    for seed in range(first, first + rounds):
        cache = tmp_path / f"cache-{seed}"
        server.faults = {path: Fault(chunk_delay_s=0.01) for path in (TRANSFORMER, TEXT_ENCODER, VAE)}
        server.hold_at = random.Random(seed).randrange(1_000, 550_000)
        process = start_script(server, cache, TERNARY, "--json")
        wait_for_bytes(server, server.hold_at)
        process.send_signal(number)
        process.communicate()
        assert process.returncode == -number
        server.faults, server.hold_at = {}, math.inf
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(constants, "HF_HUB_CACHE", str(cache))
            assert hub.status(TERNARY).state in ("partial", "absent")
            server.forget()
            run(TERNARY)
            assert server.bytes_served < size(server.repos[TERNARY])
            assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])
        server.forget()
