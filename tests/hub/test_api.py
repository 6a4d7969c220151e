"""What a download brings, what is found afterwards, and what the Hub is not believed."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, snapshot_download

from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, listing, session, transfer
from bonsai_mlx.hub.entry import Entry

from ..fake_hub import FakeHub, Fault
from .world import (
    BINARY,
    SECRET,
    TERNARY,
    TEXT_ENCODER,
    TRANSFORMER,
    content,
    needed,
    pinned_entry,
    run,
    size,
)


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


@pytest.mark.slow
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
    nothing = hub.status(TERNARY, folder)
    assert (nothing.state, nothing.problems) == ("absent", ())  # that files are missing is no news
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


@pytest.mark.slow
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


def test_the_catalog_does_not_take_the_hubs_word(server: FakeHub) -> None:
    entry = pinned_entry(server)
    server.repos[TERNARY][TEXT_ENCODER] = b"swapped" * 1000
    moved = Entry(entry.name, entry.title, entry.note, None, entry.repo, "main", entry.files)
    with pytest.raises(DownloadError, match=f"lists another {TEXT_ENCODER}"):
        run(moved)
    assert TEXT_ENCODER not in server.served
    run(moved, revision=server.commit(TERNARY))  # asked for by name: then the Hub's digests hold
    assert content(hub.find(TERNARY)) == needed(server.repos[TERNARY])


def test_a_repository_in_another_layout_is_refused_before_anything_is_downloaded(server: FakeHub) -> None:
    server.repos["acme/other"] = {"model_index.json": b"{}", "unet/model.safetensors": b"x" * 1000}
    with pytest.raises(DownloadError, match="in a layout that is read; for the published one it has no scheduler"):
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


def test_a_saved_token_that_has_expired_is_named_as_the_cause(server: FakeHub) -> None:
    server.expired_token = SECRET
    saved = Path(constants.HF_TOKEN_PATH)
    saved.write_text(SECRET)
    with pytest.raises(DownloadError, match=r"does not accept the token.*hf auth logout.*--token") as caught:
        run(TERNARY)
    assert "needs a token" not in str(caught.value)
    saved.unlink()
    run(TERNARY)
    assert hub.status(TERNARY).state == "ready"


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = size(server.repos[TERNARY]) + session.SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=enough - 1))
    with pytest.raises(session.NotEnoughSpaceError, match=r"needs 25\d\.\d MB, but only 25\d\.\d MB") as caught:
        run(TERNARY)
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (enough, enough - 1)
    assert server.bytes_served == 0
    assert hub.status(TERNARY).state == "absent"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=enough))
    run(TERNARY)
    # The second variant shares most files, so less is enough for it; a finished download needs nothing.
    own = 200_000 + 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=own + session.SPARE_BYTES))
    run(BINARY)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    run(BINARY)


def test_a_disk_that_cannot_be_looked_at_is_told_in_a_line(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "disk_usage", closed)
    with pytest.raises(DownloadError, match=f"{TERNARY}: .*: Permission denied; try again: bonsai-mlx download"):
        run(TERNARY)


def test_a_disk_that_fills_up_on_the_way_is_explained(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Iterator[int]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "transfer", full)
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


@pytest.mark.slow
@pytest.mark.parametrize("silence_s", [0.3, 0.0], ids=["packets are dropped", "connections are cut"])
def test_behind_a_firewall_what_is_complete_can_be_used(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch, silence_s: float
) -> None:
    run(TERNARY)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.05)
    server.api_silence_s = silence_s
    assert [event.done for event in run(TERNARY)] == [True]
    with pytest.raises(listing.HubUnreachableError, match=r"did not answer in time|the connection broke"):
        run(BINARY)


@pytest.mark.parametrize("name", ["nothing", "./nothing", "/no/such/folder"])
def test_what_cannot_be_found_is_answered_with_what_can(server: FakeHub, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"known are ternary, binary|there is no such file or folder"):
        hub.find(name)


@pytest.mark.parametrize("name", ["ternary", "Ternary", "bonsai-ternary", "seedling-binary"])
def test_a_folder_does_not_take_a_known_name_for_itself(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub.as_folder(name) is None
    assert hub.as_folder(f"./{name}") == hub.as_folder(Path(name)) == Path(name)


def test_a_folder_s_path_comes_before_a_repository_of_that_name(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = catalog.lookup("ternary").repo
    for name in (TERNARY, repo):
        assert hub.as_folder(str(name)) is None
        folder = run(TERNARY, folder=name)[-1].path
        assert hub.find(str(name)) == folder == Path(str(name))


def test_absent_checkpoints_name_the_command(server: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"not on this machine; get it \(3\.87 GB\) with: bonsai-mlx download ternary"
    ):
        hub.find("ternary")
    with pytest.raises(CheckpointError, match="bonsai-mlx download acme/none"):
        hub.find("acme/none")
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        hub.find(tmp_path)
    with pytest.raises(CheckpointError, match="ternary: there is no such folder"):
        hub.find(Path("ternary"))
    assert hub.remedy("ternary", "/a b") == "bonsai-mlx download ternary --dir '/a b'"
    assert hub.remedy("ternary", "m", "v2") == "bonsai-mlx download ternary --dir m --revision v2"
