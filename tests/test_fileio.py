"""Foreign files are opened without waiting for anybody and read up to a bound; what is made is new and never a link."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bonsai_mlx import fileio
from bonsai_mlx.fileio import (
    TEMPORARY_PREFIX,
    FileTooLargeError,
    NotARegularFileError,
    create_exclusive,
    open_regular,
    read_bounded,
    temporary_name,
    write_atomic,
)


def _listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_named_and_never_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    NO_FILES[kind](path)
    with pytest.raises(NotARegularFileError, match=rf"config\.json: it is {kind}, not a file"):
        read_bounded(path, 100, follow_symlinks=True)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # such a name may have only 104 characters
    _listen(Path("config.json"))
    with pytest.raises(OSError, match=r"config\.json"):  # which the system does not even open
        open_regular(tmp_path / "config.json")


def test_nothing_stays_open_of_what_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(NotARegularFileError):
            open_regular(tmp_path / "pipe")
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_links_are_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to("blob")
    assert read_bounded(link, 7, follow_symlinks=True) == b"content"
    with pytest.raises(OSError, match="link") as refused:
        read_bounded(link, 7)
    assert refused.value.errno == errno.ELOOP


@pytest.mark.parametrize(("size", "fits"), [(0, True), (99, True), (100, True), (101, False), (10**12, False)])
def test_reading_ends_at_the_limit(size: int, fits: bool, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(size)
    if fits:
        assert read_bounded(path, 100) == bytes(size)
    else:
        with pytest.raises(FileTooLargeError, match=r"manifest\.json: it is larger than the 100 bytes"):
            read_bounded(path, 100)


def test_a_new_file_takes_nobodys_place(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"old")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("precious", "link", "dangling"):
        with pytest.raises(FileExistsError):
            create_exclusive(tmp_path / name)
    assert precious.read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()
    with create_exclusive(tmp_path / "new", mode=0o600) as file:
        file.write(b"x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_temporary_names_are_never_the_same(tmp_path: Path) -> None:
    names = {temporary_name(tmp_path, ".png").name for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(TEMPORARY_PREFIX) and name.endswith(".png") for name in names)


@pytest.mark.parametrize("durable", [False, True])
def test_writing_replaces_a_link_and_leaves_nothing_else(durable: bool, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    path = tmp_path / "fox.webp"
    path.symlink_to("precious")
    write_atomic(path, b"new", mode=0o600, durable=durable)
    assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fox.webp", "precious"]


def test_what_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "fox.png"
    write_atomic(path, b"old")
    monkeypatch.setattr(fileio, "to_disk", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["fox.png"]


@pytest.mark.parametrize("refused", [False, True])
def test_macos_flushes_the_drive_where_the_volume_can(
    refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def full_sync(_descriptor: int, _command: int) -> None:
        calls.append("full")
        if refused:
            raise OSError("not supported")

    monkeypatch.setattr(fileio.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fileio.fcntl, "fcntl", full_sync)
    monkeypatch.setattr(fileio.os, "fsync", lambda _descriptor: calls.append("plain"))
    with (tmp_path / "file").open("wb") as file:
        fileio.to_disk(file.fileno())
    assert calls == (["full", "plain"] if refused else ["full"])


def test_a_file_that_cannot_be_flushed_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.delattr(fileio.fcntl, "F_FULLFSYNC", raising=False)
    monkeypatch.setattr(fileio.os, "fsync", fail)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="Input/output"):
        fileio.to_disk(file.fileno())


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path: Path) -> None:
    fileio.folder_to_disk(tmp_path / "gone")
