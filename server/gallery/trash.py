"""Deleting with undo: files move to the trash and back, one or thousands, and go for good when they are too old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..schemas.images import Image
from ..store import Store, timestamp
from .entries import image_of_row
from .file_table import FileTable
from .files import bring_back, move
from .folder import SUFFIXES, File, scan_trash
from .reconcile import DELETED

CURSOR = r"^\d{1,12}(?:\.\d{1,9})?~[0-9a-f]{32}$"  # where a page ended: deleted_at~id
_AT_A_TIME = 50  # others have their turn in between
_ROWS = "SELECT id, data, favourite, deleted_at FROM images WHERE typeof(deleted_at) = 'real'"
_ROW = "SELECT id, data, favourite FROM images WHERE id = ? AND deleted_at IS {}"


class Moved(NamedTuple):
    """What became of some pictures."""

    ids: list[str]  # those that are now where they were to go, in the order asked for
    missing: list[str]


class Contents(NamedTuple):
    """Pictures that can be brought back, with when they were deleted and when they go for good."""

    images: list[tuple[Image, tuple[str, str]]]
    total: int
    bytes: int  # of all that lies there
    next_cursor: str | None  # where the next page begins; None: there is none


class Trash:
    """Use from the event loop. A file and its entry change together, for one caller after the other."""

    def __init__(
        self, folder: Path, trash: Path, store: Store, table: FileTable, days: float, forget: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._trash = trash
        self._store = store
        self._table = table
        self._days = days
        self._forget = forget
        self._moving = asyncio.Lock()

    @property
    def undo_until(self) -> str:
        return timestamp(time.time() + self._days * 86_400)

    async def delete(self, ids: Sequence[str]) -> Moved:
        moved = Moved([], [])
        for some in _chunks(ids):
            async with self._moving:
                images = self._images(some, "NULL")
                moves = [
                    (self._folder / self._table.name_of(one.id), self._trash / f"{one.id}{SUFFIXES[one.format]}")
                    for one in images
                ]
                gone = await asyncio.to_thread(_gone, moves)
                with self._store.transaction():
                    now = time.time()
                    for image, is_gone, (source, _) in zip(images, gone, moves, strict=True):
                        if is_gone:
                            self._forget(image.id)
                        else:
                            self._store.execute("UPDATE images SET deleted_at = ? WHERE id = ?", (now, image.id))
                            self._table.forget(source.name)
                _sort(moved, some, [image.id for image, is_gone in zip(images, gone, strict=True) if not is_gone])
        return moved

    async def restore(self, ids: Sequence[str]) -> Moved:
        moved = Moved([], [])
        for some in _chunks(ids):
            async with self._moving:
                images = self._images(some, "NOT NULL")
                files = await asyncio.to_thread(self._bring_back, images)
                self._table.update(file for file in files if file is not None)
                with self._store.transaction():
                    for image, file in zip(images, files, strict=True):
                        if file is None:
                            self._forget(image.id)
                        else:
                            self._store.execute("UPDATE images SET deleted_at = NULL WHERE id = ?", (image.id,))
                _sort(moved, some, [image.id for image, file in zip(images, files, strict=True) if file])
        return moved

    def _bring_back(self, images: list[Image]) -> list[File | None]:
        found: list[File | None] = []
        for image in images:
            try:
                found.append(bring_back(self._trash, self._folder, image.id, image.format, image.name))
            except FileNotFoundError:
                found.append(None)
        return found

    def _images(self, ids: Sequence[str], deleted_at: Literal["NULL", "NOT NULL"]) -> list[Image]:
        rows = (self._store.execute(_ROW.format(deleted_at), (image_id,)) for image_id in ids)
        found = (image_of_row(*row[0]) for row in rows if row)
        return [image for image in found if image is not None]

    async def purge(self) -> int:
        """Delete for good what has been in the trash for longer than it can be wanted back; returns how many.

        The index knows since when: of a file that is moved, not every volume notes the time. It is asked of files that
        the index does not know, because they cannot be read.
        """
        limit = time.time() - self._days * 86_400
        return len(await self._end(lambda _, since: since < limit))

    async def end(self, ids: Sequence[str] | None) -> Moved:
        """Delete these for good, or, with None, all that are in the trash."""
        wanted = None if ids is None else set(ids)
        gone = await self._end(lambda image_id, _: wanted is None or image_id in wanted)
        done = set(gone)
        return Moved(gone, [one for one in dict.fromkeys(ids or ()) if one not in done])

    async def _end(self, is_meant: Callable[[str, float], bool]) -> list[str]:
        async with self._moving:
            known = dict(self._store.execute(DELETED))
            trashed = await asyncio.to_thread(scan_trash, self._trash)
            meant = [one for one, path in trashed.items() if is_meant(one, known.get(one) or _moved_at(path))]
            for image_id in meant:
                await asyncio.to_thread(trashed[image_id].unlink, missing_ok=True)
                if image_id in known:
                    self._forget(image_id)
        return meant

    async def contents(self, limit: int, cursor: str | None = None) -> Contents:
        """What can be brought back, the latest first."""
        trashed = await asyncio.to_thread(scan_trash, self._trash)
        rows = await self._store.read(f"{_ROWS} ORDER BY deleted_at DESC, id")
        there = [row for row in rows if row[0] in trashed]
        sizes = await asyncio.to_thread(lambda: sum(_size_of(path) for path in trashed.values()))
        rest = [row for row in there if cursor is None or _is_after(row, cursor)]
        page = rest[:limit]
        found = ((image_of_row(*row[:3]), row[3]) for row in page)
        images = [(one, self._times(since)) for one, since in found if one is not None]
        following = f"{page[-1][3]}~{page[-1][0]}" if len(rest) > len(page) else None
        return Contents(images, len(there), sizes, following)

    def _times(self, since: float) -> tuple[str, str]:
        return timestamp(since), timestamp(since + self._days * 86_400)

    def file(self, image: Image) -> Path:
        return self._trash / f"{image.id}{SUFFIXES[image.format]}"

    def find(self, image_id: str) -> Image | None:
        return next(iter(self._images([image_id], "NOT NULL")), None)


def _is_after(row: Sequence[Any], cursor: str) -> bool:
    since, _, image_id = cursor.partition("~")
    return (-row[3], row[0]) > (-float(since), image_id)


def _sort(moved: Moved, asked: Sequence[str], done: list[str]) -> None:
    moved.ids.extend(done)
    moved.missing.extend(image_id for image_id in asked if image_id not in done)


def _chunks(ids: Sequence[str]) -> Iterator[list[Any]]:
    rest = iter(dict.fromkeys(ids))
    while some := list(islice(rest, _AT_A_TIME)):
        yield some


def _gone(moves: Sequence[tuple[Path, Path]]) -> list[bool]:
    gone = []
    for source, target in moves:
        try:
            move(source, target)
        except FileNotFoundError:
            gone.append(True)
        else:
            gone.append(False)
    return gone


def _moved_at(path: Path) -> float:
    """When a file was deleted that the index does not know; of one that is gone, now."""
    try:
        return path.lstat().st_ctime
    except FileNotFoundError:
        return time.time()


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
