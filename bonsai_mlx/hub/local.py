"""What this machine has of a checkpoint, told from sizes and notes alone, in milliseconds; nothing is hashed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import DownloadError
from ..weights.layout import Layout
from ..wording import user_path
from .addresses import is_revision
from .catalog import entry_of
from .entry import CheckpointFile, Entry
from .location import (
    Location,
    Manifest,
    cached_commits,
    cached_location,
    commit_of,
    file_size,
    folder_location,
    packed_folder,
    packing_location,
)

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
    packed_from: str | None = None  # the repository whose files were packed here, or are being packed


def status(entry: Entry | str, folder: Path | str | None = None, revision: str | None = None) -> LocalStatus:
    """What the cache, or `folder`, has of a checkpoint. Fast: looks at sizes and notes, hashes nothing.

    Of several revisions in the cache it is about the one that `find` finds, or about `revision` if that is given. A
    folder holds one, whichever that is.
    """
    entry = entry_of(entry)
    check_revision(revision)
    if entry.embedded_folder:
        return _embedded_status(entry.layout, entry.embedded_folder)
    if folder:
        locations = [folder_location(user_path(folder))]
    else:
        locations = [cached_location(entry.repo or "", commit) for commit in _commits(entry, revision)]
        if entry.made_from and revision is None and packed_folder(entry.name).is_dir():
            locations.insert(0, folder_location(packed_folder(entry.name)))
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
    packed = manifest is not None and manifest.packed != ""
    if manifest and not _is_of(entry, manifest):
        other = f"{location.root} holds {manifest.packed} {manifest.repo}".replace("  ", " ")
        return LocalStatus("absent", None, 0, entry.bytes_total, (other,))
    if packed:
        pins = ()  # the files that it was made of were held against the catalog when they came
    elif manifest is None and (packing := Manifest.read(packing_location(location).manifest_path)):
        return _packing_status(location, packing)
    files = manifest.files if manifest else expected_files(entry, location)
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
        packed_from=manifest.repo if manifest and packed else None,
    )


def _is_of(entry: Entry, manifest: Manifest) -> bool:
    if not manifest.packed:
        return manifest.repo == entry.repo
    made_from = entry_of(entry.made_from).repo if entry.made_from else None
    return (manifest.repo, manifest.packed) == (made_from, entry.precision)


def _packing_status(location: Location, source: Manifest) -> LocalStatus:
    """Of a checkpoint that is packed while the files of `source` come: the bytes are those of these files."""
    staging = packing_location(location)
    used = [file for file in source.files if staging.mark(file.digest).is_file()]
    coming = [file for file in source.files if file not in used]
    arrived = [file_size(staging.file(file.path)) or file_size(staging.partial(file.digest)) or 0 for file in coming]
    present = sum(file.size for file in used) + sum(arrived)
    problem = f"{len(used)} of {len(source.files)} files of {source.repo} are packed"
    return LocalStatus(
        "partial", location.root, present, source.bytes_total, (problem,), commit=source.commit, packed_from=source.repo
    )


def _content_of(entry: Entry, pins: tuple[CheckpointFile, ...], manifest: Manifest | None, *, hashed: bool) -> Content:
    """How far the files are known. A manifest is only a note beside them, which anybody can write."""
    if manifest and not manifest.agrees_with(pins):
        return "unknown"
    if manifest is None or not hashed:
        return "unchecked"
    pinned = {file.path for file in pins if file.digest}
    return "pinned" if pinned.issuperset(entry.layout.required_files) else "listed"


def expected_files(entry: Entry, location: Location) -> tuple[CheckpointFile, ...]:
    """What should be there, for want of a manifest: another program, or a person, put the files there."""
    known = entry.files if location.blobs is None or location.root.name == entry.revision else ()
    if known:
        return known
    present = (path.relative_to(location.root).as_posix() for path in location.root.glob("**/*") if path.is_file())
    return tuple(CheckpointFile(path, 0) for path in entry.layout_of(present).required_files)


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


def check_revision(revision: str | None) -> None:
    if revision is not None and not is_revision(revision):
        raise DownloadError(f"{revision!r} is not a revision: give a branch, a tag or a commit")
