"""Where a checkpoint's files lie on this disk, and what is written down about them.

Owns the two layouts, a snapshot in the Hugging Face cache (as `huggingface_hub` itself lays it out) and a plain folder,
and the manifest beside them: what the checkpoint consists of and which files have been hashed. Knows nothing of the
network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..errors import CheckpointInUse, DownloadError
from ..fileio import read_bounded, write_atomic
from ..runtime.environment import hub_constants
from ..weights.layout import is_part, is_whole
from .addresses import is_commit, is_digest, is_repository
from .entry import CheckpointFile

_MAX_MANIFEST_BYTES = 64 << 10  # a published checkpoint's has 4 KB
_MAX_REFERENCE_BYTES = 1 << 10  # a commit's 40 digits
_PRIVATE = Path(".cache") / "bonsai-mlx"  # beside the Hub client's own .cache/huggingface in a plain folder


@dataclass(slots=True)
class Manifest:
    """What one revision of one repository consists of, and which of its files were hashed and found right."""

    repo: str
    revision: str  # as asked for: a branch, a tag or a commit
    commit: str
    files: tuple[CheckpointFile, ...]  # every one with its digest
    verified: dict[str, int] = field(default_factory=dict)  # path -> modification time (ns) of the file that was hashed
    packed: str = ""  # the precision that it was packed in here, as "4-bit"; `files` are what came of it then

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files)

    def agrees_with(self, known: Iterable[CheckpointFile]) -> bool:
        """True if it has every one of `known` that has a digest, and the very same."""
        return {file for file in known if file.digest} <= set(self.files)

    def is_verified(self, file: CheckpointFile, location: Location) -> bool:
        """True if `file` is in its place and has not been touched since it was hashed and found right."""
        stat = file_stat(location.file(file.path))
        return stat is not None and (stat.st_size, stat.st_mtime_ns) == (file.size, self.verified.get(file.path))

    def keep_verified(self, previous: Manifest) -> None:
        """Take over from an earlier manifest of the same place what it knows of the files that are still the same."""
        same = {file.path for file in set(self.files) & set(previous.files)}
        self.verified |= {path: mtime for path, mtime in previous.verified.items() if path in same}

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """The manifest at `path`, or None if there is none that can be trusted; then files are hashed again."""
        try:
            stored = _manifests.decode(read_bounded(path, _MAX_MANIFEST_BYTES))
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
        files = tuple(CheckpointFile(file.path, file.size, file.digest) for file in stored.files)
        return cls(stored.repo, stored.revision, stored.commit, files, stored.verified, stored.packed)

    def write(self, path: Path) -> None:
        """Replace the manifest at `path` in one step, so that a reader, or a power cut, never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = msgspec.convert({"format": 1, **asdict(self)}, _StoredManifest)
        write_atomic(path, msgspec.json.format(msgspec.json.encode(stored), indent=1))


class _StoredFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of a manifest as JSON has it."""

    path: str
    size: Annotated[int, Meta(ge=0, lt=2**53)]  # what every reader of JSON keeps exactly
    digest: str

    def __post_init__(self) -> None:
        if not (is_part(self.path) and is_digest(self.digest)):
            raise ValueError("not what a manifest has there")


class _StoredManifest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A manifest as JSON has it. Anybody may have written it: nothing but what `Manifest.write` writes is accepted."""

    format: Literal[1]
    repo: str
    revision: Annotated[str, Meta(min_length=1, max_length=256)]
    commit: str
    files: Annotated[tuple[_StoredFile, ...], Meta(max_length=256)]
    verified: dict[str, int]
    packed: Annotated[str, Meta(max_length=16)] = ""

    def __post_init__(self) -> None:
        if not (is_repository(self.repo) and is_commit(self.commit)):
            raise ValueError("not what a manifest has there")
        paths = [file.path for file in self.files]
        if not is_whole(paths) or len(paths) != len(set(paths)):
            raise ValueError("the files are not those of one checkpoint")


_manifests = msgspec.json.Decoder(_StoredManifest)  # made by one thread, see decoding.py


@dataclass(frozen=True, slots=True)
class Location:
    """The places of one checkpoint: the folder that the engine opens, and what belongs to it."""

    root: Path  # the checkpoint folder
    blobs: Path | None  # cache only: the files under their digests; `root` holds links to them
    private: Path  # partial files and manifests
    manifest_path: Path
    lock_path: Path
    within: Path | None = None  # the folder in whose neighbours files may be found, if it is not `root`

    def file(self, path: str) -> Path:
        return self.root / path

    def has_notes(self) -> bool:
        return os.path.lexists(self.manifest_path)

    def partial(self, digest: str) -> Path:
        """Where a file grows while it is downloaded. It carries its digest, so any later download can go on with it."""
        return self.private / f"{digest}.incomplete"

    def mark(self, digest: str) -> Path:
        """What is there once a file has been packed, and so is needed no more."""
        return self.private / f"{digest}.packed"

    def neighbours(self) -> Iterator[tuple[Path, Manifest]]:
        """The folders beside a plain folder that hold checkpoints too, with what they consist of."""
        if self.blobs:
            return
        try:
            folders = list((self.within or self.root).parent.iterdir())
        except OSError:  # not made yet, or open to pass through and not to be listed
            return
        for folder in folders:
            manifest = Manifest.read(folder / _PRIVATE / "manifest.json")
            if manifest:
                yield folder, manifest

    def device(self) -> int:
        return _existing_parent(self.root).stat().st_dev

    def remove_leftovers(self) -> None:
        """What an earlier download began and none is going to finish."""
        shutil.rmtree(packing_location(self).private, ignore_errors=True)
        for pattern in ("*.incomplete", "*.shared"):
            for path in self.private.glob(pattern):
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the checkpoint against other processes; the system lets go of it however this process ends."""
        from filelock import FileLock, Timeout  # a tenth of a server's start, for what most starts never need

        lock = FileLock(self.lock_path, timeout=0, thread_local=False)  # threads may take turns to advance a generator
        try:
            self.lock_path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise CheckpointInUse(f"{self.root}: another process is downloading or checking it; wait for it") from None
        except OSError as error:
            raise DownloadError(f"{self.lock_path.parent}: cannot be written: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(_existing_parent(folder)).free


def _existing_parent(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def file_stat(path: Path) -> os.stat_result | None:
    """What there is to know of the file at `path`; None if there is none, or if a download takes it away just now."""
    if path.is_file():
        with suppress(FileNotFoundError):
            return path.stat()
    return None


def file_size(path: Path) -> int | None:
    """The bytes of the file at `path`; None as for `file_stat`."""
    stat = file_stat(path)
    return None if stat is None else stat.st_size


def cache_folder() -> Path:
    """The Hugging Face cache: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub."""
    return Path(hub_constants().HF_HUB_CACHE)


def repository_folder(repo: str) -> Path:
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def cached_location(repo: str, commit: str) -> Location:
    folder = repository_folder(repo)
    private = folder / "bonsai-mlx"
    lock = cache_folder() / ".locks" / folder.name / "bonsai-mlx.lock"
    return Location(folder / "snapshots" / commit, folder / "blobs", private, private / f"{commit}.json", lock)


def folder_location(folder: Path) -> Location:
    private = folder / _PRIVATE
    return Location(folder, None, private, private / "manifest.json", private / "lock")


def packed_folder(name: str) -> Path:
    """Where a checkpoint lies that was packed here, and so is no repository's snapshot: beside those in the cache."""
    return cache_folder() / "bonsai-mlx" / name


def packing_location(location: Location) -> Location:
    """Where files come that are to be packed for the checkpoint at `location`: all of it in one folder of its notes."""
    private = location.private / "packing"
    return Location(private / "source", None, private, private / "source.json", location.lock_path, location.root)


def cached_commits(repo: str, revision: str) -> list[str]:
    """The commits of a repository of which the cache has anything: the one `revision` stands for, then the newest."""
    folder = repository_folder(repo)
    found = [path for path in (folder / "snapshots").glob("*") if is_commit(path.name)]  # Finder leaves files there
    snapshots = sorted(found, key=_modified, reverse=True)
    commits, wanted = [path.name for path in snapshots], commit_of(repo, revision)
    return [commit for commit in commits if commit == wanted] + [commit for commit in commits if commit != wanted]


def _modified(folder: Path) -> float:
    with suppress(FileNotFoundError):  # deleted just now
        return folder.stat().st_mtime
    return 0.0


def commit_of(repo: str, revision: str) -> str:
    """The commit that a branch or tag stands for, as far as the cache knows; a commit stands for itself."""
    reference = repository_folder(repo) / "refs" / revision
    with suppress(OSError, UnicodeDecodeError):
        return read_bounded(reference, _MAX_REFERENCE_BYTES, follow_symlinks=True).decode().strip()
    return revision


def linked_files(location: Location) -> dict[str, CheckpointFile]:
    """The files of a cached snapshot by path: the blobs they link to are named by their digests."""
    found = {}
    for link in location.root.rglob("*") if location.blobs else ():
        path, digest = link.relative_to(location.root).as_posix(), link.readlink().name if link.is_symlink() else ""
        size = file_size(link) if is_part(path) and is_digest(digest) else None
        if size is not None:
            found[path] = CheckpointFile(path, size, digest)
    return found


def remember_revision(repo: str, revision: str, commit: str) -> None:
    """Note in the cache what a branch or tag stands for, as the Hub's client does, so that others find it offline."""
    if revision != commit:
        path = repository_folder(repo) / "refs" / revision
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit, "utf-8")
