"""Files in the output folder: written as a whole or not at all, symbolic links never followed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path

from bonsai_mlx.fileio import (
    FILE_MODE,
    FOLDER_MODE,
    PRIVATE_FILE_MODE,
    PRIVATE_FOLDER_MODE,
    TEMPORARY_PREFIX,
    NotARegularFileError,
    create_exclusive,
    open_regular,
    read_bounded,
    temporary_name,
    write_atomic,
)
from bonsai_mlx.images.metadata import Format
from bonsai_mlx.images.scan import MAX_FILE_BYTES

from .folder import ID, SUFFIXES, File

TRASH, THUMBNAILS = ".trash", ".thumbnails"
HIDDEN = ".bonsai."  # what the names of the lock and of the index begin with
LOCK = f"{HIDDEN}lock"
_OURS = re.compile(rf"{re.escape(HIDDEN)}|(?:{ID.pattern}){{1,2}}\.")  # inputs have digests for names, twice as long


def read_file(path: Path) -> bytes:
    """The file's bytes; OSError when it is missing, too large for a picture, or no regular file."""
    return read_bounded(path, MAX_FILE_BYTES)


def is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def write_disposable(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Replace `path` atomically without waiting for the disk: for files that can be made again."""
    write_atomic(path, data, mode=mode, durable=False)


def make_folder(folder: Path, *, private: bool) -> None:
    """A folder of ours; NotADirectoryError for a link in its place."""
    _refuse_link(folder)
    folder.mkdir(mode=PRIVATE_FOLDER_MODE if private else FOLDER_MODE, exist_ok=True)


def make_private(folder: Path) -> None:
    """The folder and our files in it for their owner's eyes alone, also those that were made before that was wanted."""
    folder.chmod(PRIVATE_FOLDER_MODE)
    with os.scandir(folder) as entries:
        ours = [Path(entry) for entry in entries if _OURS.match(entry.name) and entry.is_file(follow_symlinks=False)]
    for path in ours:
        with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
            os.fchmod(file.fileno(), PRIVATE_FILE_MODE)


def check_room(folder: Path, size_bytes: int) -> None:
    probe = temporary_name(folder)
    try:
        with create_exclusive(probe, mode=PRIVATE_FILE_MODE) as file:
            file.write(bytes(size_bytes))
    finally:
        probe.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """FileNotFoundError if the file is in neither place: an attempt before may have moved it and noted nothing."""
    try:
        source.replace(target)
    except FileNotFoundError:
        if not is_file(target):
            raise


def bring_back(trash: Path, folder: Path, image_id: str, kind: Format, name: str | None) -> File:
    """Move a deleted picture where it was, under its id if its own name is somebody else's by now.

    FileNotFoundError when it is gone.
    """
    suffix = SUFFIXES[kind]
    source, target = trash / f"{image_id}{suffix}", folder / (name or f"{image_id}{suffix}")
    if source.exists() and (target.parent != folder or os.path.lexists(target)):
        target = folder / f"{image_id}{suffix}"
    move(source, target)
    status = target.lstat()
    return File(target.name, image_id, status.st_size, status.st_mtime_ns, status.st_ino)


class FolderInUseError(Exception):
    """Another server works in this folder."""


def lock_folder(folder: Path) -> int:
    """Claim a folder for this process; closing the returned descriptor, or ending however, gives it back.

    NotARegularFileError where something else, such as a link to a file elsewhere, has the name of one of ours.
    """
    _refuse_planted(folder)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            message = f"{folder} is in use by another server; choose another folder with --output"
            raise FolderInUseError(message) from error
        raise OSError(error.errno, f"its volume has no locks ({error.strerror})") from error  # some in networks
    return descriptor


def _refuse_planted(folder: Path) -> None:
    """SQLite would follow a link, and wait for a pipe; what is deleted would be somebody else's."""
    for name in (TRASH, THUMBNAILS):
        _refuse_link(folder / name)
    for path in folder.glob(f"{HIDDEN}*"):
        if not is_file(path):
            raise NotARegularFileError(path, path.lstat().st_mode)


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder.name} in it is a symbolic link", str(folder))


def sweep(folder: Path, prefixes: tuple[str, ...] = (TEMPORARY_PREFIX,)) -> int:
    """Delete what interrupted writes left behind; returns how many files. Call before anything writes."""
    left = [entry for entry in folder.iterdir() if entry.name.startswith(prefixes) and entry.is_file()]
    for entry in left:
        entry.unlink(missing_ok=True)
    return len(left)
