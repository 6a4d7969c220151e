"""Get or re-check the files of one checkpoint, one after the other, as a generator of progress.

Owns the order of things: one process at a time, room on the disk, a note of what is to come, every file in turn (`life`
tells how each of them gets there), and what is tidied up at the end.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..errors import CheckpointError, DownloadError
from ..runtime.environment import token_fault
from ..wording import format_bytes
from .entry import CheckpointFile
from .life import Life, bytes_to_store, discard
from .location import Location, Manifest, free_bytes, remember_revision
from .progress import Meter, Progress, finished

SPARE_BYTES = 256_000_000  # left free on the disk, so that a download never fills it to the brim


class NotEnoughSpaceError(DownloadError):
    """The disk has too little room for what is still to be downloaded; nothing was started."""

    def __init__(self, folder: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{folder}: the download needs {format_bytes(needed_bytes)}, but only {format_bytes(free_bytes)} of the "
            "disk are free; make room or choose a folder on another disk"
            + ("; Finder counts what macOS could clear as available too" if sys.platform == "darwin" else "")
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class Session:
    """The files of one checkpoint, being downloaded or checked; holds the manifest and the sums of progress.

    `previous` is the manifest that was in the same place before, if it can be read. Without any notes, the files of a
    plain folder are somebody else's and are never replaced or deleted.
    """

    def __init__(
        self,
        location: Location,
        manifest: Manifest,
        previous: Manifest | None,
        *,
        remedy: str,
        token: str | None = None,
    ) -> None:
        self.location = location
        self.manifest = manifest
        self._previous = previous
        self._ours = location.has_notes() or location.blobs is not None
        self._remedy = remedy
        self._token = token
        self._meter = Meter(manifest.bytes_total)
        if previous:
            manifest.keep_verified(previous)

    def download(self) -> Progress:
        """Make every file of the manifest present and hashed. Raises DownloadError; the next call goes on."""
        with self.location.lock():
            with self._explained(self.manifest.repo):
                self._check_space()
                self._announce()
            for file in self.manifest.files:
                with self._explained(file.path):
                    yield from self._life(file).obtain()
                    self._save()
            with self._explained(self.manifest.repo):
                self._tidy()
            yield finished(self.location.root, self._meter.total)

    def verify(self) -> Progress:
        """Hash every file again. Raises CheckpointError naming the wrong ones, after deleting those of a download."""
        wrong = []
        with self.location.lock():
            for file in self.manifest.files:
                if fault := (yield from self._life(file).recheck()):
                    wrong.append(fault)
            if self._ours or not wrong:
                self._save()
            if wrong:
                raise CheckpointError(f"{self.location.root}: {'; '.join(wrong)}; repair it with: {self._remedy}")
            yield finished(self.location.root, self._meter.total)

    def _life(self, file: CheckpointFile) -> Life:
        return Life(file, self.location, self.manifest, self._meter, ours=self._ours, token=self._token)

    def _announce(self) -> None:
        self.location.root.mkdir(parents=True, exist_ok=True)
        if self.location.blobs:
            remember_revision(self.manifest.repo, self.manifest.revision, self.manifest.commit)
        self._save()

    def _save(self) -> None:
        self.manifest.write(self.location.manifest_path)

    def _tidy(self) -> None:
        """Remove what no download is going to finish, and files that an earlier revision had and this one lacks."""
        self.location.remove_leftovers()
        kept = {file.path for file in self.manifest.files}
        for file in self._previous.files if self._previous and not self.location.blobs else ():
            if file.path not in kept:
                discard(self.location, file)

    def _explained(self, what: str) -> AbstractContextManager[None]:
        return explained(what, self.location.root, self._remedy)

    def _check_space(self) -> None:
        check_space(self.location, sum(bytes_to_store(self.location, file) for file in self.manifest.files))


def check_space(location: Location, needed: int) -> None:
    """NotEnoughSpaceError where `needed` bytes, and some to spare, are not free."""
    free = free_bytes(location.root)
    if needed and needed + SPARE_BYTES > free:
        raise NotEnoughSpaceError(location.root, needed + SPARE_BYTES, free)


@contextmanager
def explained(what: str, root: Path, remedy: str) -> Iterator[None]:
    """Failures as DownloadError that names `what` and says how to go on."""
    try:
        yield
    except NotEnoughSpaceError:
        raise
    except DownloadError as error:
        raise DownloadError(f"{what}: {error}; run it again, it goes on from there: {remedy}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full; make room and run it again" if full else f"{error.strerror or error}; try again"
        raise DownloadError(f"{what}: {root}: {reason}: {remedy}") from error


def checked_token(given: str | None) -> str | None:
    """A token as somebody gave it, or None; DownloadError for what can be none."""
    token = (given or "").strip() or None
    if token and (fault := token_fault("--token", token)):
        raise DownloadError(fault)
    return token
