"""Every image ever made: plain `<id>.png` files with their recipe inside, and an index that can be rebuilt from them.

Owns the output folder: the files, `.trash/` (deleted images, until they are too old to be wanted back) and
`.thumbnails/` (disposable). The child process writes new images; everything else about them happens here. The files
are the truth: what the index says and no file confirms is dropped. Never looks inside a picture but for thumbnails.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from bonsai_mlx.fileio import FILE_MODE, PRIVATE_FILE_MODE

from ..errors import ApiError, not_found
from ..events import EventHub
from ..schemas import Deleted, Image, ImageDetails, ImagePage, Relative
from ..store import Store, timestamp
from .convert import Thumbnail
from .decoder import Decoder
from .entries import MAX_SEARCHED_CHARS, filters, fold, image_from_file, image_of_row, is_entry, row_of
from .files import ID, ids_in, is_file, make_folder, make_private, move, read_file, sweep, write_disposable

log = logging.getLogger("bonsai.gallery")

PAGE_BYTES = 1_000_000  # of entries, on one page: sixty with the longest prompts would be 15 MB
CURSOR = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z~[0-9a-f]{32}$"  # created_at~id: where a page ended
_INSERT = """INSERT OR REPLACE INTO images (id, created_at, search, favourite, group_id, deleted_at, data)
             VALUES (?, ?, ?, ?, ?, ?, ?)"""
_INSERT_UNKNOWN = _INSERT.replace("REPLACE", "IGNORE")
_PAGE = """SELECT id, data, favourite, created_at FROM images WHERE {0} ORDER BY created_at DESC, id DESC LIMIT ?"""
_SIZES = """SELECT length(CAST(data AS BLOB)) FROM images WHERE {0} ORDER BY created_at DESC, id DESC LIMIT ?"""
_DELETED = "SELECT id, deleted_at FROM images WHERE typeof(deleted_at) = 'real'"
_ENTRIES = """SELECT id, created_at, deleted_at, favourite, data FROM images WHERE id > ? ORDER BY id LIMIT 100"""
_RELATIVES = """SELECT other.id, role FROM image_parents JOIN images AS other ON other.id = image_parents.{0}
                WHERE image_parents.{1} = ? AND other.deleted_at IS NULL ORDER BY other.created_at, other.id, role"""
_PROMPTS = """SELECT id, substr(json_extract(data, '$.prompt'), 1, ?) FROM images WHERE id > ? ORDER BY id LIMIT 50"""
_FOLDED, _FOLDING = "search_folding", "NFKC"  # the preference that tells how the words in the index are folded
_NEIGHBOUR = """SELECT id FROM images WHERE deleted_at IS NULL AND (created_at, id) {0} (?, ?)
                ORDER BY created_at {1}, id {1} LIMIT 1"""


class Gallery:
    """Use from the event loop; what reads files runs in threads."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        events: EventHub,
        decoder: Decoder,
        trash_days: float,
        *,
        private: bool = False,
    ) -> None:
        self.folder = folder
        self.trash = folder / ".trash"
        self.thumbnails = folder / ".thumbnails"
        self._store = store
        self._events = events
        self._decoder = decoder
        self._trash_days = trash_days
        self._private = private
        self.file_mode = PRIVATE_FILE_MODE if private else FILE_MODE
        self._moving = asyncio.Lock()  # a file and its entry change together, for one caller after the other

    def prepare(self) -> None:
        """Make the folders, and remove what interrupted writes left behind. Blocks; before anything else runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.trash, self.thumbnails):
            make_folder(folder, private=self._private)
        for folder in (self.folder, self.trash, self.thumbnails):
            sweep(folder)
            if self._private:
                self._make_private(folder)

    def _make_private(self, folder: Path) -> None:
        try:
            make_private(folder)
        except OSError as error:
            log.warning("%s cannot be kept from other users of this computer: %s", folder, error.strerror)

    # the index

    def add(self, image: Image) -> None:
        """Enter a new image, whose file is already there, and tell the pages."""
        self._store.execute(_INSERT, row_of(image))
        self._events.publish("image", image.model_dump())

    def recover(self, image_id: str) -> Image | None:
        """A picture that was saved while nobody lived to note it, read from its file. Blocks."""
        return image_from_file(self._decoder, self.file(image_id), image_id)

    def get(self, image_id: str) -> Image:
        """The image, or ApiError 404 for an unknown or deleted one."""
        rows = self._store.execute(
            "SELECT id, data, favourite FROM images WHERE id = ? AND deleted_at IS NULL", (image_id,)
        )
        image = image_of_row(*rows[0]) if rows else None
        if image is None:
            raise not_found("image")
        return image

    def details(self, image_id: str) -> ImageDetails:
        """The image with what it was made from and what was made from it. ApiError 404 as in `get`."""
        parents = self._store.execute(_RELATIVES.format("parent", "child"), (image_id,))
        children = self._store.execute(_RELATIVES.format("child", "parent"), (image_id,))
        image = self.get(image_id)
        return ImageDetails(
            **image.model_dump(),
            parents=[Relative(id=other, role=role) for other, role in parents],
            children=[Relative(id=other, role=role) for other, role in children],
        )

    async def page(
        self,
        *,
        limit: int = 60,
        cursor: str | None = None,
        q: str = "",
        favourite: bool | None = None,
        group: str | None = None,
    ) -> ImagePage:
        """Newest first. Every word of `q` has to be in the prompt. `cursor` is the `next_cursor` of the page before.

        At most `limit` images, and as few as fit into PAGE_BYTES, but one.
        """
        where, values = filters(q, favourite, group)
        total = (await self._store.read(f"SELECT count(*) FROM images WHERE {where}", values))[0][0]  # noqa: S608
        if cursor is not None:
            where, values = f"{where} AND (created_at, id) < (?, ?)", [*values, *cursor.split("~")]
        sizes = await self._store.read(_SIZES.format(where), [*values, limit + 1])
        count = _within(sizes, limit)
        rows = await self._store.read(_PAGE.format(where), [*values, count])
        found = [image_of_row(image_id, data, starred) for image_id, data, starred, _ in rows]
        images = [image for image in found if image is not None]
        following = f"{rows[-1][3]}~{rows[-1][0]}" if rows and len(sizes) > len(rows) else None
        return ImagePage(images=images, next_cursor=following, total=total)

    async def neighbours(self, image: Image) -> tuple[str | None, str | None]:
        """The ids of the next newer and the next older image."""
        here = (image.created_at, image.id)
        newer = await self._store.read(_NEIGHBOUR.format(">", "ASC"), here)
        older = await self._store.read(_NEIGHBOUR.format("<", "DESC"), here)
        return (newer[0][0] if newer else None), (older[0][0] if older else None)

    def set_favourite(self, image_id: str, favourite: bool) -> Image:
        """Mark or unmark; returns the image as it is now."""
        self._store.execute("UPDATE images SET favourite = ? WHERE id = ?", (favourite, image_id))
        image = self.get(image_id)
        self._events.publish("image", image.model_dump())
        return image

    def _forget(self, image_id: str) -> None:
        self._store.execute("DELETE FROM images WHERE id = ?", (image_id,))
        self._store.execute("DELETE FROM image_parents WHERE child = ?", (image_id,))
        if ID.fullmatch(str(image_id)):  # what the index holds may be no id of ours
            self._thumbnail_file(image_id).unlink(missing_ok=True)

    # the files

    def free_bytes(self) -> int:
        """The space that is left for images. ApiError 507 when their folder, or the disk that it is on, is gone."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError as error:
            message = f"The folder of the images, {self.folder}, cannot be reached: {error.strerror}."
            remedy = "Connect its disk and start the server again, or start it with --output on another disk."
            raise ApiError(507, "disk_full", message, remedy=remedy) from None

    def file(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.png"

    def _trashed_file(self, image_id: str) -> Path:
        return self.trash / f"{image_id}.png"

    def _thumbnail_file(self, image_id: str) -> Path:
        return self.thumbnails / f"{image_id}.webp"

    async def png(self, image_id: str, metadata: Literal["full", "mark", "none"] = "full") -> bytes:
        """The image's file with as much of its recipe as asked for."""
        self.get(image_id)
        return await asyncio.to_thread(self._read_png, image_id, metadata)

    def _read_png(self, image_id: str, metadata: Literal["full", "mark", "none"]) -> bytes:
        from bonsai_mlx.images.metadata import rewrite_png  # here: most requests want the file as it is

        try:
            png = read_file(self.file(image_id))
        except OSError:
            raise not_found("image") from None
        if metadata == "full":
            return png
        try:
            return rewrite_png(png, metadata)
        except ValueError as error:
            remedy = "Ask for all of its metadata, or for none." if metadata == "mark" else None
            message = f"That cannot be done with this picture: {error}."
            raise ApiError(422, "bad_field", message, field="metadata", remedy=remedy) from None

    async def thumbnail(self, image_id: str) -> bytes:
        """WebP of at most 384 px, made from the image when there is none."""
        self.get(image_id)
        try:
            return await asyncio.to_thread(read_file, self._thumbnail_file(image_id))
        except OSError:
            return await self._draw_thumbnail(image_id)

    async def _draw_thumbnail(self, image_id: str) -> bytes:
        try:
            data = await self._decoder.decode(self.file(image_id), Thumbnail())
        except OSError:
            raise not_found("image") from None
        try:
            await asyncio.to_thread(write_disposable, self._thumbnail_file(image_id), data, mode=self.file_mode)
        except OSError as error:  # whoever asked gets it all the same, and the next who asks has it drawn again
            log.warning("a thumbnail could not be kept: %s", error.strerror)
        return data

    # deleting, with undo

    async def delete(self, image_id: str) -> Deleted:
        """Move the file to the trash, from where `restore` brings it back."""
        async with self._moving:
            self.get(image_id)
            try:
                await asyncio.to_thread(move, self.file(image_id), self._trashed_file(image_id))
            except FileNotFoundError:
                self._forget(image_id)
                raise not_found("image") from None
            now = time.time()
            self._store.execute("UPDATE images SET deleted_at = ? WHERE id = ?", (now, image_id))
        self._events.publish("image_deleted", {"id": image_id})
        return Deleted(id=image_id, undo_until=timestamp(now + self._trash_days * 86_400))

    async def restore(self, image_id: str) -> Image:
        """Undo `delete`. 404 when it was never deleted or is gone for good."""
        async with self._moving:
            if not self._store.execute("SELECT 1 FROM images WHERE id = ? AND deleted_at IS NOT NULL", (image_id,)):
                raise not_found("deleted image")
            try:
                await asyncio.to_thread(move, self._trashed_file(image_id), self.file(image_id))
            except FileNotFoundError:
                self._forget(image_id)
                raise not_found("deleted image") from None
            self._store.execute("UPDATE images SET deleted_at = NULL WHERE id = ?", (image_id,))
        image = self.get(image_id)
        self._events.publish("image", image.model_dump())
        return image

    async def purge(self) -> int:
        """Delete for good what has been in the trash for longer than it can be wanted back; returns how many.

        The index knows since when: of a file that is moved, not every volume notes the time. It is asked of files that
        the index does not know, because they cannot be read.
        """
        limit = time.time() - self._trash_days * 86_400
        async with self._moving:
            known = dict(self._store.execute(_DELETED))
            trashed = await asyncio.to_thread(_listing, self.trash)
            old = [image_id for image_id, status in trashed if known.get(image_id, status.st_ctime) < limit]
            for image_id in old:
                await asyncio.to_thread(self._trashed_file(image_id).unlink, missing_ok=True)
                self._forget(image_id)
        return len(old)

    # the index and the files agree

    async def reconcile(self) -> int:
        """Enter files that the index does not know, drop entries without a file; returns how many changed.

        An entry that cannot be read is made anew from its file.
        """
        await self._fold_again()
        files = dict(await asyncio.to_thread(_listing, self.folder))
        trashed = dict(await asyncio.to_thread(_listing, self.trash))
        known = {row[0]: row[1] for row in await self._store.read("SELECT id, deleted_at FROM images")}
        gone = [i for i, deleted in known.items() if i not in (files if deleted is None else trashed)]
        new = sorted((files.keys() | trashed.keys()) - (known.keys() - set(gone)))
        for image_id in gone:
            if not is_file(self.file(image_id)) and not is_file(self._trashed_file(image_id)):
                self._forget(image_id)
        starred = self._store.salvaged_favourites()
        for image_id in new:
            deleted_at = None if image_id in files else time.time()
            row = await self._row_of_file(image_id, deleted_at, favourite=image_id in starred)
            if row is not None:  # a picture that was finished meanwhile has an entry, which says more than its file
                self._store.execute(_INSERT if image_id in known else _INSERT_UNKNOWN, row)
        if starred:
            self._store.forget_salvaged()
        mended = await self._mend_entries()
        if new or gone or mended:
            text = "the gallery's index was brought up to date: %d entered, %d dropped, %d made anew"
            log.info(text, len(new), len(gone), mended)
        return len(new) + len(gone) + mended

    async def _mend_entries(self) -> int:
        """Make entries that cannot be read anew from their files; returns how many. Others are not touched."""
        mended, after = 0, ""
        while rows := await self._store.read(_ENTRIES, (after,)):
            after = rows[-1][0]
            for image_id, _, deleted_at, favourite, _ in await asyncio.to_thread(_unreadable, rows):
                log.warning("the entry of image %.40r cannot be read; it is made anew from its file", image_id)
                since = deleted_at if isinstance(deleted_at, float) else None
                if since is None and not is_file(self.file(image_id)):
                    since = time.time()
                row = await self._row_of_file(image_id, since, favourite=bool(favourite))
                if row is None:
                    self._forget(image_id)
                else:
                    self._store.execute(_INSERT, row)
                mended += 1
        return mended

    async def _fold_again(self) -> None:
        """Words of an index that was made when they were compared otherwise."""
        last = "" if self._store.preference(_FOLDED) != _FOLDING else None
        while last is not None:
            prompts = self._store.execute(_PROMPTS, (MAX_SEARCHED_CHARS, last))
            rows = [(fold(prompt), image_id) for image_id, prompt in prompts]
            self._store.execute_many("UPDATE images SET search = ? WHERE id = ?", rows)
            last = rows[-1][1] if rows else None
            await asyncio.sleep(0)  # others have their turn
        self._store.set_preference(_FOLDED, _FOLDING)

    async def rebuild(self) -> int:
        """Make the index anew from the files alone, but for favourites and times of deletion; returns how many.

        All files are read before the old index goes, in one transaction: an interrupted rebuild has changed nothing.
        """
        files = dict(await asyncio.to_thread(_listing, self.folder))
        trashed = dict(await asyncio.to_thread(_listing, self.trash))
        since = dict(self._store.execute(_DELETED))
        times = dict.fromkeys(trashed, time.time()) | since
        found = [
            await self._row_of_file(image_id, None if image_id in files else times[image_id])
            for image_id in sorted(files.keys() | trashed.keys())
        ]
        rows = [row for row in found if row is not None]
        with self._store.transaction():
            starred = self._store.execute("SELECT id FROM images WHERE favourite = 1")
            self._store.execute("DELETE FROM images")
            for row in rows:
                self._store.execute(_INSERT, row)
            for image_id in {row[0] for row in starred} | self._store.salvaged_favourites():
                self._store.execute("UPDATE images SET favourite = 1 WHERE id = ?", (image_id,))
            self._store.forget_salvaged()
        return len(rows)

    async def _row_of_file(
        self, image_id: str, deleted_at: float | None, *, favourite: bool = False
    ) -> tuple[Any, ...] | None:
        """What a file is entered as; None for one that cannot be, which must not keep the others out."""
        path = self.file(image_id) if deleted_at is None else self._trashed_file(image_id)
        try:
            image = await asyncio.to_thread(image_from_file, self._decoder, path, image_id)
            if image is None:
                return None
            image.favourite = favourite
            return row_of(image, deleted_at)
        except Exception as error:  # by its name alone: the message may hold the prompt, which stays out of logs
            log.warning("%s is left out of the gallery: %s", path.name, type(error).__name__)
            return None


def _within(sizes: list[tuple[int]], limit: int) -> int:
    """How many of the first `limit` entries fit on a page; one at least, for there to be a next page."""
    sums = itertools.accumulate(size for (size,) in sizes[:limit])
    return max(1, sum(total <= PAGE_BYTES for total in sums))


def _unreadable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of `_ENTRIES` that do not hold an entry of ours."""
    return [row for row in rows if not is_entry(*row)]


def _listing(folder: Path) -> list[tuple[str, os.stat_result]]:
    return list(ids_in(folder))
