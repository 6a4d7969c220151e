"""Damage, in transit or on the disk, is found before anything uses it, and the named command repairs it."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from bonsai_mlx import fileio
from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub.location import Manifest

from ..fake_hub import FakeHub, Fault
from .world import (
    BINARY,
    TERNARY,
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    content,
    damage,
    damage_unnoticed,
    needed,
    notes_of,
    partial_of,
    pinned_entry,
    run,
)


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_is_detected_and_the_next_run_repairs_it(server: FakeHub, seed: int) -> None:
    paths = sorted(needed(server.repos[TERNARY]))
    path = paths[seed % len(paths)]
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
    damage_unnoticed(hub.find(TERNARY) / VAE)
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


@pytest.mark.parametrize("origin", ["downloaded", "copied from the cache", "there already"])
def test_files_are_on_the_disk_before_the_manifest_says_so(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    folder = tmp_path / "m"
    if origin != "downloaded":
        run(TERNARY, folder=folder if origin == "there already" else None)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
    flushed: set[tuple[int, int]] = set()
    write = Manifest.write

    def identity(stat: os.stat_result) -> tuple[int, int]:
        return stat.st_ino, stat.st_mtime_ns

    def write_and_look(manifest: Manifest, path: Path) -> None:
        write(manifest, path)
        assert {identity((folder / name).stat()) for name in manifest.verified} <= flushed
        assert identity(path.stat()) in flushed

    monkeypatch.setattr(os, "link", _refuse)
    monkeypatch.setattr(Manifest, "write", write_and_look)
    monkeypatch.setattr(fileio.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fileio.fcntl, "fcntl", lambda descriptor, _: flushed.add(identity(os.fstat(descriptor))))
    run(TERNARY, folder=folder)
    assert len(flushed) > len(needed(server.repos[TERNARY]))


def _refuse(*_: object) -> None:
    raise OSError(errno.EXDEV, "another disk")


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
    other = hub.status(BINARY, tmp_path / "m")
    assert other.state == "absent"
    assert "holds acme/tiny-ternary" in other.problems[0]
    assert content(tmp_path / "m") == needed(server.repos[TERNARY])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1, "files": [{"path": "../x", "size": 1, "digest": "aa"}]}']
)
def test_a_spoilt_manifest_only_costs_another_check(server: FakeHub, text: str) -> None:
    run(TERNARY)
    next(notes_of(TERNARY).glob("*.json")).write_text(text)
    assert (hub.status(TERNARY).state, hub.status(TERNARY).verified) == ("ready", False)
    server.forget()
    run(TERNARY)
    assert server.bytes_served == 0
    assert hub.status(TERNARY).verified
