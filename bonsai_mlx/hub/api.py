"""Find, download, verify and delete checkpoints, in the Hugging Face cache or in a folder of one's own.

This module answers from sizes and notes alone, in milliseconds; the modules beside it do the work. HF_HOME,
HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean to every program that uses the Hub. Nothing here imports
MLX.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import CheckpointError, DownloadError
from ..runtime.environment import hub_constants, token_fault
from ..weights.layout import Layout
from ..wording import format_bytes, user_path
from . import catalog, life, session
from .catalog import CheckpointFile, Entry
from .location import (
    Location,
    Manifest,
    cached_commits,
    cached_location,
    commit_of,
    file_size,
    folder_location,
    linked_files,
)
from .progress import DownloadProgress, Progress, finished

__all__ = [
    "DownloadProgress",
    "LocalStatus",
    "as_folder",
    "bytes_to_download",
    "delete",
    "download",
    "find",
    "find_part",
    "remedy",
    "status",
    "verify",
]

State = Literal["absent", "partial", "ready", "damaged"]
# How far the content is known: every file hashed and found to be what the catalog pins; what the Hub listed when it was
# downloaded; not hashed, or touched since; or others than the ones that the catalog pins.
Content = Literal["pinned", "listed", "unchecked", "unknown"]


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """What this machine has of a checkpoint, judged by file sizes and by what was noted when files were hashed."""

    state: State
    path: Path | None  # the checkpoint folder; None while there is nothing
    bytes_present: int  # partly downloaded files included
    bytes_total: int  # an estimate until the Hub has been asked
    problems: tuple[str, ...] = ()
    content: Content = "unchecked"
    verified: bool = False  # hashed, and what the catalog pins; what the Hub listed where the catalog knows nothing
    commit: str | None = None


PartKind = Literal["text encoder", "decoder"]
_WEIGHTS = (".safetensors", ".gguf")


def find(name: str | Path) -> Path:
    """The folder of a checkpoint that is ready to use: a catalog name, a cached Hub repository, or a folder's path.

    Raises CheckpointError that says what is missing and which command gets it.
    """
    folder = as_folder(name)
    if folder:
        return _checked_folder(folder)
    entry = catalog.resolve(str(name))
    local = status(entry)
    if local.state == "ready" and local.path:
        return local.path
    raise CheckpointError(_what_to_do(entry, local))


def find_part(name: str | Path, kind: PartKind) -> Path:
    """Where a text encoder or a decoder is: a name of the catalog's, or a path. CheckpointError."""
    known = catalog.TEXT_ENCODERS if kind == "text encoder" else catalog.DECODERS
    entry = catalog.part(name) if isinstance(name, str) else None
    if entry is not None and entry in known:
        local = status(entry)
        if local.state == "ready" and local.path:
            return local.path
        raise CheckpointError(_what_to_do(entry, local))
    path = user_path(name)
    if path.exists():
        return path
    names = ", ".join(one.name for one in known)
    raise CheckpointError(f"{path}: there is no such {kind}; give the path of one, or {names}")


def as_folder(name: str | Path) -> Path | None:
    """The folder that `name` is the path of; None where it is the name of a checkpoint or of a Hub repository.

    A name of the catalog means that checkpoint, whatever folders are where the user happens to be; such a folder is
    written ./ternary, or given as a Path. CheckpointError for a path that leads to no checkpoint.
    """
    path = user_path(name)
    if isinstance(name, Path):
        return path
    if os.sep not in name and catalog.is_known(name):
        return None
    if path.is_dir() or (path.is_file() and path.suffix.lower() in _WEIGHTS):
        return path
    if path.is_file():
        raise CheckpointError(f"{path}: a checkpoint is a folder, or a file that ends in {' or '.join(_WEIGHTS)}")
    if _is_path(name):
        raise CheckpointError(f"{path}: there is no such file or folder")
    return None


def _is_path(name: str) -> bool:
    """Whether a text can be meant as nothing but a path: a repository has one slash, and an address a scheme."""
    if catalog.from_address(name)[0] != name or "://" in name:
        return False
    return name.startswith((".", "~", os.sep)) or name.count(os.sep) > 1 or name.lower().endswith(_WEIGHTS)


def companion() -> Path | None:
    """The first checkpoint of the catalog that is here and was downloaded: for what a single file lacks."""
    ready = (status(entry) for entry in catalog.CATALOG if not entry.embedded)
    return next((local.path for local in ready if local.state == "ready" and local.path), None)


def _checked_folder(folder: Path) -> Path:
    if folder.is_file():
        raise CheckpointError(f"{folder}: it is one file, and a whole checkpoint is a folder; give that")
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"{folder}: not a checkpoint folder: it has no model_index.json")
    return folder


def _what_to_do(entry: Entry, local: LocalStatus, folder: Path | None = None, revision: str | None = None) -> str:
    total, command = format_bytes(local.bytes_total), remedy(entry, folder, revision)
    title = f"{entry.title} at {revision}" if revision else entry.title
    if local.state == "damaged":
        return f"{title}: {local.problems[0]}; repair it with: {command}"
    if local.state == "partial":
        have = f"{format_bytes(local.bytes_present)} of {total}"
        return f"{title} is incomplete ({have}; {local.problems[0]}); finish it with: {command}"
    size = f" ({total})" if local.bytes_total else ""
    return f"{title} is not on this machine; get it{size} with: {command}"


def remedy(entry: Entry | str, folder: Path | str | None = None, revision: str | None = None) -> str:
    options = {"--dir": folder, "--revision": revision}
    given = (f" {option} {shlex.quote(str(value))}" for option, value in options.items() if value)
    return "".join((_entry(entry).remedy, *given))


def status(entry: Entry | str, folder: Path | str | None = None, revision: str | None = None) -> LocalStatus:
    """What the cache, or `folder`, has of a checkpoint. Fast: looks at sizes and notes, hashes nothing.

    Of several revisions in the cache it is about the one that `find` finds, or about `revision` if that is given. A
    folder holds one, whichever that is.
    """
    entry = _entry(entry)
    _check_revision(revision)
    if entry.embedded_folder:
        return _embedded_status(entry.layout, entry.embedded_folder)
    if folder:
        locations = [folder_location(user_path(folder))]
    else:
        locations = [cached_location(entry.repo or "", commit) for commit in _commits(entry, revision)]
    pins = entry.files if revision in (None, entry.revision) else ()  # another one is taken at the Hub's word
    found = [_readable_status_of(entry, location, pins) for location in locations]
    nothing = LocalStatus("absent", None, 0, entry.bytes_total)
    return next((local for local in found if local.state == "ready"), found[0] if found else nothing)


def _readable_status_of(entry: Entry, location: Location, pins: tuple[CheckpointFile, ...]) -> LocalStatus:
    """As `_status_of`, for a folder that may be closed to us or no folder at all: then that is what is the matter."""
    try:
        return _status_of(entry, location, pins)
    except OSError as error:
        problem = f"{error.filename or location.root} cannot be read: {error.strerror or error}"
        return LocalStatus("damaged", location.root, 0, entry.bytes_total, (problem,))


def _commits(entry: Entry, revision: str | None) -> list[str]:
    repo = entry.repo or ""
    commits = cached_commits(repo, revision or entry.revision)
    return commits if revision is None else [commit for commit in commits if commit == commit_of(repo, revision)]


def _status_of(entry: Entry, location: Location, pins: tuple[CheckpointFile, ...]) -> LocalStatus:
    manifest = Manifest.read(location.manifest_path)
    if manifest and manifest.repo != entry.repo:
        other = f"{location.root} holds {manifest.repo}"
        return LocalStatus("absent", None, 0, entry.bytes_total, (other,))
    files = manifest.files if manifest else _expected_files(entry, location)
    sizes = {file: file_size(location.file(file.path)) for file in files}
    missing = [file for file in files if sizes[file] is None]
    wrong = [file for file in files if sizes[file] == 0 or (file.digest and sizes[file] not in (None, file.size))]
    present = sum(size or 0 for size in sizes.values())
    present += sum(min(file_size(location.partial(file.digest)) or 0, file.size) for file in missing if file.digest)
    problems = [f"{location.file(file.path)} has {sizes[file]} bytes instead of {file.size}" for file in wrong]
    problems += [f"{location.file(file.path)} is missing" for file in missing]
    state: State = "damaged" if wrong else "ready" if not missing else "partial" if present else "absent"
    hashed = manifest is not None and all(manifest.is_verified(file, location) for file in files)
    content = _content_of(entry, pins, manifest, hashed=hashed)
    if content == "unknown":
        problems.append(
            f"{location.root} holds unknown files: others than the ones that {entry.title} is known to have"
        )
    if manifest is None and location.has_notes():
        problems.append(
            f"{location.manifest_path} is damaged, so nothing is known of what was checked; download it again"
        )
    return LocalStatus(
        state=state,
        path=None if state == "absent" else location.root,
        bytes_present=present,
        bytes_total=manifest.bytes_total if manifest else max(present, entry.bytes_total),
        problems=() if state == "absent" else tuple(problems),  # that files are missing is no news then
        content=content,
        verified=content == "pinned" or (content == "listed" and not pins),
        commit=manifest.commit if manifest else location.root.name if location.blobs else None,
    )


def _content_of(entry: Entry, pins: tuple[CheckpointFile, ...], manifest: Manifest | None, *, hashed: bool) -> Content:
    """How far the files are known. A manifest is only a note beside them, which anybody can write."""
    if manifest and not manifest.agrees_with(pins):
        return "unknown"
    if manifest is None or not hashed:
        return "unchecked"
    pinned = {file.path for file in pins if file.digest}
    return "pinned" if pinned.issuperset(entry.layout.required_files) else "listed"


def _expected_files(entry: Entry, location: Location) -> tuple[CheckpointFile, ...]:
    """What should be there, for want of a manifest: another program, or a person, put the files there."""
    known = entry.files if location.blobs is None or location.root.name == entry.revision else ()
    return known or tuple(CheckpointFile(path, 0) for path in entry.layout.required_files)


def _embedded_status(layout: Layout, folder: Path) -> LocalStatus:
    places = (folder, folder.parent / "common")  # what both embedded checkpoints share is stored once
    sizes = {
        path.relative_to(place).as_posix(): path.stat().st_size
        for place in places
        for path in place.rglob("*")
        if path.is_file()
    }
    total, missing = sum(sizes.values()), layout.missing(sizes)
    problems = tuple(f"{folder / path} is missing" for path in missing)
    state: State = "partial" if missing else "ready"
    content: Content = "unchecked" if missing else "pinned"  # the package's own files
    return LocalStatus(state, folder, total, total, problems, content, verified=not missing)


def bytes_to_download(entry: Entry | str, folder: Path | str | None = None) -> int:
    """How much of the disk a download is going to take, without asking the Hub: what is neither here nor can be shared.

    An estimate where the catalog's sizes are; `download` itself knows exactly, and also leaves some room.
    """
    entry = _entry(entry)
    repo = entry.repo or ""
    commit = next(iter(cached_commits(repo, entry.revision)), entry.revision)
    location = folder_location(user_path(folder)) if folder else cached_location(repo, commit)
    manifest = Manifest.read(location.manifest_path)
    files = manifest.files if manifest and manifest.repo == repo else entry.files
    try:
        return sum(life.bytes_to_store(location, file) for file in files)
    except OSError:  # what cannot be looked at cannot be used either
        return sum(file.size for file in files)


def download(
    entry_or_repo: Entry | str,
    folder: Path | str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Progress:
    """Get a checkpoint into the Hugging Face cache, or into `folder`; yields progress, the last event has `done`.

    Closing the generator, or killing the process, loses nothing: the same call goes on from there. Files that another
    downloaded checkpoint has are shared with it, not downloaded. Every file is hashed before it counts. Embedded
    checkpoints need nothing. Raises DownloadError, NotEnoughSpaceError before anything was started.
    """
    token = _token(token)
    entry = _entry(entry_or_repo)
    place = user_path(folder) if folder else None
    local = status(entry, place, revision)
    if entry.embedded or _is_settled(entry, local, revision):
        yield finished(local.path, local.bytes_total)
        return
    from . import listing  # brings the HTTP client, which nothing else needs

    if hub_constants().is_offline_mode():
        then = _what_to_do(entry, local, place, revision)
        raise DownloadError(f"offline mode is on (HF_HUB_OFFLINE); unset it, then: {then}")
    try:
        commit, files = listing.list_files(entry, revision, token)
    except listing.HubUnreachableError:
        if local.state != "ready" or revision:
            raise
        yield finished(local.path, local.bytes_total)  # complete, though there may be a newer revision
        return
    location = folder_location(place) if place else cached_location(entry.repo or "", commit)
    manifest = Manifest(entry.repo or "", revision or entry.revision, commit, files)
    previous = Manifest.read(location.manifest_path)
    if previous and previous.repo != entry.repo:
        raise DownloadError(f"{location.root} holds {previous.repo}; choose another folder for {entry.repo}")
    command = remedy(entry, place, revision)
    yield from session.Session(location, manifest, previous, remedy=command, token=token).download()


def _token(given: str | None) -> str | None:
    token = (given or "").strip() or None
    if token and (fault := token_fault("--token", token)):
        raise DownloadError(fault)
    return token


def _is_settled(entry: Entry, local: LocalStatus, revision: str | None) -> bool:
    """True if the Hub need not be asked: what is here is right and cannot change, or asking is forbidden."""
    if local.state != "ready":
        return False
    if local.verified and local.commit == (revision or entry.revision):
        return True
    as_known = revision is None or local.commit == commit_of(entry.repo or "", revision)
    return hub_constants().is_offline_mode() and as_known


def _check_revision(revision: str | None) -> None:
    if revision is not None and not catalog.is_revision(revision):
        raise DownloadError(f"{revision!r} is not a revision: give a branch, a tag or a commit")


def verify(entry: Entry | str, folder: Path | str | None = None, revision: str | None = None) -> Progress:
    """Hash every file again of the checkpoint that `status` is about; yields progress like `download`.

    Raises CheckpointError naming what is missing or damaged; damaged files of a download are deleted, so that the
    command in the message gets them anew.
    """
    entry = _entry(entry)
    place = user_path(folder) if folder else None
    local = status(entry, place, revision)
    if local.path is None or (entry.embedded and local.state != "ready"):
        raise CheckpointError(_what_to_do(entry, local, place, revision))
    if entry.embedded:
        yield finished(local.path, local.bytes_total)
        return
    location = folder_location(place) if place else cached_location(entry.repo or "", local.commit or "")
    previous = Manifest.read(location.manifest_path)
    if previous is None and local.state != "ready":
        raise CheckpointError(_what_to_do(entry, local, place, revision))
    if previous and previous.commit == entry.revision and not previous.agrees_with(entry.files):
        command = remedy(entry, place, revision)
        raise CheckpointError(f"{location.root}: other files than those of {entry.title}; get those with: {command}")
    manifest = previous or _manifest_of_unknown_origin(entry, location, local)
    yield from session.Session(location, manifest, previous, remedy=remedy(entry, place, revision)).verify()


def _manifest_of_unknown_origin(entry: Entry, location: Location, local: LocalStatus) -> Manifest:
    """What files that bonsai-mlx did not download should be: by the cache's own names, the catalog, else the Hub."""
    from . import listing

    known = {file.path: file for file in _expected_files(entry, location) if file.digest} | linked_files(location)
    commit, files = local.commit or entry.revision, tuple(known.values())
    if entry.layout.missing(known):
        commit, files = listing.list_files(entry, local.commit, None)
    return Manifest(entry.repo or "", entry.revision, commit, files)


def delete(entry: Entry | str, folder: Path | str | None = None) -> int:
    """Remove a checkpoint from the cache (all its revisions) or from `folder`. Returns the bytes that became free.

    Files that another checkpoint shares stay for it. Raises CheckpointError for an embedded one.
    """
    entry = _entry(entry)
    if entry.embedded:
        raise CheckpointError(f"{entry.title} ships with bonsai-mlx and cannot be deleted")
    from . import removal

    if folder:
        return removal.delete_folder(folder_location(user_path(folder)))
    return removal.delete_cached(entry.repo or "")


def _entry(entry: Entry | str) -> Entry:
    return entry if isinstance(entry, Entry) else catalog.resolve(entry)
