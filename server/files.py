"""Files in the output folder: named by ids alone, written as a whole or not at all, symbolic links never followed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from bonsai_mlx.containers import MAX_FILE_BYTES
from bonsai_mlx.fileio import TEMPORARY_PREFIX, read_bounded, write_atomic

ID = re.compile(r"[0-9a-f]{32}")
LOCK = ".bonsai.lock"


def read_file(path: Path) -> bytes:
    """The file's bytes; OSError when it is missing, too large for a picture, or no regular file."""
    return read_bounded(path, MAX_FILE_BYTES)


def is_file(path: Path) -> bool:
    """Whether there is a regular file, and not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def write_disposable(path: Path, data: bytes) -> None:
    """Replace `path` atomically without waiting for the disk: for files that can be made again."""
    write_atomic(path, data, durable=False)


def move(source: Path, target: Path) -> None:
    """FileNotFoundError if the file is in neither place: an attempt before may have moved it and noted nothing."""
    try:
        source.replace(target)
    except FileNotFoundError:
        if not target.exists():
            raise


class FolderInUseError(Exception):
    """Another server works in this folder."""


def lock_folder(folder: Path) -> int:
    """Claim a folder for this process; closing the returned descriptor, or ending however, gives it back."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            message = f"{folder} is in use by another server; choose another folder with --output"
            raise FolderInUseError(message) from error
        raise OSError(error.errno, f"its volume has no locks ({error.strerror})") from error  # some in networks
    return descriptor


def ids_in(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The id and status of every regular `<id>.png` in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            stem = entry.name.removesuffix(".png")
            if stem != entry.name and ID.fullmatch(stem) and entry.is_file(follow_symlinks=False):
                yield stem, entry.stat(follow_symlinks=False)


def sweep(folder: Path, prefixes: tuple[str, ...] = (TEMPORARY_PREFIX,)) -> int:
    """Delete what interrupted writes left behind; returns how many files. Call before anything writes."""
    left = [entry for entry in folder.iterdir() if entry.name.startswith(prefixes) and entry.is_file()]
    for entry in left:
        entry.unlink(missing_ok=True)
    return len(left)
