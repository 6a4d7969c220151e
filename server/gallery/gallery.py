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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bonsai_mlx.errors import PictureError
from bonsai_mlx.fileio import FILE_MODE, PRIVATE_FILE_MODE
from bonsai_mlx.images.metadata import save_picture

from ..errors import ApiError, is_shutting_down, not_found
from ..events import EventHub
from ..schemas.images import Deleted, DeletedMany, Image, ImageDetails, ImagePage
from ..schemas.jobs import Relative
from ..store import Store
from .convert import Convert, Thumbnail
from .decoder import Decoder
from .entries import image_from_file, image_of_row, row_of
from .file_table import FileTable
from .files import THUMBNAILS, TRASH, make_folder, make_private, read_file, sweep, write_disposable
from .folder import ID
from .listing import Listing, Query
from .reconcile import INSERT, Reconciler
from .trash import Contents, Moved, Trash

if TYPE_CHECKING:
    from bonsai_mlx.images.metadata import Format, MetadataMode

log = logging.getLogger("bonsai.gallery")

NOTICED_WITHIN_S = 2.0  # a page waits no longer for pictures that were put into the folder
ALMOST_LOSSLESS = 95  # quality of what is encoded again for the sake of its metadata
_RELATIVES = """SELECT other.id, role FROM image_parents JOIN images AS other ON other.id = image_parents.{0}
                WHERE image_parents.{1} = ? AND other.deleted_at IS NULL ORDER BY other.created_at, other.id, role"""
_CHANGED = """SELECT parent FROM image_parents JOIN images AS child ON child.id = image_parents.child
              JOIN images AS source ON source.id = image_parents.parent
              WHERE role = 'input' AND source.deleted_at IS NULL
              AND json_valid(child.data) AND json_extract(child.data, '$.recipe.init') = ?
              ORDER BY child.created_at LIMIT 1"""
_INSERT_PARENT = "INSERT OR IGNORE INTO image_parents (child, parent, role) VALUES (?, ?, ?)"


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
        self._private = private
        self.file_mode = PRIVATE_FILE_MODE if private else FILE_MODE
        self._table = FileTable(store)
        self._reconciler = Reconciler(folder, self.trash, store, self._table, decoder, events, self._forget)
        self._noticing: asyncio.Task[int] | None = None
        self._deleting = Trash(folder, self.trash, store, self._table, trash_days, self._forget)
        self.listing = Listing(store)

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

    def has(self, image_id: str) -> bool:
        return bool(self._store.execute("SELECT 1 FROM images WHERE id = ? AND deleted_at IS NULL", (image_id,)))

    def details(self, image_id: str) -> ImageDetails:
        """The image with what it was made from and what was made from it. ApiError 404 as in `get`."""
        parents = self._store.execute(_RELATIVES.format("parent", "child"), (image_id,))
        children = self._store.execute(_RELATIVES.format("child", "parent"), (image_id,))
        inside = self._store.execute("SELECT collection FROM collection_images WHERE image = ?", (image_id,))
        image = self.get(image_id)
        return ImageDetails(
            **image.model_dump(),
            parents=[Relative(id=other, role=role) for other, role in parents],
            children=[Relative(id=other, role=role) for other, role in children],
            collections=[collection for (collection,) in inside],
        )

    def changed_before(self, digest: str) -> str | None:
        """The image whose pixels have this digest, if it is known from a picture that was made by changing it."""
        rows = self._store.execute(_CHANGED, (digest,))
        return str(rows[0][0]) if rows else None

    async def page(self, query: Query | None = None, *, limit: int = 60, cursor: str | None = None) -> ImagePage:
        """A page of what is looked for. `cursor` is the `next_cursor` of the page before."""
        if cursor is None:
            await self._notice_changes()
        return await self.listing.page(query or Query(), limit, cursor)

    def set_favourite(self, image_id: str, favourite: bool) -> Image:
        self._store.execute("UPDATE images SET favourite = ? WHERE id = ?", (favourite, image_id))
        image = self.get(image_id)
        self._events.publish("image", image.model_dump())
        return image

    def _forget(self, image_id: str) -> None:
        self._store.execute("DELETE FROM images WHERE id = ?", (image_id,))
        self._store.execute("DELETE FROM image_parents WHERE child = ?", (image_id,))
        self._store.execute("DELETE FROM collection_images WHERE image = ?", (image_id,))
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
        return self.folder / self._table.name_of(image_id)

    def _thumbnail_file(self, image_id: str) -> Path:
        return self.thumbnails / f"{image_id}.webp"

    async def png(self, image_id: str, metadata: MetadataMode = "full") -> bytes:
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
        self.get(image_id)
        try:
            return await asyncio.to_thread(read_file, self._thumbnail_file(image_id))
        except OSError:
            return await self._draw_thumbnail(image_id)

    async def _draw_thumbnail(self, image_id: str, path: Path | None = None) -> bytes:
        try:
            data = await self._decoder.decode(path or self.file(image_id), Thumbnail())
        except OSError:
            raise not_found("image") from None
        try:
            await asyncio.to_thread(write_disposable, self._thumbnail_file(image_id), data, mode=self.file_mode)
        except OSError as error:  # whoever asked gets it all the same, and the next who asks has it drawn again
            log.warning("a thumbnail could not be kept: %s", error.strerror)
        return data

    # deleting, with undo

    async def delete(self, image_id: str) -> Deleted:
        self.get(image_id)
        moved = await self._deleting.delete([image_id])
        if moved.missing:
            raise not_found("image")
        self._events.publish("image_deleted", {"id": image_id})
        return Deleted(id=image_id, undo_until=self._deleting.undo_until)

    async def restore(self, image_id: str) -> Image:
        """Undo `delete`. 404 when it was never deleted or is gone for good."""
        if (await self._deleting.restore([image_id])).missing:
            raise not_found("deleted image")
        image = self.get(image_id)
        self._events.publish("image", image.model_dump())
        return image

    async def delete_many(self, ids: Sequence[str]) -> DeletedMany:
        moved = await self._deleting.delete(ids)
        self._events.publish("images_deleted", {"ids": moved.ids})
        return DeletedMany(ids=moved.ids, missing=moved.missing, undo_until=self._deleting.undo_until)

    async def restore_many(self, ids: Sequence[str]) -> Moved:
        """Undo `delete_many`; pages look again."""
        moved = await self._deleting.restore(ids)
        self._events.publish("images_changed", {})
        return moved

    async def deleted(self, limit: int, cursor: str | None = None) -> Contents:
        """What can be brought back, the latest first."""
        return await self._deleting.contents(limit, cursor)

    async def delete_for_good(self, ids: Sequence[str] | None) -> Moved:
        """Of those that were deleted these, or all."""
        return await self._deleting.end(ids)

    async def deleted_thumbnail(self, image_id: str) -> bytes:
        """A small picture of one that was deleted. ApiError 404 for one that was not, or is gone for good."""
        image = self._deleting.find(image_id)
        if image is None:
            raise not_found("deleted image")
        try:
            return await asyncio.to_thread(read_file, self._thumbnail_file(image_id))
        except OSError:
            return await self._draw_thumbnail(image_id, self._deleting.file(image))

    async def purge(self) -> int:
        """Delete for good what has been in the trash for longer than it can be wanted back; returns how many."""
        return await self._deleting.purge()

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


def _tell_of_failure(task: asyncio.Task[int]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not is_shutting_down(error):
        log.warning("the folder of the images could not be looked at: %s", type(error).__name__)
