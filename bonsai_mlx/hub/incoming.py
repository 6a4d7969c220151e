"""Get a repository's files one after the other for somebody who packs each of them before the next one comes.

Beside what is made of them no more than one file lies on the disk: it is taken away when it has been used up, and that
is noted, so that it does not come again. All of this lies in one folder of the checkpoint's notes until the checkpoint
is whole. Knows nothing of what is made.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..errors import DownloadError
from ..fileio import open_regular, to_disk, write_atomic
from ..runtime.environment import hub_constants
from ..wording import user_path
from .catalog import lookup, remedy
from .entry import CheckpointFile, Entry
from .life import Life, bytes_to_store
from .location import Location, Manifest, file_size, folder_location, packed_folder, packing_location
from .progress import Meter, Progress
from .session import check_space, checked_token, explained

_CHUNK_BYTES = 8 << 20


class Incoming:
    """The files of one repository, on their way into the checkpoint at `place`."""

    def __init__(
        self, place: Location, source: Manifest, precision: str, *, remedy: str, token: str | None = None
    ) -> None:
        self.place, self.source, self.precision, self.remedy = place, source, precision, remedy
        self.staging = packing_location(place)
        self.out = self.staging.private / "out"  # the checkpoint, until it is whole
        self._token = token
        self._meter = Meter(source.bytes_total)
        self._sealed = self.staging.private / "sealed.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """While it is made no other process works in the same place. Notes what is going to come."""
        with self.place.lock():
            with self.explained(self.source.repo):
                if previous := Manifest.read(self.staging.manifest_path):
                    self.source.keep_verified(previous)
                self.out.mkdir(parents=True, exist_ok=True)
                self.source.write(self.staging.manifest_path)
            yield

    def explained(self, what: str) -> AbstractContextManager[None]:
        return explained(what, self.place.root, self.remedy)

    def get(self, file: CheckpointFile) -> Progress:
        """Make the file present and right, in `path(file)`; nothing if it was used up before."""
        if self.is_used(file):
            self._meter.finish(file.size)
            self.path(file).unlink(missing_ok=True)
            return
        with self.explained(file.path):
            yield from Life(file, self.staging, self.source, self._meter, ours=True, token=self._token).obtain()
            self.source.write(self.staging.manifest_path)

    def path(self, file: CheckpointFile) -> Path:
        return self.staging.file(file.path)

    def tell_packing(self, what: str) -> Progress:
        if self._meter.advance(what, 0, "packing"):
            yield self._meter.event()

    def is_used(self, file: CheckpointFile) -> bool:
        return self.staging.mark(file.digest).is_file()

    def use_up(self, file: CheckpointFile, contents: Iterable[str]) -> None:
        """Take the file away: what it holds is on the disk in its new form. `contents` are the names of that."""
        write_atomic(self.staging.mark(file.digest), "\n".join(contents).encode())
        self.path(file).unlink()

    def used(self, files: Iterable[CheckpointFile]) -> set[str]:
        """The names of everything that was used up."""
        return {
            name
            for file in files
            if self.is_used(file)
            for name in self.staging.mark(file.digest).read_text("utf-8").split()
        }

    def forget(self, files: Iterable[CheckpointFile]) -> None:
        """What was made of these is gone, so they have to come again."""
        for file in files:
            self.staging.mark(file.digest).unlink(missing_ok=True)

    def check_space(self, kept: Iterable[CheckpointFile], passing: Iterable[CheckpointFile], made: int) -> None:
        """NotEnoughSpaceError where the disk lacks room for what stays, the largest that passes, and `made` bytes."""
        stays = sum(bytes_to_store(self.staging, file) for file in kept)
        largest = max((bytes_to_store(self.staging, file) for file in passing if not self.is_used(file)), default=0)
        check_space(self.place, stays + largest + made)

    @property
    def is_sealed(self) -> bool:
        return self._sealed.is_file()

    def seal(self) -> Progress:
        """Hash what was made: from here on it only has to go to its place."""
        files, times = [], {}
        with self.explained(self.source.repo):
            for path in sorted(path for path in self.out.rglob("*") if path.is_file()):
                name, hasher = path.relative_to(self.out).as_posix(), hashlib.sha256()
                with open_regular(path) as opened:
                    while chunk := opened.read(_CHUNK_BYTES):
                        hasher.update(chunk)
                        if self._meter.advance(name, 0, "checking"):
                            yield self._meter.event()
                    to_disk(opened.fileno())
                files.append(CheckpointFile(name, path.stat().st_size, hasher.hexdigest()))
                times[name] = path.stat().st_mtime_ns
            source = self.source
            made = Manifest(source.repo, source.revision, source.commit, tuple(files), times, self.precision)
            made.write(self._sealed)

    def publish(self) -> None:
        """Move what was made to its place, where a power cut or a crash leaves it as it was or whole."""
        with self.explained(self.source.repo):
            made = Manifest.read(self._sealed)
            if made is None:
                self._sealed.unlink()
                raise DownloadError("the notes of what was packed are damaged")
            for file in made.files:
                there, final = self.out / file.path, self.place.file(file.path)
                if there.is_file():
                    final.parent.mkdir(parents=True, exist_ok=True)
                    there.replace(final)
                elif file_size(final) != file.size:
                    self._sealed.unlink()
                    raise DownloadError(f"{file.path} has gone while it was moved")
            made.write(self.place.manifest_path)
            shutil.rmtree(self.staging.private)


def begin(entry: Entry, folder: Path | str | None = None, token: str | None = None) -> Incoming:
    """What is to be packed for `entry`, in `folder` or beside the cache's repositories. Raises DownloadError."""
    if entry.made_from is None:
        raise DownloadError(f"{entry.title} is not made from another model; download it as it is")
    source, token = lookup(entry.made_from), checked_token(token)
    place = folder_location(user_path(folder) if folder else packed_folder(entry.name))
    command, precision = remedy(entry, folder, origin="bf16"), entry.precision or ""
    previous = Manifest.read(place.manifest_path)
    if previous and (previous.repo, previous.packed) != (source.repo, precision):
        what = f"{previous.packed} weights of {previous.repo}" if previous.packed else previous.repo
        raise DownloadError(f"{place.root} holds {what}; choose another folder for {entry.title}, or delete that")
    begun = Manifest.read(packing_location(place).manifest_path)
    if begun and (begun.repo, begun.commit) == (source.repo, source.revision):  # a commit stays what it is
        return Incoming(place, begun, precision, remedy=command, token=token)
    if hub_constants().is_offline_mode():
        raise DownloadError(f"offline mode is on (HF_HUB_OFFLINE); unset it, then: {command}")
    from . import listing  # brings the HTTP client

    commit, files = listing.list_files(source, None, token)
    manifest = Manifest(source.repo or "", source.revision, commit, files)
    return Incoming(place, manifest, precision, remedy=command, token=token)
