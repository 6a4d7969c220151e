"""The index and the files agree: files that came are entered, entries without a file go, at the start and meanwhile.

The files are the truth. What cannot be read is remembered as such and left alone until it changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bonsai_mlx.errors import PictureError

from ..events import EventHub
from ..schemas.images import Image
from ..store import Store
from .decoder import Decoder
from .entries import MAX_SEARCHED_CHARS, fold, image_from_file, is_entry, row_of, shown_name
from .file_table import FileTable
from .files import is_file
from .folder import SUFFIXES, File, scan, scan_trash

log = logging.getLogger("bonsai.gallery")

INSERT = """INSERT OR REPLACE INTO images (id, created_at, search, favourite, group_id, deleted_at, data)
            VALUES (?, ?, ?, ?, ?, ?, ?)"""
_INSERT_UNKNOWN = INSERT.replace("REPLACE", "IGNORE")
DELETED = "SELECT id, deleted_at FROM images WHERE typeof(deleted_at) = 'real'"
_ENTRIES = "SELECT id, created_at, deleted_at, favourite, data FROM images WHERE id > ? ORDER BY id LIMIT 100"
_PROMPTS = """SELECT id, CASE WHEN json_valid(data) THEN substr(json_extract(data, '$.prompt'), 1, ?) ELSE '' END
              FROM images WHERE id > ? ORDER BY id LIMIT 50"""
_RENAME = "UPDATE images SET data = json_set(data, '$.name', ?) WHERE id = ? AND json_valid(data)"
_FOLDED, _FOLDING = "search_folding", "NFKC"  # the preference that tells how the words in the index are folded
_TOLD = 50  # of more changes at once, pages hear that there are some, and look again
_SETTLED_NS = 2 * 10**9  # the coarsest time that a volume notes for a folder
_ARRIVING_NS = 60 * 10**9  # a file that cannot be read may be on its way for as long
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class _Files:
    """What is in the folders now."""

    present: dict[str, File]  # by id
    changed: list[File]  # of all files, those that are new, or other than they were, or called otherwise
    unreadable: list[File]
    trashed: dict[str, Path]

    def path(self, folder: Path, image_id: str) -> Path:
        return folder / self.present[image_id].name if image_id in self.present else self.trashed[image_id]


class Reconciler:
    """Use from the event loop; files are looked at in threads, one scan at a time."""

    def __init__(
        self,
        folder: Path,
        trash: Path,
        store: Store,
        table: FileTable,
        decoder: Decoder,
        events: EventHub,
        forget: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._trash = trash
        self._store = store
        self._table = table
        self._decoder = decoder
        self._events = events
        self._forget = forget
        self._scanning = asyncio.Lock()
        self._seen: tuple[int, float] | None = None  # the folder's time at the last scan, and until when that is vague

    def has_changed(self) -> bool:
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except OSError:  # its disk is gone; what needs it says so
            return False
        if self._seen is None or changed_ns != self._seen[0]:
            return True
        return self._seen[1] < time.monotonic()

    async def reconcile(self) -> int:
        """Enter files that the index does not know, drop entries without a file; returns how many changed.

        An entry that cannot be read is made anew from its file.
        """
        async with self._scanning:
            await self._fold_again()
            looked_ns = (await asyncio.to_thread(self._folder.stat)).st_mtime_ns
            files = await self._look(await self._table.all())
            known = {row[0]: row[1] for row in await self._store.read("SELECT id, deleted_at FROM images")}
            here = {i for i, deleted in known.items() if i in (files.present if deleted is None else files.trashed)}
            dropped = known.keys() - here
            back = {i for i, deleted in known.items() if deleted is not None and i in files.present}
            new = sorted((files.present.keys() | files.trashed.keys()) - (here - back))
            gone = [i for i in dropped if self._is_gone(i)]
            for image_id in gone:
                self._forget(image_id)
                await asyncio.sleep(0)  # others have their turn
            self._rename(file for file in files.changed if file.id in here)
            entered = await self._enter(new, files, known.keys())
            mended = await self._mend_entries(files)
            self._note(looked_ns, files)
        self._tell(entered, gone)
        if entered or gone or mended:
            text = "the gallery's index was brought up to date: %d entered, %d dropped, %d made anew"
            log.info(text, len(entered), len(gone), mended)
        return len(entered) + len(gone) + mended

    async def rebuild(self) -> int:
        """Make the index anew from the files alone, but for favourites and times of deletion; returns how many.

        All files are read before the old index goes, in one transaction: an interrupted rebuild has changed nothing.
        """
        async with self._scanning:
            readable = {name: file for name, file in (await self._table.all()).items() if file.id}
            files = await self._look(readable)
            since = dict(self._store.execute(DELETED))
            times = dict.fromkeys(files.trashed, time.time()) | since
            found = [
                await self._row_of_file(image_id, files, None if image_id in files.present else times[image_id])
                for image_id in sorted(files.present.keys() | files.trashed.keys())
            ]
        rows = [row for row, _ in found if row is not None]
        with self._store.transaction():
            starred = self._store.execute("SELECT id FROM images WHERE favourite = 1")
            self._store.execute("DELETE FROM images")
            for row in rows:
                self._store.execute(INSERT, row)
            for image_id in {row[0] for row in starred} | self._store.salvaged_favourites():
                self._store.execute("UPDATE images SET favourite = 1 WHERE id = ?", (image_id,))
            self._store.forget_salvaged()
        return len(rows)

    async def _look(self, known: dict[str, File]) -> _Files:
        found = await asyncio.to_thread(scan, self._folder, known)
        trashed = await asyncio.to_thread(scan_trash, self._trash)
        names = {file.name for file in found}
        changed = [file for file in found if known.get(file.name) != file]
        self._table.update(changed, [name for name in known if name not in names])
        present = {file.id: file for file in found if file.id is not None}
        return _Files(present, changed, [file for file in found if file.id is None], trashed)

    def _rename(self, files: Iterable[File]) -> None:
        for file in files:
            self._store.execute(_RENAME, (shown_name(file.name), file.id))

    def _is_gone(self, image_id: str) -> bool:
        places = [self._folder / self._table.name_of(image_id)]
        places += [self._trash / f"{image_id}{suffix}" for suffix in SUFFIXES.values()]
        return not any(map(is_file, places))

    async def _enter(self, new: list[str], files: _Files, known: Any) -> list[Image]:
        starred = self._store.salvaged_favourites()
        entered = []
        for image_id in new:
            deleted_at = None if image_id in files.present else time.time()
            row, image = await self._row_of_file(image_id, files, deleted_at, favourite=image_id in starred)
            if row is not None and image is not None:
                # a picture that was finished meanwhile has an entry, which says more than its file
                self._store.execute(INSERT if image_id in known else _INSERT_UNKNOWN, row)
                entered.append(image)
        if starred:
            self._store.forget_salvaged()
        return entered

    async def _mend_entries(self, files: _Files) -> int:
        """Make entries that cannot be read anew from their files; returns how many. Others are not touched."""
        mended, after = 0, ""
        while rows := await self._store.read(_ENTRIES, (after,)):
            after = rows[-1][0]
            for image_id, _, deleted_at, favourite, _ in await asyncio.to_thread(_unreadable, rows):
                log.warning("the entry of image %.40r cannot be read; it is made anew from its file", image_id)
                row = None
                if image_id in files.present or image_id in files.trashed:
                    since = deleted_at if isinstance(deleted_at, float) else time.time()
                    at = None if image_id in files.present else since
                    row, _ = await self._row_of_file(image_id, files, at, favourite=bool(favourite))
                if row is None:
                    self._forget(image_id)
                else:
                    self._store.execute(INSERT, row)
                mended += 1
        return mended

    async def _row_of_file(
        self, image_id: str, files: _Files, deleted_at: float | None, *, favourite: bool = False
    ) -> tuple[tuple[Any, ...] | None, Image | None]:
        """What a file is entered as; None for one that cannot be, which must not keep the others out."""
        path = files.path(self._folder, image_id)
        try:
            image = await asyncio.to_thread(image_from_file, self._decoder, path, image_id)
            image.favourite = favourite
            return row_of(image, deleted_at), image
        except PictureError:
            log.warning("%s is not a readable picture and is left out of the gallery", path.name)
            if image_id in files.present:
                self._leave_out(files, files.present[image_id])
        except Exception as error:  # by its name alone: the message may hold the prompt, which stays out of logs
            log.warning("%s is left out of the gallery: %s", path.name, type(error).__name__)
        return None, None

    def _leave_out(self, files: _Files, file: File) -> None:
        unreadable = replace(file, id=None)
        files.unreadable.append(unreadable)
        self._table.update([unreadable])

    def _note(self, looked_ns: int, files: _Files) -> None:
        """When to look again although the folder's time says that nothing has changed."""
        now_ns = time.time_ns()
        arriving = any(now_ns - file.mtime_ns < _ARRIVING_NS for file in files.unreadable)
        vague = arriving or now_ns - looked_ns < _SETTLED_NS
        self._seen = looked_ns, time.monotonic() + _AGAIN_S if vague else float("inf")

    def _tell(self, entered: list[Image], gone: list[str]) -> None:
        if len(entered) + len(gone) > _TOLD:
            self._events.publish("images_changed", {})
            return
        for image in entered:
            self._events.publish("image", image.model_dump())
        for image_id in gone:
            self._events.publish("image_deleted", {"id": image_id})

    async def _fold_again(self) -> None:
        last = "" if self._store.preference(_FOLDED) != _FOLDING else None
        while last is not None:
            prompts = self._store.execute(_PROMPTS, (MAX_SEARCHED_CHARS, last))
            rows = [(fold(str(prompt)), image_id) for image_id, prompt in prompts]
            self._store.execute_many("UPDATE images SET search = ? WHERE id = ?", rows)
            last = rows[-1][1] if rows else None
            await asyncio.sleep(0)  # others have their turn
        self._store.set_preference(_FOLDED, _FOLDING)


def _unreadable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in rows if not is_entry(*row)]
