"""Downloads against a Hub on loopback: what arrives is right, nothing comes twice, and nothing half is ever ready."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants, snapshot_download

from bonsai_mlx import catalog, hub, hub_download, hub_transfer
from bonsai_mlx.catalog import CheckpointFile, Entry
from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub_progress import DownloadProgress

from .fake_hub import FakeHub, Fault, digest, fake_hub

ROOT = Path(__file__).parent.parent
TERNARY, BINARY = "acme/tiny-ternary", "acme/tiny-binary"
TRANSFORMER = "transformer-packed-mflux/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder-mlx-4bit/model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
SECRET = "hf_only-for-the-hub"  # noqa: S105


def checkpoint_files(variant: str) -> dict[str, bytes]:
    """A repository in the published layout, some 600 kB of noise, most of it the same for every variant."""
    common, own = random.Random("common"), random.Random(variant)
    return {
        "README.md": b"not needed",
        "LICENSE": b"Apache",
        "model_index.json": b'{"_class_name": "Flux2KleinPipeline"}',
        "scheduler/scheduler_config.json": b'{"shift": 3.0}',
        "text_encoder-mlx-4bit/config.json": b'{"hidden_size": 64}',
        "text_encoder-mlx-4bit/tokenizer.json": common.randbytes(5_000),
        TEXT_ENCODER: common.randbytes(300_000),
        "tokenizer/tokenizer.json": common.randbytes(20_000),
        "tokenizer/merges.txt": b"a b\n",
        "tokenizer/chat_template.jinja": b"{{ messages }}",
        "transformer-packed-mflux/config.json": b'{"num_layers": 5}',
        "transformer-packed-mflux/quantization_config.json": b'{"bits": %d}' % (1 + (variant == TERNARY)),
        TRANSFORMER: own.randbytes(200_000),
        "vae/config.json": b'{"latent_channels": 32}',
        VAE: common.randbytes(80_000),
    }


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if catalog.is_needed(path)}


def size(files: dict[str, bytes]) -> int:
    return sum(map(len, needed(files).values()))


@pytest.fixture(autouse=True, scope="module")
def _connections() -> Iterator[None]:
    """One HTTP client for all tests: making one loads the system's certificates, which takes longer than a download."""
    yield
    close_session()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with both variants, and this process set up to use it and a cache of its own."""
    with fake_hub() as running:
        running.repos = {repo: checkpoint_files(repo) for repo in (TERNARY, BINARY)}
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = f"{running.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(hub_transfer, "RETRY_WAITS_S", (0.0, 0.0))
        monkeypatch.setattr(hub_download, "RETRY_WAITS_S", (0.0, 0.0))
        yield running


def run(name: Entry | str, **options: object) -> list[DownloadProgress]:
    return list(hub.download(name, **options))  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a checkpoint folder except the notes beside it."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pinned_entry(server: FakeHub, repo: str = TERNARY) -> Entry:
    """A catalog entry that knows every digest of a repository and its commit."""
    files = tuple(
        CheckpointFile(path, len(data), digest(path, data)) for path, data in needed(server.repos[repo]).items()
    )
    return Entry("tiny", "Tiny", "ternary", "A test.", repo, server.commit(repo), files)


# --- what a download brings ---


def test_a_download_brings_the_needed_files_and_nothing_else(server: FakeHub) -> None:
    events = run(TERNARY)
    assert events[-1].done
    assert events[-1].path == hub.find(TERNARY)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])
    assert server.bytes_served == size(server.repos[TERNARY])
    assert "README.md" not in server.served


def test_files_of_equal_content_come_once(server: FakeHub, tmp_path: Path) -> None:
    server.repos[TERNARY]["vae/config.json"] = server.repos[TERNARY]["scheduler/scheduler_config.json"]
    for folder in (None, tmp_path / "m"):
        run(TERNARY, folder=folder)
        assert not {"vae/config.json", "scheduler/scheduler_config.json"} <= set(server.served)
        assert content(folder or hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_pickles_and_code_in_a_repository_are_not_downloaded(server: FakeHub) -> None:
    planted = ["vae/diffusion_pytorch_model.bin", "transformer-packed-mflux/weights.pt", "tokenizer/run.py", "evil.pkl"]
    server.repos[TERNARY] |= dict.fromkeys(planted, b"\x80\x04")
    run(TERNARY)
    assert not set(planted) & set(content(hub.find(TERNARY)))
    assert not set(planted) & set(server.served)


def test_progress_counts_bytes_up_to_the_total(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults[TRANSFORMER] = Fault(chunk_delay_s=0.03)
    events = run(TERNARY)
    done = [event.bytes_done for event in events]
    assert done == sorted(done)
    assert done[-1] == events[0].bytes_total == size(server.repos[TERNARY])
    assert [event.done for event in events].count(True) == 1
    slow = [event for event in events if event.file == TRANSFORMER and event.speed_bytes_s]
    assert slow
    assert all(event.eta_s is not None for event in slow)
    assert 100_000 < slow[-1].speed_bytes_s < 1_000_000  # 16 kB every 30 ms


def test_the_cache_is_the_one_that_other_programs_use(server: FakeHub) -> None:
    run(TERNARY)
    theirs = snapshot_download(TERNARY, local_files_only=True)
    assert Path(theirs) == hub.find(TERNARY)
    assert content(Path(theirs)) == needed(server.repos[TERNARY])
    for path in hub.find(TERNARY).rglob("*.safetensors"):
        assert path.is_symlink()
        assert path.resolve().name == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_the_hubs_own_client_downloaded_is_found_and_verified(server: FakeHub) -> None:
    snapshot_download(TERNARY)
    local = hub.status(TERNARY)
    assert (local.state, local.verified) == ("ready", False)
    list(hub.verify(TERNARY))
    assert hub.status(TERNARY).verified
    server.forget()
    run(TERNARY)
    assert server.bytes_served == 0


def test_a_folder_can_be_the_place(server: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    assert hub.status(TERNARY, folder).state == "absent"
    assert run(TERNARY, folder=folder)[-1].path == folder
    assert content(folder) == needed(server.repos[TERNARY])
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert hub.status(TERNARY, folder).state == "ready"
    assert hub.find(str(folder)) == hub.find(folder) == folder
    assert hub.status(TERNARY).state == "absent"  # nothing went into the cache


def test_a_finished_download_of_a_commit_asks_nobody(server: FakeHub) -> None:
    entry = pinned_entry(server)
    run(entry)
    server.forget()
    assert [event.done for event in run(entry)] == [True]
    assert server.requests == []


def test_a_moved_branch_brings_only_what_changed(server: FakeHub) -> None:
    run(TERNARY)
    server.repos[TERNARY]["vae/config.json"] = b'{"latent_channels": 16}'
    server.forget()
    run(TERNARY)
    assert server.served == {"vae/config.json": 23}
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_moved_branch_replaces_files_of_a_folder(server: FakeHub, tmp_path: Path) -> None:
    run(TERNARY, folder=tmp_path / "m")
    server.repos[TERNARY]["vae/config.json"] = b'{"latent_channels": 16}'
    del server.repos[TERNARY]["tokenizer/merges.txt"]
    server.forget()
    run(TERNARY, folder=tmp_path / "m")
    assert server.served == {"vae/config.json": 23}
    assert content(tmp_path / "m") == needed(server.repos[TERNARY])


def test_embedded_checkpoints_need_no_download(server: FakeHub) -> None:
    events = run("seedling")
    assert [event.done for event in events] == [True]
    assert hub.find("seedling") == catalog.lookup("seedling-ternary").embedded_folder
    assert hub.status("seedling-binary").state == "ready"
    assert hub.status("seedling-binary").bytes_total > 5_000_000
    assert [event.done for event in hub.verify("seedling")] == [True]
    with pytest.raises(CheckpointError, match="ships with"):
        hub.delete("seedling")
    assert server.requests == []


# --- two variants ---


@pytest.mark.parametrize("place", ["cache", "folder", "folder from cache"])
def test_the_second_variant_downloads_only_what_differs(server: FakeHub, tmp_path: Path, place: str) -> None:
    first = tmp_path / "m" / "ternary" if place == "folder" else None
    second = tmp_path / "m" / "binary" if place != "cache" else None
    run(TERNARY, folder=first)
    server.forget()
    path = run(BINARY, folder=second)[-1].path
    assert path is not None
    assert content(path) == needed(server.repos[BINARY])
    assert set(server.served) == {TRANSFORMER, "transformer-packed-mflux/quantization_config.json"}
    assert (path / TEXT_ENCODER).samefile((first or hub.find(TERNARY)) / TEXT_ENCODER)  # stored once, too


def test_shared_files_are_copied_where_links_are_impossible(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TERNARY)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    server.forget()
    run(BINARY, folder=tmp_path / "m")
    assert TEXT_ENCODER not in server.served
    assert content(tmp_path / "m") == needed(server.repos[BINARY])
    assert not (tmp_path / "m" / TEXT_ENCODER).samefile(hub.find(TERNARY) / TEXT_ENCODER)


def test_a_damaged_neighbour_is_not_shared(server: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    run(TERNARY)
    damage(hub.find(TERNARY) / TEXT_ENCODER)
    run(BINARY)
    assert content(hub.find(BINARY)) == needed(server.repos[BINARY])
    assert "damaged" in caplog.text


@pytest.mark.parametrize("place", ["cache", "folder"])
def test_deleting_one_variant_keeps_the_other_intact(server: FakeHub, tmp_path: Path, place: str) -> None:
    folders = {repo: tmp_path / "m" / repo if place == "folder" else None for repo in (TERNARY, BINARY)}
    for repo, folder in folders.items():
        run(repo, folder=folder)
    freed = hub.delete(TERNARY, folders[TERNARY])
    assert 200_000 <= freed < 220_000  # the transformer and the notes; the rest is still in use
    assert hub.status(TERNARY, folders[TERNARY]).state == "absent"
    assert content(folders[BINARY] or hub.find(BINARY)) == needed(server.repos[BINARY])
    list(hub.verify(BINARY, folders[BINARY]))
    assert 600_000 <= hub.delete(BINARY, folders[BINARY]) < 640_000
    assert hub.delete(BINARY) == 0


def test_deleting_takes_half_finished_downloads_along(server: FakeHub) -> None:
    stop_within(hub.download(TERNARY), TRANSFORMER)
    assert hub.delete(TERNARY) > 1_000
    assert not list((Path(constants.HF_HUB_CACHE)).glob("models--*"))


def test_deleting_leaves_what_is_not_ours(server: FakeHub, tmp_path: Path) -> None:
    run(TERNARY, folder=tmp_path / "m")
    (tmp_path / "m" / "vae" / "mine.txt").write_text("keep")
    hub.delete(TERNARY, tmp_path / "m")
    assert content(tmp_path / "m") == {"vae/mine.txt": b"keep"}
    with pytest.raises(CheckpointError, match="did not download"):
        hub.delete(TERNARY, tmp_path / "m")


# --- interruptions ---


def stop_within(events: Iterator[DownloadProgress], file: str) -> None:
    """Close a download as soon as a part of `file` has arrived."""
    for event in events:
        if event.file == file and event.activity == "downloading":
            break
    events.close()  # type: ignore[attr-defined]


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
    with pytest.raises(DownloadError, match="another process"):
        run(TERNARY)
    first.close()
    run(TERNARY)


def start_script(server: FakeHub, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_ENDPOINT": server.endpoint, "HF_HUB_CACHE": str(cache), "HF_TOKEN": ""}
    command = [sys.executable, str(ROOT / "scripts" / "download_model.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_a_state_that_the_next_run_completes(
    server: FakeHub, tmp_path: Path, number: signal.Signals
) -> None:
    rounds = int(os.environ.get("BONSAI_KILL_ROUNDS", "3"))
    for seed in range(rounds):
        cache = tmp_path / f"cache-{seed}"
        server.faults = {path: Fault(chunk_delay_s=0.01) for path in (TRANSFORMER, TEXT_ENCODER, VAE)}
        process = start_script(server, cache, TERNARY, "--json")
        wait_for_bytes(server, random.Random(seed).randrange(1_000, 550_000))
        process.send_signal(number)
        process.communicate()
        assert process.returncode == -number
        server.faults = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(constants, "HF_HUB_CACHE", str(cache))
            assert hub.status(TERNARY).state in ("partial", "absent")
            server.forget()
            run(TERNARY)
            assert server.bytes_served < size(server.repos[TERNARY])
            assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])
        server.forget()


def wait_for_bytes(server: FakeHub, count: int) -> None:
    until = time.monotonic() + 20
    while server.bytes_served < count:
        assert time.monotonic() < until
        time.sleep(0.002)


# --- damage ---


def damage(path: Path) -> None:
    """Flip one bit in place, keeping the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.resolve().write_bytes(data)


def partial_of(server: FakeHub, path: str) -> Path:
    name = digest(path, server.repos[TERNARY][path])
    return hub_download_private(TERNARY) / f"{name}.incomplete"


def hub_download_private(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "bonsai-mlx"


@pytest.mark.parametrize("seed", range(50))
def test_a_flipped_bit_is_detected_and_the_next_run_repairs_it(server: FakeHub, seed: int) -> None:
    path = random.Random(seed).choice(sorted(needed(server.repos[TERNARY])))
    bit = random.Random(seed + 1).randrange(8 * len(server.repos[TERNARY][path]))
    server.faults[path] = Fault(flip_bit=bit, times=1)
    with pytest.raises(DownloadError, match=rf"{path}: .*damaged.*deleted.*bonsai-mlx download acme/tiny-ternary"):
        run(TERNARY)
    assert hub.status(TERNARY).state in ("partial", "absent")
    run(TERNARY)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_damage_to_a_partial_file_is_detected(server: FakeHub) -> None:
    server.faults[TRANSFORMER] = Fault(cut_after=30_000)
    with pytest.raises(DownloadError):
        run(TERNARY)
    damage(partial_of(server, TRANSFORMER))
    server.faults.clear()
    with pytest.raises(DownloadError, match="damaged"):
        run(TERNARY)
    run(TERNARY)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


@pytest.mark.parametrize("place", ["cache", "folder"])
def test_verify_finds_damage_deletes_it_and_the_named_command_repairs(
    server: FakeHub, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "m" if place == "folder" else None
    path = run(TERNARY, folder=folder)[-1].path
    assert path is not None
    assert list(hub.verify(TERNARY, folder))[-1].done
    damage(path / VAE)
    assert not hub.status(TERNARY, folder).verified  # its modification time gives it away
    remedy = f"bonsai-mlx download {TERNARY}" + (f" --dir {folder}" if folder else "")
    with pytest.raises(CheckpointError, match=f"{VAE} is damaged and was deleted.*{remedy}"):
        list(hub.verify(TERNARY, folder))
    assert hub.status(TERNARY, folder).state == "partial"
    server.forget()
    run(TERNARY, folder=folder)
    assert server.served == {VAE: 80_000}
    assert content(path) == needed(server.repos[TERNARY])


def test_verify_sees_damage_that_left_no_trace(server: FakeHub) -> None:
    run(TERNARY)
    path = (hub.find(TERNARY) / VAE).resolve()
    before = path.stat()
    damage(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hub.status(TERNARY).verified
    with pytest.raises(CheckpointError, match="damaged"):
        list(hub.verify(TERNARY))


def test_a_file_of_the_wrong_size_is_damage(server: FakeHub) -> None:
    run(TERNARY)
    (hub.find(TERNARY) / VAE).resolve().write_bytes(b"short")
    local = hub.status(TERNARY)
    assert local.state == "damaged"
    assert "5 bytes instead of 80000" in local.problems[0]
    with pytest.raises(
        CheckpointError, match=r"5 bytes instead.*repair it with: bonsai-mlx download acme/tiny-ternary"
    ):
        hub.find(TERNARY)
    run(TERNARY)
    assert hub.status(TERNARY).state == "ready"


def test_a_half_file_under_the_final_name_is_never_ready(server: FakeHub, tmp_path: Path) -> None:
    entry = pinned_entry(server)
    for path, data in needed(server.repos[TERNARY]).items():  # as a plain copy that was interrupted would leave it
        (tmp_path / "m" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / path).write_bytes(data[: len(data) // 2] if path == TEXT_ENCODER else data)
    assert hub.status(entry, tmp_path / "m").state == "damaged"


def test_other_peoples_files_in_a_folder_are_not_replaced(server: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "m" / "vae").mkdir(parents=True)
    (tmp_path / "m" / VAE).write_bytes(b"my own work")
    with pytest.raises(DownloadError, match="choose another folder or remove the file"):
        run(TERNARY, folder=tmp_path / "m")
    assert (tmp_path / "m" / VAE).read_bytes() == b"my own work"


def test_one_folder_holds_one_checkpoint(server: FakeHub, tmp_path: Path) -> None:
    run(TERNARY, folder=tmp_path / "m")
    with pytest.raises(DownloadError, match="holds acme/tiny-ternary"):
        run(BINARY, folder=tmp_path / "m")
    assert hub.status(BINARY, tmp_path / "m").state == "absent"
    assert content(tmp_path / "m") == needed(server.repos[TERNARY])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1, "files": [{"path": "../x", "size": 1, "digest": "aa"}]}']
)
def test_a_spoilt_manifest_only_costs_another_check(server: FakeHub, text: str) -> None:
    run(TERNARY)
    next(hub_download_private(TERNARY).glob("*.json")).write_text(text)
    assert (hub.status(TERNARY).state, hub.status(TERNARY).verified) == ("ready", False)
    server.forget()
    run(TERNARY)
    assert server.bytes_served == 0
    assert hub.status(TERNARY).verified


# --- the catalog's own digests ---


def test_the_catalog_does_not_take_the_hubs_word(server: FakeHub) -> None:
    entry = pinned_entry(server)
    server.repos[TERNARY][TEXT_ENCODER] = b"swapped" * 1000
    moved = Entry(entry.name, entry.title, None, entry.note, entry.repo, "main", entry.files)
    with pytest.raises(DownloadError, match=f"lists another {TEXT_ENCODER}"):
        run(moved)
    assert TEXT_ENCODER not in server.served
    run(moved, revision=server.commit(TERNARY))  # asked for by name: then the Hub's digests hold
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_repository_in_another_layout_is_refused_before_anything_is_downloaded(server: FakeHub) -> None:
    server.repos["acme/other"] = {"model_index.json": b"{}", "unet/model.safetensors": b"x" * 1000}
    with pytest.raises(DownloadError, match="published layout: it has no scheduler"):
        run("acme/other")
    assert server.bytes_served == 0


@pytest.mark.parametrize("revision", ["../../evil", "/x", "a/../../b", ""])
def test_a_revision_cannot_name_a_path(server: FakeHub, revision: str) -> None:
    with pytest.raises(DownloadError, match="not a revision"):
        run(TERNARY, revision=revision)
    assert server.requests == []


def test_unknown_repositories_and_revisions_are_named(server: FakeHub) -> None:
    with pytest.raises(DownloadError, match="acme/nothing: there is no such repository"):
        run("acme/nothing")
    with pytest.raises(DownloadError, match="no such revision"):
        run(TERNARY, revision="v9")


def test_an_answer_that_is_not_the_hubs_is_recognised(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fake_hub.json.dumps", lambda _: "<html>Please log in</html>")
    with pytest.raises(DownloadError, match="not the Hub"):
        run(TERNARY)


# --- tokens, disks, networks ---


def test_the_token_goes_to_the_hub_and_nowhere_else(server: FakeHub) -> None:
    server.token = SECRET
    with pytest.raises(DownloadError, match="token"):
        run(TERNARY)
    server.forget()
    run(TERNARY, token=SECRET)
    by_server = {name: {r.authorization for r in server.requests if r.server == name} for name in ("hub", "cdn")}
    assert by_server == {"hub": {f"Bearer {SECRET}"}, "cdn": {None}}
    notes = [path.read_bytes() for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in note for note in notes)


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = size(server.repos[TERNARY]) + hub_download.SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=enough - 1))
    with pytest.raises(hub_download.NotEnoughSpaceError, match=r"needs 0\.26 GB, but only 0\.26 GB") as caught:
        run(TERNARY)
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (enough, enough - 1)
    assert server.bytes_served == 0
    assert hub.status(TERNARY).state == "absent"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=enough))
    run(TERNARY)
    # The second variant shares most files, so less is enough for it; a finished download needs nothing.
    own = 200_000 + 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=own + hub_download.SPARE_BYTES))
    run(BINARY)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    run(BINARY)


def test_a_disk_that_fills_up_on_the_way_is_explained(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Iterator[int]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hub_download, "transfer", full)
        with pytest.raises(DownloadError, match=r"disk is full; make room.*bonsai-mlx download"):
            run(TERNARY)
    run(TERNARY)
    assert hub.status(TERNARY).state == "ready"


def test_offline_mode_finds_the_cache_and_asks_nobody(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    run(TERNARY)
    server.forget()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])
    assert [event.done for event in run(TERNARY)] == [True]
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        run(BINARY)
    assert server.requests == []


def test_without_a_network_what_is_complete_can_be_used(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    run(TERNARY)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert [event.done for event in run(TERNARY)] == [True]
    with pytest.raises(DownloadError, match="cannot be reached"):
        run(BINARY)


def test_asking_what_is_here_is_fast_and_needs_no_network(server: FakeHub) -> None:
    run(TERNARY)
    server.forget()
    started = time.perf_counter()
    for _ in range(20):
        hub.status(TERNARY)
    assert (time.perf_counter() - started) / 20 < 0.01
    assert server.requests == []


@pytest.mark.parametrize("name", ["nothing", "./nothing", "/no/such/folder"])
def test_what_cannot_be_found_is_answered_with_what_can(server: FakeHub, name: str) -> None:
    with pytest.raises(CheckpointError, match="known are ternary, binary"):
        hub.find(name)


def test_absent_checkpoints_name_the_command(server: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"not on this machine; get it \(3\.87 GB\) with: bonsai-mlx download ternary"
    ):
        hub.find("ternary")
    with pytest.raises(CheckpointError, match="bonsai-mlx download acme/none"):
        hub.find("acme/none")
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        hub.find(tmp_path)
    assert hub.remedy("ternary", "/a b") == "bonsai-mlx download ternary --dir '/a b'"


# --- the command ---


def test_the_script_speaks_json_for_programs(server: FakeHub, tmp_path: Path) -> None:
    process = start_script(server, tmp_path / "cache", TERNARY, "--json")
    output, errors = process.communicate(timeout=60)
    lines = [json.loads(line) for line in output.splitlines()]
    assert (process.returncode, errors) == (0, "")
    assert lines[-1]["done"]
    assert lines[-1]["bytes_done"] == lines[-1]["bytes_total"] == size(server.repos[TERNARY])
    assert Path(lines[-1]["path"], TRANSFORMER).is_file()


def test_the_script_writes_plain_lines_into_a_log(server: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    process = start_script(server, tmp_path / "cache", TERNARY, "--dir", str(folder), "--verify")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert "100%  600.1 kB of 600.1 kB  done" in errors
    assert f"is ready: {folder}" in errors
    assert "\r" not in errors


@pytest.mark.parametrize(("name", "status"), [("nonsense", 2), ("acme/nothing", 1)])
def test_the_script_fails_with_one_plain_line(server: FakeHub, tmp_path: Path, name: str, status: int) -> None:
    process = start_script(server, tmp_path / "cache", name)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert len(errors.splitlines()) == 1


def test_interrupting_the_script_says_that_it_can_go_on(server: FakeHub, tmp_path: Path) -> None:
    server.faults[TRANSFORMER] = Fault(chunk_delay_s=0.05)
    process = start_script(server, tmp_path / "cache", TERNARY)
    wait_for_bytes(server, 120_000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Nothing is lost; this goes on from there: bonsai-mlx download {TERNARY}" in errors
    assert "Traceback" not in errors
