"""Pictures that go into others: taken in once, kept by the digest of their pixels, let go of when nothing needs them.

Whatever a person sends is decoded in the decoder's child and written anew, so that the engine opens nothing but PNG
files of this program's own making. A picture is needed by jobs that wait, and by pictures whose recipes name it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bonsai_mlx.errors import PictureError
from bonsai_mlx.images.metadata import save_picture

from ..errors import ApiError, not_found
from ..store import Store
from .convert import TakeIn
from .decoder import Decoder
from .files import make_folder, make_private, sweep

log = logging.getLogger("bonsai.gallery")

FOLDER = ".inputs"
KEPT_S = 86_400.0  # after it was last used
MAX_BYTES = 2 << 30  # of all of them
_REMEDY = "Send a whole PNG, JPEG, WebP or AVIF picture of at most 40 million pixels."
_MASK_REMEDY = "Send a black and white picture, white where it is to be repainted, or one that is transparent there."
_NEEDED = "Cancel the job, or delete the pictures that were made from it, first."
_COLUMNS = "id, width, height, mask, box, bytes, whole"
_NAMED = """SELECT json_extract(data, '$.recipe.init'), json_extract(data, '$.recipe.mask'),
                   json_extract(data, '$.recipe.source'), json_extract(data, '$.recipe.morph'),
                   json_extract(data, '$.recipe.references')
            FROM images WHERE json_valid(data) AND (json_extract(data, '$.recipe.strength') IS NOT NULL
                                                    OR json_extract(data, '$.recipe.source') IS NOT NULL)"""


class Input(NamedTuple):
    """One picture: its digest, its size in pixels, and of a mask the box that holds all that it repaints.

    `whole` is the digest of the picture with its transparent parts, which are laid on white here, or of this one if
    they are not; `notes` are what was lost when it was taken in, which is not kept.
    """

    id: str
    width: int
    height: int
    mask: bool
    box: tuple[int, int, int, int] | None
    bytes: int
    whole: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_transparent(self) -> bool:
        return self.whole == self.id

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


class Inputs:
    """Use from the event loop. `waiting` says which of them jobs still need."""

    def __init__(
        self, folder: Path, store: Store, decoder: Decoder, waiting: Callable[[], set[str]], *, private: bool, mode: int
    ) -> None:
        self.folder = folder / FOLDER
        self._store = store
        self._decoder = decoder
        self._waiting = waiting
        self._private, self._mode = private, mode
        self._taking = asyncio.Lock()

    def prepare(self) -> None:
        make_folder(self.folder, private=self._private)
        sweep(self.folder)
        if self._private:
            make_private(self.folder)

    async def add(
        self,
        source: bytes | Path,
        field: str = "file",
        *,
        mask: bool = False,
        invert: bool = False,
        whole: bool = False,
    ) -> list[Input]:
        """Take in a picture: it, and a mask of its transparent parts if it has any. ApiError names `field`.

        With `whole` the picture with its transparency is kept as well, and is the last of a transparent one's.
        """
        try:
            taken = await self._decoder.decode(source, TakeIn(mask, invert, whole))
        except PictureError as error:
            remedy = _MASK_REMEDY if error.reason == "no_mask" else _REMEDY
            raise ApiError(
                422, "bad_picture", f"The picture cannot be used: {error}.", field=field, remedy=remedy
            ) from None
        head, _, files = taken.partition(b"\n")
        found = []
        async with self._taking:
            for told in json.loads(head):
                box, notes = tuple(told["box"]) if told["box"] else None, tuple(told.pop("notes", ()))
                one = Input(**told | {"box": box}, notes=notes)
                if not whole and (known := self._row(one.id)):  # only who gives a picture says whether it has one
                    one = one._replace(whole=known.whole)
                file, files = files[: one.bytes], files[one.bytes :]
                await self._keep(one, file)
                found.append(one)
        return found

    async def _keep(self, one: Input, file: bytes) -> None:
        path = self.path(one.id)
        if not await asyncio.to_thread(path.is_file):
            await self._make_room(one.bytes)
            await asyncio.to_thread(save_picture, path, file, mode=self._mode)
        row = (
            one.id,
            one.width,
            one.height,
            one.mask,
            json.dumps(one.box) if one.box else None,
            one.bytes,
            time.time(),
            one.whole,
        )
        self._store.execute("INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    async def _make_room(self, size: int) -> None:
        if self._total() + size <= MAX_BYTES:
            return
        await self.purge(older_than_s=0.0)
        if self._total() + size > MAX_BYTES:
            message = "The pictures that go in already take all the space that is kept for them."
            remedy = "Wait until some jobs are done, or delete pictures that were made from them."
            raise ApiError(507, "disk_full", message, remedy=remedy)

    def _total(self) -> int:
        return int(self._store.execute("SELECT coalesce(sum(bytes), 0) FROM inputs")[0][0])

    def find(self, input_id: str) -> Input | None:
        """The picture of this digest, which counts as used; None for an unknown one."""
        found = self._row(input_id)
        if found is None or not self.path(input_id).is_file():
            return None
        used = (time.time(), input_id, found.whole)
        self._store.execute("UPDATE inputs SET used_at = ? WHERE id IN (?, ?)", used)
        return found

    def _row(self, input_id: str) -> Input | None:
        rows = self._store.execute(f"SELECT {_COLUMNS} FROM inputs WHERE id = ?", (input_id,))  # noqa: S608
        return _of_row(rows[0]) if rows else None

    def get(self, input_id: str) -> Input:
        found = self.find(input_id)
        if found is None:
            raise not_found("input")
        return found

    def path(self, input_id: str) -> Path:
        return self.folder / f"{input_id}.png"

    def paths(self, input_ids: Iterable[str]) -> dict[str, bytes]:
        return {input_id: os.fsencode(self.path(input_id)) for input_id in input_ids}

    async def delete(self, input_id: str) -> None:
        """Let go of a picture now. ApiError: 404 unknown, 409 needed."""
        self.get(input_id)
        if input_id in await self._needed():
            raise ApiError(409, "conflict", "A job or a picture of the gallery needs this picture.", remedy=_NEEDED)
        await self._drop([input_id])

    async def purge(self, older_than_s: float = KEPT_S) -> int:
        """Let go of what nothing needs and nobody has used for so long; returns how many."""
        needed, limit = await self._needed(), time.time() - older_than_s
        rows = self._store.execute("SELECT id FROM inputs WHERE used_at <= ?", (limit,))
        old = [input_id for (input_id,) in rows if input_id not in needed]
        await self._drop(old)
        return len(old)

    async def _drop(self, input_ids: list[str]) -> None:
        for input_id in input_ids:
            await asyncio.to_thread(self.path(input_id).unlink, missing_ok=True)
            self._store.execute("DELETE FROM inputs WHERE id = ?", (input_id,))

    async def _needed(self) -> set[str]:
        needed = set(self._waiting())
        for *named, references in await self._store.read(_NAMED):
            needed.update(name for name in named if isinstance(name, str))
            with contextlib.suppress(ValueError, TypeError):  # what an index holds may be anything
                needed.update(json.loads(references or "[]"))
        return needed


def _of_row(row: tuple[Any, ...]) -> Input:
    input_id, width, height, mask, box, size, whole = row
    return Input(input_id, width, height, bool(mask), tuple(json.loads(box)) if box else None, size, whole)
