"""A disk that can be filled to the brim and emptied again."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE_BYTES = 4_096
FULL = "BONSAI_TEST_FULL"  # names a file; while it exists, the engine of the stress tests draws pictures too large
TOO_LARGE_BYTES = 2 << 20  # for the server's files where there is no real small disk


def limit_files(size_bytes: int | None) -> None:
    """How large a file this process may write from now on."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size_bytes is None else size_bytes, hard))


class SmallDisk:
    """`folder` is on it. Made of memory where that is allowed; otherwise the size of files is limited instead.

    `gate` exists while it is full and not `real`, for the engine. With `ours`, it is for this process alone; otherwise
    for those that it starts inside of `limited`.
    """

    def __init__(self, folder: Path, gate: Path, *, real: bool, ours: bool) -> None:
        self.folder = folder
        self.real = real
        self.gate = gate
        self._ours = ours
        self._ballast = folder / "ballast"

    @contextmanager
    def limited(self) -> Iterator[None]:
        """What is started inside writes no file of more than TOO_LARGE_BYTES, unless the disk is `real`."""
        if not self.real:
            limit_files(TOO_LARGE_BYTES)
        try:
            yield
        finally:
            limit_files(None)

    def fill(self, left: int = 0) -> None:
        """Leave room for `left` pages at most."""
        self.empty()
        if not self.real:
            self.gate.touch()
            if self._ours:
                limit_files(left * PAGE_BYTES)
            return
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(descriptor, bytes(PAGE_BYTES)) == PAGE_BYTES:
                pass
        except OSError:
            pages = os.lseek(descriptor, 0, os.SEEK_END) // PAGE_BYTES
            os.ftruncate(descriptor, max(0, pages - left) * PAGE_BYTES)
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Give all the room back."""
        if self._ours:
            limit_files(None)
        self._ballast.unlink(missing_ok=True)
        self.gate.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int, *, ours: bool = False) -> Iterator[SmallDisk]:
    """A disk below `folder`; `real` if it is one (Linux, as root), and not only a limit on the size of files."""
    place = folder / "disk"
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(place)]
    real = sys.platform == "linux" and os.getuid() == 0
    real = real and subprocess.run(command, capture_output=True, check=False).returncode == 0
    disk = SmallDisk(place, folder / "full", real=real, ours=ours)
    try:
        yield disk
    finally:
        disk.empty()
        if real:
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607
