"""The one way to open files that somebody else may have put there, and to make files where somebody else may write.

A name in a folder can be anything: a pipe that never answers, a device without an end, a link to another place, a file
of a hundred gigabytes. What is read here is a regular file of a bounded size; what is made here is new, under a name
that nobody can foresee, and never goes through a link. Every error is an OSError whose text names the file. What has to
survive a power cut waits until it is on the disk itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".tmp-"  # what a killed process leaves behind starts with this
FILE_MODE, PRIVATE_FILE_MODE = 0o666, 0o600  # the first is narrowed by the umask, as everywhere
FOLDER_MODE, PRIVATE_FOLDER_MODE = 0o777, 0o700

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


class NotARegularFileError(OSError):
    """Something other than a file has the name of one."""

    def __init__(self, path: Path, mode: int) -> None:
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        super().__init__(errno.EINVAL, f"it is {kind}, not a file", str(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class FileTooLargeError(OSError):
    """A file is larger than what is read of its kind."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        reason = f"it is larger than the {limit_bytes:,} bytes that are read of such a file"
        super().__init__(errno.EFBIG, reason, str(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def open_regular(path: Path | str, *, follow_symlinks: bool = False) -> BufferedReader:
    """A regular file, opened for reading without ever waiting for another program.

    NotARegularFileError for pipes, devices, sockets and folders; OSError (ELOOP) for a symbolic link unless
    `follow_symlinks`, as the cache of the Hub needs it, whose files are links.
    """
    descriptor = os.open(path, _OPEN | (0 if follow_symlinks else os.O_NOFOLLOW))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise NotARegularFileError(Path(path), mode)
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path | str, limit_bytes: int, *, follow_symlinks: bool = False) -> bytes:
    """All of a regular file; FileTooLargeError, having read none of it, beyond `limit_bytes`. Else as open_regular."""
    with open_regular(path, follow_symlinks=follow_symlinks) as file:
        data = b"" if os.fstat(file.fileno()).st_size > limit_bytes else file.read(limit_bytes + 1)
        if len(data) > limit_bytes or os.fstat(file.fileno()).st_size > limit_bytes:  # it may grow meanwhile
            raise FileTooLargeError(Path(path), limit_bytes)
        return data


def create_exclusive(path: Path | str, *, mode: int = FILE_MODE) -> BinaryIO:
    """A new file for writing and reading; FileExistsError if the name is taken, by a link as well.

    `mode` is narrowed by the process's umask.
    """
    return os.fdopen(os.open(path, _CREATE, mode), "w+b")


def temporary_name(folder: Path, suffix: str = "") -> Path:
    """A name in `folder` that nobody can foresee, which `sweep` of an interrupted program's files knows."""
    return folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}{suffix}"


def write_atomic(path: Path, data: bytes, *, mode: int = FILE_MODE, durable: bool = True) -> None:
    """Write the file whole or not at all, whenever the process stops; a link at `path` is replaced, not followed.

    `durable`: also whenever the machine stops, which waits for the disk. OSError: `path` is what it was before.
    """
    temporary = temporary_name(path.parent, path.suffix)  # the same folder: a rename stays atomic
    try:
        with create_exclusive(temporary, mode=mode) as file:
            file.write(data)
            file.flush()
            if durable:
                to_disk(file.fileno())
        temporary.replace(path)
        if durable:
            folder_to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):  # gone after the rename; otherwise it must not stay behind
            temporary.unlink()


def to_disk(descriptor: int) -> None:
    """Wait until what was written to an open file is safe; before that, nothing may say that it is complete.

    On macOS fsync leaves the data in the drive's cache and F_FULLFSYNC is the real thing, where a volume has it.
    """
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        with contextlib.suppress(OSError):  # network volumes refuse it
            fcntl.fcntl(descriptor, full_sync)
            return
    os.fsync(descriptor)


def folder_to_disk(folder: Path) -> None:
    """Make a new name in `folder` durable. Some volumes cannot do that, and the file is in place all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            to_disk(descriptor)
        finally:
            os.close(descriptor)
