"""Data reaches the disk itself, by whatever call this system and this volume have for it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bonsai_mlx import durable


@pytest.mark.parametrize("refused", [False, True])
def test_macos_flushes_the_drive_where_the_volume_can(
    refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def full_sync(_descriptor: int, _command: int) -> None:
        calls.append("full")
        if refused:
            raise OSError("not supported")

    monkeypatch.setattr(durable.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(durable.fcntl, "fcntl", full_sync)
    monkeypatch.setattr(durable.os, "fsync", lambda _descriptor: calls.append("plain"))
    with (tmp_path / "file").open("wb") as file:
        durable.to_disk(file.fileno())
    assert calls == (["full", "plain"] if refused else ["full"])


def test_a_file_that_cannot_be_flushed_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.delattr(durable.fcntl, "F_FULLFSYNC", raising=False)
    monkeypatch.setattr(durable.os, "fsync", fail)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="Input/output"):
        durable.to_disk(file.fileno())


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path: Path) -> None:
    durable.folder_to_disk(tmp_path / "gone")
