"""Find, download, verify and delete checkpoints, in the Hugging Face cache or in a folder of one's own.

This module answers from sizes and notes alone, in milliseconds; the modules beside it do the work. HF_HOME,
HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean to every program that uses the Hub. Nothing here imports
MLX.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CheckpointError, DownloadError
from ..runtime.environment import hub_constants
from ..weights.layout import TRANSFORMER
from ..wording import format_bytes, user_path
from . import catalog, life, published, session
from .addresses import from_address
from .catalog import remedy
from .entry import Entry
from .local import LocalStatus, expected_files, status
from .location import (
    Location,
    Manifest,
    cached_commits,
    cached_location,
    commit_of,
    folder_location,
    linked_files,
    packed_folder,
    packing_location,
)
from .progress import DownloadProgress, Progress, finished
from .published import PartKind

__all__ = [
    "DownloadProgress",
    "LocalStatus",
    "PartKind",
    "as_folder",
    "bytes_of_packing",
    "bytes_to_download",
    "delete",
    "download",
    "find",
    "find_part",
    "preview_decoder",
    "remedy",
    "status",
    "verify",
]

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
    """Where a text encoder or a decoder of some kind is: a name of the catalog's, or a path. CheckpointError."""
    known = published.parts(kind)
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


def preview_decoder() -> Path | None:
    """The first of those that draw previews that is here."""
    ready = (status(entry) for entry in published.parts("preview decoder"))
    return next((local.path for local in ready if local.state == "ready" and local.path), None)


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
    if from_address(name)[0] != name or "://" in name:
        return False
    return name.startswith((".", "~", os.sep)) or name.count(os.sep) > 1 or name.lower().endswith(_WEIGHTS)


def companion() -> Path | None:
    """The first checkpoint of the catalog that is here and was downloaded: for what a single file lacks."""
    ready = (status(entry) for entry in published.CATALOG if not entry.embedded)
    return next((local.path for local in ready if local.state == "ready" and local.path), None)


def _checked_folder(folder: Path) -> Path:
    if folder.is_file():
        raise CheckpointError(f"{folder}: it is one file, and a whole checkpoint is a folder; give that")
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    if not (folder / "model_index.json").is_file() and not (folder / TRANSFORMER).is_dir():
        raise CheckpointError(f"{folder}: not a checkpoint folder: it has no model_index.json")
    return folder


def _what_to_do(entry: Entry, local: LocalStatus, folder: Path | None = None, revision: str | None = None) -> str:
    origin = "bf16" if local.packed_from else None
    total, command = format_bytes(local.bytes_total), remedy(entry, folder, revision, origin)
    title = f"{entry.title} at {revision}" if revision else entry.title
    if local.state == "damaged":
        return f"{title}: {local.problems[0]}; repair it with: {command}"
    if local.state == "partial":
        have = f"{format_bytes(local.bytes_present)} of {total}"
        return f"{title} is incomplete ({have}; {local.problems[0]}); finish it with: {command}"
    size = f" ({total})" if local.bytes_total else ""
    return f"{title} is not on this machine; get it{size} with: {command}"


def bytes_to_download(entry: Entry | str, folder: Path | str | None = None, *, packed: bool = False) -> int:
    """How much of the disk a download is going to take, without asking the Hub: what is neither here nor can be shared.

    `packed`: while the files of the model that it is made from are packed, the largest of them included. An estimate
    where the catalog's sizes are; `download` itself knows exactly, and also leaves some room.
    """
    entry = catalog.entry_of(entry)
    if packed and entry.made_from:
        largest = max(file.size for file in catalog.lookup(entry.made_from).files)
        return max(0, entry.bytes_total + largest - bytes_of_packing(entry, folder))
    repo = entry.repo or ""
    commit = next(iter(cached_commits(repo, entry.revision)), entry.revision)
    location = folder_location(user_path(folder)) if folder else cached_location(repo, commit)
    manifest = Manifest.read(location.manifest_path)
    files = manifest.files if manifest and manifest.repo == repo else entry.files
    try:
        return sum(life.bytes_to_store(location, file) for file in files)
    except OSError:  # what cannot be looked at cannot be used either
        return sum(file.size for file in files)


def bytes_of_packing(entry: Entry, folder: Path | str | None) -> int:
    """What a checkpoint that is being packed takes of the disk now."""
    place = folder_location(user_path(folder) if folder else packed_folder(entry.name))
    paths = (path for path in packing_location(place).private.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in paths)


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
    token = session.checked_token(token)
    entry = catalog.entry_of(entry_or_repo)
    place = user_path(folder) if folder else None
    local = status(entry, place, revision)
    if entry.embedded or (local.packed_from and local.state == "ready") or _is_settled(entry, local, revision):
        yield finished(local.path, local.bytes_total)
        return
    if not entry.repo:
        raise DownloadError(
            f"{entry.title} is packed here, from {entry.made_from}; get it with: {remedy(entry, place)}"
        )
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


def _is_settled(entry: Entry, local: LocalStatus, revision: str | None) -> bool:
    """True if the Hub need not be asked: what is here is right and cannot change, or asking is forbidden."""
    if local.state != "ready":
        return False
    if local.verified and local.commit == (revision or entry.revision):
        return True
    as_known = revision is None or local.commit == commit_of(entry.repo or "", revision)
    return hub_constants().is_offline_mode() and as_known


def verify(entry: Entry | str, folder: Path | str | None = None, revision: str | None = None) -> Progress:
    """Hash every file again of the checkpoint that `status` is about; yields progress like `download`.

    Raises CheckpointError naming what is missing or damaged; damaged files of a download are deleted, so that the
    command in the message gets them anew.
    """
    entry = catalog.entry_of(entry)
    place = user_path(folder) if folder else None
    local = status(entry, place, revision)
    if local.path is None or (entry.embedded and local.state != "ready"):
        raise CheckpointError(_what_to_do(entry, local, place, revision))
    if entry.embedded:
        yield finished(local.path, local.bytes_total)
        return
    if local.packed_from:
        place = local.path
    location = folder_location(place) if place else cached_location(entry.repo or "", local.commit or "")
    previous = Manifest.read(location.manifest_path)
    if previous is None and local.state != "ready":
        raise CheckpointError(_what_to_do(entry, local, place, revision))
    if previous and previous.commit == entry.revision and not previous.agrees_with(entry.files):
        command = remedy(entry, place, revision)
        raise CheckpointError(f"{location.root}: other files than those of {entry.title}; get those with: {command}")
    manifest = previous or _manifest_of_unknown_origin(entry, location, local)
    command = remedy(entry, folder, revision, "bf16" if local.packed_from else None)
    yield from session.Session(location, manifest, previous, remedy=command).verify()


def _manifest_of_unknown_origin(entry: Entry, location: Location, local: LocalStatus) -> Manifest:
    """What files that bonsai-mlx did not download should be: by the cache's own names, the catalog, else the Hub."""
    from . import listing

    known = {file.path: file for file in expected_files(entry, location) if file.digest} | linked_files(location)
    commit, files = local.commit or entry.revision, tuple(known.values())
    if entry.layout_of(known).missing(known):
        commit, files = listing.list_files(entry, local.commit, None)
    return Manifest(entry.repo or "", entry.revision, commit, files)


def delete(entry: Entry | str, folder: Path | str | None = None) -> int:
    """Remove a checkpoint from the cache (all its revisions) or from `folder`. Returns the bytes that became free.

    Files that another checkpoint shares stay for it. Raises CheckpointError for an embedded one.
    """
    entry = catalog.entry_of(entry)
    if entry.embedded:
        raise CheckpointError(f"{entry.title} ships with bonsai-mlx and cannot be deleted")
    from . import removal

    if folder:
        return removal.delete_folder(folder_location(user_path(folder)))
    packed = packed_folder(entry.name) if entry.made_from else None
    freed = removal.delete_folder(folder_location(packed)) if packed and packed.is_dir() else 0
    return freed + (removal.delete_cached(entry.repo) if entry.repo else 0)
