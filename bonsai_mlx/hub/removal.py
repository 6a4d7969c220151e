"""Remove a checkpoint from this disk, and say how many bytes that really freed.

Files that another checkpoint shares stay there for it: they are hard links, and a file's bytes are freed with its last
name. That is also how the freed bytes are counted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import CheckpointError
from .location import Location, Manifest, cache_folder, cached_location, packing_location, repository_folder


def delete_cached(repo: str) -> int:
    """Remove everything the Hugging Face cache has of a repository, all revisions. Returns the bytes freed."""
    folder = repository_folder(repo)
    if not folder.exists():
        return 0
    with cached_location(repo, "").lock():
        before = _names(path for path in folder.rglob("*") if path.is_file())
        _delete_with_the_hub_client(repo)  # which also gives back what it keeps once for several repositories
        if folder.exists():  # half-downloaded: the client finds nothing to delete
            shutil.rmtree(folder)
    return _bytes_freed(before)


def _delete_with_the_hub_client(repo: str) -> None:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    with suppress(CacheNotFound):
        cache = scan_cache_dir(cache_folder())
        commits = [
            revision.commit_hash
            for cached in cache.repos
            if (cached.repo_type, cached.repo_id) == ("model", repo)
            for revision in cached.revisions
        ]
        if commits:
            cache.delete_revisions(*commits).execute()


def delete_folder(location: Location) -> int:
    """Remove from a plain folder what was downloaded into it, and nothing else. Returns the bytes freed."""
    manifest = Manifest.read(location.manifest_path)
    if manifest is None and not location.has_notes() and packing_location(location).private.is_dir():
        return _delete_packing(location)
    if manifest is None and location.has_notes():
        raise CheckpointError(
            f"{location.manifest_path} is damaged: download it again first, or delete the folder by hand"
        )
    if manifest is None:
        raise CheckpointError(f"{location.root}: bonsai-mlx did not download this folder; delete it by hand")
    with location.lock():
        notes = [path for path in location.private.iterdir() if path.is_file()]
        victims = [path for path in (location.file(file.path) for file in manifest.files) if path.is_file()]
        before = _names([*victims, *notes])
        for path in [*victims, *notes]:
            path.unlink()
    _remove_empty({path.parent for path in victims} | {location.private}, location.root)
    return _bytes_freed(before)


def _delete_packing(location: Location) -> int:
    """Remove what has been packed of a checkpoint that is not whole."""
    folder = packing_location(location).private
    with location.lock():
        before = _names(path for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder)
    location.lock_path.unlink(missing_ok=True)
    _remove_empty([location.private], location.root)
    return _bytes_freed(before)


def _remove_empty(folders: Iterable[Path], root: Path) -> None:
    for folder in folders:
        while root in (folder, *folder.parents):
            try:
                folder.rmdir()
            except OSError:  # somebody else's files are in it
                break
            folder = folder.parent


def _names(paths: Iterable[Path]) -> dict[Path, os.stat_result]:
    """The real files behind `paths`, each once, with what the system knows of them now."""
    return {path: path.stat() for path in {path.resolve() for path in paths}}


def _bytes_freed(before: dict[Path, os.stat_result]) -> int:
    left: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], int] = {}
    for path, stat in before.items():
        inode = (stat.st_dev, stat.st_ino)
        sizes[inode] = stat.st_size
        left[inode] = left.get(inode, stat.st_nlink) - (not path.exists())
    return sum(size for inode, size in sizes.items() if left[inode] == 0)
