"""Every image: the pictures in one folder, each with its recipe inside, and an index that can be made from them.

Owns the output folder: the files, `.trash/` (deleted images, until they are too old to be wanted back) and
`.thumbnails/` (disposable). New images are saved as `<id>.png`; pictures from elsewhere belong there as well, under
names of their own (folder.py). What the index says and no file confirms is dropped (reconcile.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bonsai_mlx.errors import PictureError
from bonsai_mlx.fileio import FILE_MODE, PRIVATE_FILE_MODE
from bonsai_mlx.images.metadata import save_picture

from ..errors import ApiError, not_found
from ..events import EventHub
from ..schemas import Deleted, Image, ImageDetails, ImagePage, Relative
from ..store import Store, timestamp
from .convert import Convert, Thumbnail
from .decoder import Decoder
from .entries import filters, image_from_file, image_of_row, row_of
from .file_table import FileTable
from .files import THUMBNAILS, TRASH, bring_back, make_folder, make_private, move, read_file, sweep, write_disposable
from .folder import ID, SUFFIXES, scan_trash
from .reconcile import DELETED, INSERT, Reconciler

if TYPE_CHECKING:
    from bonsai_mlx.images.metadata import Format, MetadataMode

log = logging.getLogger("bonsai.gallery")

PAGE_BYTES = 1_000_000  # of entries, on one page: sixty with the longest prompts would be 15 MB
CURSOR = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z~[0-9a-f]{32}$"  # created_at~id: where a page ended
NOTICED_WITHIN_S = 2.0  # a page waits no longer for pictures that were put into the folder
ALMOST_LOSSLESS = 95  # quality of what is encoded again for the sake of its metadata
_PAGE = """WITH page AS (
    SELECT id, created_at, length(CAST(data AS BLOB)) AS size FROM images WHERE {0}
    ORDER BY created_at DESC, id DESC LIMIT ?
), summed AS (
    SELECT id AS chosen, count(*) OVER () AS found, row_number() OVER before AS place, sum(size) OVER before AS bytes
    FROM page WINDOW before AS (ORDER BY created_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
) SELECT id, data, favourite, created_at, found FROM summed JOIN images ON id = chosen
  WHERE place = 1 OR (bytes <= ? AND place <= ?) ORDER BY created_at DESC, id DESC"""
_RELATIVES = """SELECT other.id, role FROM image_parents JOIN images AS other ON other.id = image_parents.{0}
                WHERE image_parents.{1} = ? AND other.deleted_at IS NULL ORDER BY other.created_at, other.id, role"""
_INSERT_PARENT = "INSERT OR IGNORE INTO image_parents (child, parent, role) VALUES (?, ?, ?)"
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
        self.trash = folder / TRASH
        self.thumbnails = folder / THUMBNAILS
        self._store = store
        self._events = events
        self._decoder = decoder
        self._trash_days = trash_days
        self._private = private
        self.file_mode = PRIVATE_FILE_MODE if private else FILE_MODE
        self._table = FileTable(store)
        self._reconciler = Reconciler(folder, self.trash, store, self._table, decoder, events, self._forget)
        self._noticing: asyncio.Task[int] | None = None
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

    async def save(self, image_id: str, png: bytes, thumbnail: bytes) -> None:
        """Write a new picture's file; it is on the disk after this. SaveError, with words for people."""
        await asyncio.to_thread(self._save, image_id, png, thumbnail)

    def _save(self, image_id: str, png: bytes, thumbnail: bytes) -> None:
        # The thumbnail first: whoever hears of the image finds it. Without room for it, the image still counts.
        with contextlib.suppress(OSError):
            write_disposable(self._thumbnail_file(image_id), thumbnail, mode=self.file_mode)
        save_picture(self.folder / f"{image_id}.png", png, mode=self.file_mode)

    # the index

    def add(self, image: Image, parents: Sequence[tuple[str, str]] = ()) -> None:
        """Enter a new image, whose file is already there, and tell the pages. `parents` are ids with their roles."""
        with self._store.transaction():
            self._store.execute(INSERT, row_of(image))
            for parent, role in parents:
                self._store.execute(_INSERT_PARENT, (image.id, parent, role))
        self._events.publish("image", image.model_dump())

    def recover(self, image_id: str) -> Image | None:
        """A picture that was saved while nobody lived to note it, read from its file; None for no whole one. Blocks."""
        try:
            return image_from_file(self._decoder, self.file(image_id), image_id)
        except (OSError, PictureError):
            return None

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
        if cursor is None:
            await self._notice_changes()
        where, values = filters(q, favourite, group)
        total = (await self._store.read(f"SELECT count(*) FROM images WHERE {where}", values))[0][0]  # noqa: S608
        if cursor is not None:
            where, values = f"{where} AND (created_at, id) < (?, ?)", [*values, *cursor.split("~")]
        rows = await self._store.read(_PAGE.format(where), [*values, limit + 1, PAGE_BYTES, limit])
        read = [image_of_row(image_id, data, starred) for image_id, data, starred, *_ in rows]
        images = [image for image in read if image is not None]
        following = f"{rows[-1][3]}~{rows[-1][0]}" if rows and rows[-1][4] > len(rows) else None
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
        """The picture's file, under its own name if it has one."""
        return self.folder / self._table.name_of(image_id)

    def _thumbnail_file(self, image_id: str) -> Path:
        return self.thumbnails / f"{image_id}.webp"

    async def png(self, image_id: str, metadata: MetadataMode = "full") -> bytes:
        """The image as PNG with as much of its recipe as asked for."""
        return await self.encoded(image_id, "png", metadata)

    async def encoded(
        self, image_id: str, to: Format, metadata: MetadataMode = "full", quality: int = ALMOST_LOSSLESS
    ) -> bytes:
        """The image in a format; byte for byte its file where that has this format and nothing else is asked for."""
        image = self.get(image_id)
        path = self.file(image_id)
        try:
            if to == image.format and metadata == "full":
                return await asyncio.to_thread(read_file, path)
            if to == image.format == "png":
                return await asyncio.to_thread(_rewritten, path, metadata)
            if metadata == "mark" and not image.recipe:
                raise _unmarked()
            return await self._decoder.decode(path, Convert(to, quality, metadata))
        except OSError:
            raise not_found("image") from None

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
            image = self.get(image_id)
            source = self.file(image_id)
            try:
                await asyncio.to_thread(move, source, self.trash / f"{image_id}{SUFFIXES[image.format]}")
            except FileNotFoundError:
                self._forget(image_id)
                raise not_found("image") from None
            now = time.time()
            self._store.execute("UPDATE images SET deleted_at = ? WHERE id = ?", (now, image_id))
            self._table.update((), [source.name])
        self._events.publish("image_deleted", {"id": image_id})
        return Deleted(id=image_id, undo_until=timestamp(now + self._trash_days * 86_400))

    async def restore(self, image_id: str) -> Image:
        """Undo `delete`. 404 when it was never deleted or is gone for good."""
        async with self._moving:
            rows = self._store.execute(
                "SELECT id, data, favourite FROM images WHERE id = ? AND deleted_at IS NOT NULL", (image_id,)
            )
            image = image_of_row(*rows[0]) if rows else None
            if image is None:
                raise not_found("deleted image")
            try:
                file = await asyncio.to_thread(bring_back, self.trash, self.folder, image_id, image.format, image.name)
            except FileNotFoundError:
                self._forget(image_id)
                raise not_found("deleted image") from None
            self._table.update([file])
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
            known = dict(self._store.execute(DELETED))
            trashed = await asyncio.to_thread(scan_trash, self.trash)
            old = [image_id for image_id, path in trashed.items() if known.get(image_id, _moved_at(path)) < limit]
            for image_id in old:
                await asyncio.to_thread(trashed[image_id].unlink, missing_ok=True)
                if image_id in known:
                    self._forget(image_id)
        return len(old)

    # the index and the files agree

    async def reconcile(self) -> int:
        """Enter files that the index does not know, drop entries without one, mend others; returns how many."""
        return await self._reconciler.reconcile()

    async def rebuild(self) -> int:
        """Make the index anew from the files alone, but for favourites and times of deletion; returns how many."""
        return await self._reconciler.rebuild()

    async def _notice_changes(self) -> None:
        """Files that came or went are in the index after this, or, if there are many, some time later."""
        if self._noticing is None or self._noticing.done():
            if not self._reconciler.has_changed():
                return
            self._noticing = asyncio.create_task(self.reconcile())
            self._noticing.add_done_callback(_tell_of_failure)
        await asyncio.wait({self._noticing}, timeout=NOTICED_WITHIN_S)

    async def close(self) -> None:
        """Look at files no more."""
        if self._noticing is not None:
            self._noticing.cancel()
            await asyncio.wait({self._noticing})


def _rewritten(path: Path, metadata: MetadataMode) -> bytes:
    from bonsai_mlx.images.metadata import rewrite_png  # here: most requests want the file as it is

    try:
        return rewrite_png(read_file(path), metadata)
    except ValueError as error:
        if metadata == "mark":
            raise _unmarked() from None
        raise PictureError("unreadable", f"the picture's metadata cannot be taken out: {error}") from None


def _unmarked() -> ApiError:
    message = "This picture carries no recipe of this program, which therefore cannot mark it as its own."
    remedy = "Ask for all of its metadata, or for none."
    return ApiError(422, "bad_field", message, field="metadata", remedy=remedy)


def _moved_at(path: Path) -> float:
    """When a file was deleted that the index does not know; of one that is gone, now."""
    try:
        return path.lstat().st_ctime
    except FileNotFoundError:
        return time.time()


def _tell_of_failure(task: asyncio.Task[int]) -> None:
    """A page shows what the index knows, whatever the folder is like."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("the folder of the images could not be looked at: %s", type(error).__name__)
