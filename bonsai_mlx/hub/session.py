"""Get or re-check the files of one checkpoint, one after the other, as a generator of progress.

Owns the order of things: list what the Hub has, hold it against the catalog, check the free space, and then for each
file use what is there, else share what another checkpoint has, else download; nothing counts before it has been hashed.
"""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import OIDCError

from ..durable import to_disk
from ..errors import CheckpointError, DownloadError
from ..runtime.environment import check_network, hub_constants
from .catalog import CheckpointFile, Entry, is_commit, is_digest, is_needed, missing_files
from .progress import DownloadProgress, Meter, Progress, finished
from .store import Hasher, Manifest, Store, free_bytes, remember_revision
from .transfer import NO_ANSWER, RETRY_WAITS_S, explain, is_temporary, transfer

SPARE_BYTES = 256_000_000  # left free on the disk, so that a download never fills it to the brim
_log = logging.getLogger(__name__)


class NotEnoughSpaceError(DownloadError):
    """The disk has too little room for what is still to be downloaded; nothing was started."""

    def __init__(self, folder: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{folder}: the download needs {needed_bytes / 1e9:.2f} GB, but only {free_bytes / 1e9:.2f} GB of the disk "
            "are free; make room or choose a folder on another disk"
            + ("; Finder counts what macOS could clear as available too" if sys.platform == "darwin" else "")
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class HubUnreachableError(DownloadError):
    """The Hub did not answer at all, so nothing is known about what it has."""


def list_files(entry: Entry, revision: str | None, token: str | None) -> tuple[str, tuple[CheckpointFile, ...]]:
    """The commit that `revision` stands for on the Hub and the files to have of it, small ones first.

    The catalog's own digests come first: unless another revision is asked for, the Hub must list the very same files.
    Tried again while the Hub is only briefly unwell. Raises DownloadError.
    """
    check_network()
    # The Hub's client would tell the Hub which libraries and programs run here, and first ask it what to look for.
    hub_constants().HF_HUB_DISABLE_TELEMETRY = True
    waits = iter(RETRY_WAITS_S[:3])
    while True:
        try:
            commit, files = _ask(entry, revision or entry.revision, token)
            break
        except httpx2.ConnectError as error:
            raise HubUnreachableError(f"{entry.repo}: {explain(error)}") from error
        except OIDCError as error:
            raise DownloadError(f"{entry.repo}: HF_OIDC_RESOURCE: {error}") from error
        except (httpx2.HTTPError, ConnectionError, ValueError) as error:
            wait = next(waits, None)
            if wait is None or not is_temporary(error):
                kind = HubUnreachableError if isinstance(error, NO_ANSWER) else DownloadError
                raise kind(f"{entry.repo}: {explain(error)}") from error
        time.sleep(wait)
    if not is_commit(commit) or not all(is_digest(file.digest) for file in files):
        raise DownloadError(f"{entry.repo}: the Hub's answer lacks the files' digests; is HF_ENDPOINT right?")
    if missing := missing_files(file.path for file in files):
        raise DownloadError(f"{entry.repo}: not a checkpoint in the published layout: it has no {missing[0]}")
    if revision in (None, entry.revision):
        _hold_against_catalog(entry, files)
    return commit, tuple(sorted(files, key=lambda file: (file.size, file.path)))


def _ask(entry: Entry, revision: str, token: str | None) -> tuple[str, list[CheckpointFile]]:
    from huggingface_hub import HfApi  # slow to import, and only a download needs it

    info = HfApi(endpoint=hub_constants().ENDPOINT).model_info(
        entry.repo or "",
        revision=revision,
        files_metadata=True,
        token=token,
        timeout=hub_constants().HF_HUB_ETAG_TIMEOUT,
    )
    files = [
        CheckpointFile(item.rfilename, item.size or 0, (item.lfs.sha256 if item.lfs else item.blob_id) or "")
        for item in info.siblings or ()
        if is_needed(item.rfilename)
    ]
    return info.sha or "", files


def _hold_against_catalog(entry: Entry, files: Iterable[CheckpointFile]) -> None:
    listed = {file.path: file for file in files}
    for file in entry.files:
        if file.digest and listed.get(file.path) != file:
            raise DownloadError(
                f"{entry.repo}: the Hub lists another {file.path} than the one this version of bonsai-mlx knows; "
                "update bonsai-mlx, or name a --revision to take the Hub's word for what is right"
            )


class Session:
    """The files of one checkpoint, being downloaded or checked; holds the manifest and the sums of progress.

    `previous` is the manifest that was in the same place before, if it can be read. Without any notes, the files of a
    plain folder are somebody else's and are never replaced or deleted.
    """

    def __init__(
        self, store: Store, manifest: Manifest, previous: Manifest | None, *, remedy: str, token: str | None = None
    ) -> None:
        self.store = store
        self.manifest = manifest
        self._previous = previous
        self._ours = store.has_notes() or store.blobs is not None
        self._remedy = remedy
        self._token = token
        self._meter = Meter(manifest.bytes_total)
        if previous:
            manifest.keep_verified(previous)

    def download(self) -> Progress:
        """Make every file of the manifest present and hashed. Raises DownloadError; the next call goes on."""
        with self.store.lock():
            with self._explained(self.manifest.repo):
                self._check_space()
                self._announce()
            for file in self.manifest.files:
                with self._explained(file.path):
                    yield from self._obtain(file)
            with self._explained(self.manifest.repo):
                self._tidy()
            yield finished(self.store.root, self._meter.total)

    def verify(self) -> Progress:
        """Hash every file again. Raises CheckpointError naming the wrong ones, after deleting those of a download."""
        wrong = []
        with self.store.lock():
            for file in self.manifest.files:
                self.manifest.verified.pop(file.path, None)
                existing = self.store.existing(file)
                if existing is None:
                    wrong.append(f"{file.path} is missing")
                elif (yield from self._check(existing, file)):
                    self._stamp(file)
                else:
                    wrong.append(f"{file.path} is damaged{self._delete(file)}")
                self._meter.finish(file.size)
            if self._ours or not wrong:
                self._save()
            if wrong:
                raise CheckpointError(f"{self.store.root}: {'; '.join(wrong)}; repair it with: {self._remedy}")
            yield finished(self.store.root, self._meter.total)

    def _announce(self) -> None:
        """Note what is to come, so that an interrupted download is known for what it is."""
        self.store.root.mkdir(parents=True, exist_ok=True)
        if self.store.blobs:
            remember_revision(self.manifest.repo, self.manifest.revision, self.manifest.commit)
        self._save()

    def _obtain(self, file: CheckpointFile) -> Progress:
        if not (self._is_verified(file) or (yield from self._use_present(file)) or (yield from self._use_shared(file))):
            yield from self._fetch(file)
        self._stamp(file)
        self._save()
        self._meter.finish(file.size)

    def _is_verified(self, file: CheckpointFile) -> bool:
        return self.manifest.is_verified(file, self.store)

    def _use_present(self, file: CheckpointFile) -> Generator[DownloadProgress, None, bool]:
        existing = self.store.existing(file)
        if existing is None:
            return False
        if existing.stat().st_size == file.size and (yield from self._check(existing, file)):
            if existing != self.store.file(file.path):
                self.store.install(existing, file)
            return True
        if not self._ours:
            raise DownloadError(
                f"{self.store.root} holds another file of that name, which bonsai-mlx did not download; choose another "
                "folder or remove the file"
            )
        self.store.discard(file)
        return False

    def _use_shared(self, file: CheckpointFile) -> Generator[DownloadProgress, None, bool]:
        for donor in self.store.donors(file):
            shared = self.store.share(donor, file.digest)
            if (yield from self._check(shared, file)):
                self.store.install(shared, file)
                return True
            shared.unlink()
            _log.warning("%s is damaged and is not used; check the checkpoint it belongs to", donor)
        return False

    def _fetch(self, file: CheckpointFile) -> Progress:
        partial = self.store.partial(file.digest)
        url = hf_hub_url(self.manifest.repo, file.path, revision=self.manifest.commit)
        for length in transfer(url, partial, file.size, self._token):
            if self._meter.advance(file.path, length, "downloading"):
                yield self._meter.event()
        if not (yield from self._check(partial, file, counts=False)):
            partial.unlink()
            raise DownloadError("what arrived is damaged and was deleted")
        self.store.install(partial, file)

    def _check(
        self, path: Path, file: CheckpointFile, *, counts: bool = True
    ) -> Generator[DownloadProgress, None, bool]:
        """True if the content of `path` is that of `file`, and on the disk.

        `counts`: hashing is the progress, not an afterthought.
        """
        hasher = Hasher(file.digest, file.size)
        for done in hasher.feed(path):
            if self._meter.advance(file.path, done if counts else file.size, "checking"):
                yield self._meter.event()
        if hasher.matches:
            _to_disk(path)
        return hasher.matches

    def _stamp(self, file: CheckpointFile) -> None:
        self.manifest.verified[file.path] = self.store.file(file.path).stat().st_mtime_ns

    def _save(self) -> None:
        self.manifest.write(self.store.manifest_path)

    def _delete(self, file: CheckpointFile) -> str:
        if not self._ours:
            return ""
        self.store.discard(file)
        return " and was deleted"

    def _tidy(self) -> None:
        """Remove what no download is going to finish, and files that an earlier revision had and this one lacks."""
        self.store.remove_leftovers()
        kept = {file.path for file in self.manifest.files}
        for file in self._previous.files if self._previous and not self.store.blobs else ():
            if file.path not in kept:
                self.store.discard(file)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Failures as DownloadError that names `what` and says how to go on."""
        try:
            yield
        except NotEnoughSpaceError:
            raise
        except DownloadError as error:
            raise DownloadError(f"{what}: {error}; run it again, it goes on from there: {self._remedy}") from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "the disk is full; make room and run it again" if full else f"{error.strerror or error}; try again"
            raise DownloadError(f"{what}: {self.store.root}: {reason}: {self._remedy}") from error

    def _check_space(self) -> None:
        needed = sum(self.store.bytes_to_store(file) for file in self.manifest.files)
        free = free_bytes(self.store.root)
        if needed and needed + SPARE_BYTES > free:
            raise NotEnoughSpaceError(self.store.root, needed + SPARE_BYTES, free)


def _to_disk(path: Path) -> None:
    """Wait until the file's content is safe from a power cut, before its name or the manifest says it is complete."""
    with path.open("rb") as file:
        to_disk(file.fileno())
