"""What has to survive a power cut: waiting until a file, or the name of one, is on the disk itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


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
