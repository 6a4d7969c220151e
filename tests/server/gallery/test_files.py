import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from bonsai_mlx.fileio import NotARegularFileError
from server.gallery.files import (
    LOCK,
    FolderInUseError,
    check_room,
    lock_folder,
    make_folder,
    make_private,
    read_file,
    sweep,
    write_disposable,
)
from server.gallery.folder import scan
from server.store import NAME

ID = "0123456789abcdef" * 2


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    link = tmp_path / f"{ID}.png"
    link.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        read_file(link)
    assert [file.name for file in scan(tmp_path, {})] == ["secret"]


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


@pytest.mark.parametrize("name", [LOCK, NAME, f"{NAME}-wal"])
@pytest.mark.parametrize("planted", ["link", "dangling link", "pipe", "folder"])
def test_nothing_planted_under_our_names_is_used(tmp_path: Path, name: str, planted: str) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    folder.mkdir()
    if planted == "link":
        elsewhere.write_bytes(b"precious")
    if "link" in planted:
        (folder / name).symlink_to(elsewhere)
    elif planted == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    with pytest.raises(NotARegularFileError, match=rf"{name}: it is a .*, not a file"):
        lock_folder(folder)
    assert not elsewhere.exists() or elsewhere.read_bytes() == b"precious"


def test_a_planted_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    folder, precious = tmp_path / "out", tmp_path / "precious"
    folder.mkdir()
    precious.write_bytes(b"precious")
    for name in (f".tmp-{os.getpid()}", f".tmp-{os.getpid()}-thumbnail"):
        (folder / name).symlink_to(precious)
    check_room(folder, 100)
    write_disposable(folder / "thumbnail", b"new")
    assert precious.read_bytes() == b"precious"
    assert (folder / "thumbnail").read_bytes() == b"new"


def test_a_link_is_no_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".trash").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError, match=r"\.trash in it is a symbolic link"):
        make_folder(tmp_path / ".trash", private=False)


def test_private_folders_show_nothing_and_leave_other_files_alone(tmp_path: Path) -> None:
    names = (f"{ID}.png", f"{ID}.webp", NAME, f"{NAME}-wal", "letter.txt")
    for name in names:
        (tmp_path / name).touch(0o644)
    (tmp_path / f"{'0' * 32}.png").symlink_to(tmp_path / "letter.txt")
    make_private(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names}
    assert modes == dict.fromkeys(names, 0o600) | {"letter.txt": 0o644}
