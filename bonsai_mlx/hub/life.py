"""The life of one file of a checkpoint, from nothing to its place.

A file is there already, or another checkpoint has it and shares it, or it comes from the Hub, where a part of it may
have arrived before. Whatever way it came: it is hashed, on the disk, put into its place in one step, and noted. Nothing
counts before that.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadError
from ..fileio import open_regular, to_disk
from ..runtime.environment import hub_constants
from .entry import CheckpointFile
from .location import Location, Manifest, cache_folder, file_size, file_stat
from .progress import DownloadProgress, Meter, Progress

_CHUNK_BYTES = 8 << 20
_log = logging.getLogger(__name__)
Answer = Generator[DownloadProgress, None, bool]  # progress, and at its end yes or no


@dataclass(frozen=True, slots=True)
class Life:
    """One file in one place. `ours`: what lies under its name may be replaced or deleted."""

    file: CheckpointFile
    location: Location
    manifest: Manifest
    meter: Meter
    ours: bool
    token: str | None = None

    def obtain(self) -> Progress:
        """Make the file present, right and noted. Raises DownloadError; what has arrived stays for the next time."""
        if not (
            self.manifest.is_verified(self.file, self.location)
            or (yield from self._is_there())
            or (yield from self._is_shared())
        ):
            yield from self._fetch()
        self._note()
        self.meter.finish(self.file.size)

    def recheck(self) -> Generator[DownloadProgress, None, str]:
        """Hash the file again; returns what is wrong with it, "" if nothing. A wrong one of ours is deleted."""
        self.manifest.verified.pop(self.file.path, None)
        existing, fault = find(self.location, self.file), ""
        if existing is None:
            fault = f"{self.file.path} is missing"
        elif (yield from self._is_right(existing)):
            self._note()
        else:
            fault = f"{self.file.path} is damaged"
            if self.ours:
                discard(self.location, self.file)
                fault += " and was deleted"
        self.meter.finish(self.file.size)
        return fault

    def _is_there(self) -> Answer:
        existing = find(self.location, self.file)
        if existing is None:
            return False
        if existing.stat().st_size == self.file.size and (yield from self._is_right(existing)):
            if existing != self.location.file(self.file.path):
                install(self.location, existing, self.file)
            return True
        if not self.ours:
            raise DownloadError(
                f"{self.location.root} holds another file of that name, which bonsai-mlx did not download; choose "
                "another folder or remove the file"
            )
        discard(self.location, self.file)
        return False

    def _is_shared(self) -> Answer:
        for donor in donors(self.location, self.file):
            shared = _second_name(self.location, donor, self.file.digest)
            if (yield from self._is_right(shared)):
                install(self.location, shared, self.file)
                return True
            shared.unlink()
            _log.warning("%s is damaged and is not used; check the checkpoint it belongs to", donor)
        return False

    def _fetch(self) -> Progress:
        from huggingface_hub import hf_hub_url  # brings the HTTP client, as the next line does

        from .transfer import transfer

        partial = self.location.partial(self.file.digest)
        url = hf_hub_url(self.manifest.repo, self.file.path, revision=self.manifest.commit)
        for length in transfer(url, partial, self.file.size, self.token):
            if self.meter.advance(self.file.path, length, "downloading"):
                yield self.meter.event()
        if not (yield from self._is_right(partial, counts=False)):
            partial.unlink()
            raise DownloadError("what arrived is damaged and was deleted")
        install(self.location, partial, self.file)

    def _is_right(self, path: Path, *, counts: bool = True) -> Answer:
        """True if the content of `path` is that of the file, and on the disk.

        `counts`: hashing is the progress, not an afterthought.
        """
        hasher = _Hasher(self.file.digest, self.file.size)
        for done in hasher.feed(path):
            if self.meter.advance(self.file.path, done if counts else self.file.size, "checking"):
                yield self.meter.event()
        if hasher.matches:
            _to_disk(path)
        return hasher.matches

    def _note(self) -> None:
        self.manifest.verified[self.file.path] = self.location.file(self.file.path).stat().st_mtime_ns


def find(location: Location, file: CheckpointFile) -> Path | None:
    """The complete file, wherever it is; in the cache it may be there without its link."""
    blob = location.blobs / file.digest if location.blobs and file.digest else None
    return next((place for place in (location.file(file.path), blob) if place and place.is_file()), None)


def donors(location: Location, file: CheckpointFile) -> Iterator[Path]:
    """Files elsewhere that should be the same one: in other cached repositories and in neighbouring folders."""
    cached = cache_folder().glob(f"models--*/blobs/{file.digest}")
    beside = (
        folder / other.path
        for folder, manifest in location.neighbours()
        for other in manifest.files
        if other.digest == file.digest
    )
    for place in (*cached, *beside):
        if (
            os.access(place, os.R_OK)  # another user's may be closed to this one
            and file_size(place) == file.size
            and place.resolve() != location.file(file.path).resolve()
        ):
            yield place.resolve()


def bytes_to_store(location: Location, file: CheckpointFile) -> int:
    """How much of the disk having `file` is going to take: nothing if it is here or can be shared."""
    existing = find(location, file)
    if existing and file_size(existing) == file.size:
        return 0
    device = location.device()
    stats = (file_stat(donor) for donor in donors(location, file))
    if any(stat and stat.st_dev == device for stat in stats):
        return 0
    return max(0, file.size - (file_size(location.partial(file.digest)) or 0))


def install(location: Location, source: Path, file: CheckpointFile) -> None:
    """Move a complete, hashed file to its final place in one step; it never exists half-written there."""
    final = location.blobs / file.digest if location.blobs else location.file(file.path)
    final.parent.mkdir(parents=True, exist_ok=True)
    if source != final:
        source.replace(final)
    if location.blobs:
        _link(final, location.file(file.path))


def discard(location: Location, file: CheckpointFile) -> None:
    location.file(file.path).unlink(missing_ok=True)
    if location.blobs and file.digest:
        (location.blobs / file.digest).unlink(missing_ok=True)


def _second_name(location: Location, donor: Path, digest: str) -> Path:
    """For `donor` on this location's disk, or a copy where that cannot be; not yet checked."""
    location.private.mkdir(parents=True, exist_ok=True)
    shared = location.private / f"{digest}.shared"
    shared.unlink(missing_ok=True)
    try:
        os.link(donor, shared)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(donor, shared)
    return shared


def _link(blob: Path, pointer: Path) -> None:
    """Make `pointer` lead to `blob`: a relative link as in the Hub's cache, else a hard link, else a copy."""
    if pointer.exists() and pointer.samefile(blob):
        return
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        if hub_constants().HF_HUB_DISABLE_SYMLINKS:
            raise OSError("symbolic links are switched off")
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        try:
            pointer.hardlink_to(blob)
        except OSError:
            shutil.copyfile(blob, pointer)


class _Hasher:
    """Hashes a file the way its digest was made: sha256, or git's blob id for 40 digits."""

    def __init__(self, digest: str, size: int) -> None:
        self._hash = hashlib.sha256() if len(digest) == 64 else hashlib.sha1(usedforsecurity=False)
        if len(digest) == 40:
            self._hash.update(b"blob %d\0" % size)
        self._expected = digest

    def feed(self, path: Path) -> Iterator[int]:
        done = 0
        with open_regular(path, follow_symlinks=True) as file:
            while chunk := file.read(_CHUNK_BYTES):
                self._hash.update(chunk)
                done += len(chunk)
                yield done

    @property
    def matches(self) -> bool:
        return self._hash.hexdigest() == self._expected


def _to_disk(path: Path) -> None:
    """Wait until the file's content is safe from a power cut, before its name or the manifest says it is complete."""
    with open_regular(path, follow_symlinks=True) as file:
        to_disk(file.fileno())
