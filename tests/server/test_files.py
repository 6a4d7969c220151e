import errno
import fcntl
import os
from pathlib import Path

import pytest

from server.files import FolderInUseError, ids_in, lock_folder, read_file, sweep, write_disposable

ID = "0123456789abcdef" * 2


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    link = tmp_path / f"{ID}.png"
    link.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        read_file(link)
    assert list(ids_in(tmp_path)) == []


def test_only_files_named_by_ids_are_ours(tmp_path: Path) -> None:
    for name in (f"{ID}.png", f"{ID}.jpg", "holiday.png", f"{ID[:-1]}.png", f"{ID.upper()}.png", f"{ID}.png.png"):
        (tmp_path / name).touch()
    (tmp_path / f"{'0' * 32}.png").mkdir()
    assert [found for found, _ in ids_in(tmp_path)] == [ID]


def test_writing_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "thumbnail"
    write_disposable(path, b"one")
    write_disposable(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["thumbnail"]


def test_what_interrupted_writes_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-123-x").touch()
    (tmp_path / f"{ID}.png").touch()
    assert sweep(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"{ID}.png"]


def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    with pytest.raises(FolderInUseError, match="another server"):
        lock_folder(tmp_path)
    os.close(held)
    os.close(lock_folder(tmp_path))


def test_a_volume_without_locks_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(OSError, match="volume has no locks"):
        lock_folder(tmp_path)
