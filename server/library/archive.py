"""Many pictures as one ZIP file, made while it is sent: no more than one of them is in memory at a time."""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
import time
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from bonsai_mlx.errors import PictureError

from ..errors import ApiError, not_found
from ..gallery.gallery import Gallery
from ..store import timestamp
from .shapes import Archive

if TYPE_CHECKING:
    from bonsai_mlx.images.metadata import MetadataMode

log = logging.getLogger("bonsai.gallery")

KEPT = 20  # archives that can be fetched; the oldest give way
KEPT_S = 3_600.0
LEFT_OUT = "not included.txt"
_PIECE_BYTES = 1 << 20


class _Wanted(NamedTuple):
    ids: tuple[str, ...]
    metadata: MetadataMode
    until: float


class Archives:
    """Use from the event loop. What is asked for is kept by an id, under which it is then fetched."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._wanted: OrderedDict[str, _Wanted] = OrderedDict()

    def prepare(self, ids: Sequence[str], metadata: MetadataMode) -> Archive:
        """ApiError 404 when none of these pictures is there."""
        present = tuple(image_id for image_id in dict.fromkeys(ids) if self._gallery.has(image_id))
        if not present:
            raise not_found("image")
        archive_id = secrets.token_hex(16)
        until = time.time() + KEPT_S
        self._wanted[archive_id] = _Wanted(present, metadata, until)
        while len(self._wanted) > KEPT:
            self._wanted.popitem(last=False)
        return Archive(
            id=archive_id,
            url=f"/archives/{archive_id}.zip",
            name=f"bonsai-{time.strftime('%Y-%m-%d')}-{len(present)}-pictures.zip",
            pictures=len(present),
            expires_at=timestamp(until),
        )

    def name(self, archive_id: str) -> str:
        """What a browser keeps it as. ApiError 404 for one that is not known, or not any more."""
        return f"bonsai-{len(self._find(archive_id).ids)}-pictures.zip"

    def _find(self, archive_id: str) -> _Wanted:
        wanted = self._wanted.get(archive_id)
        if wanted is None or wanted.until < time.time():
            raise not_found("archive")
        return wanted

    async def stream(self, archive_id: str) -> AsyncIterator[bytes]:
        """The file in pieces. Pictures that are gone by now, or cannot be read, are named in a text inside of it."""
        wanted = self._find(archive_id)
        zipped = _Zip()
        left_out = []
        for image_id in wanted.ids:
            try:
                image = self._gallery.get(image_id)
                data = await self._gallery.encoded(image_id, image.format, wanted.metadata)
            except (ApiError, PictureError) as error:
                left_out.append(f"{image_id}: {error}")
                continue
            for piece in await asyncio.to_thread(zipped.add, image.file_name, data, image.created_at):
                yield piece
        if left_out:
            log.warning("%d pictures were left out of an archive", len(left_out))
            for piece in zipped.add(LEFT_OUT, "\n".join(left_out).encode("utf-8", "replace"), timestamp()):
                yield piece
        for piece in zipped.end():
            yield piece


class _Zip:
    """Pictures do not get smaller by packing, so they are stored as they are.

    Each is written into memory as into a file, so that its size and checksum stand before it as every program reads
    them, and not after it, as where nothing can be gone back to.
    """

    def __init__(self) -> None:
        self._buffer = _Sliding()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_STORED)
        self._names: set[str] = set()

    def add(self, name: str, data: bytes, created_at: str) -> list[bytes]:
        entry = zipfile.ZipInfo(self._own_name(name), _dos_time(created_at))
        entry.external_attr = 0o644 << 16
        self._zip.writestr(entry, data)
        return self._buffer.taken()

    def _own_name(self, name: str) -> str:
        stem, _, suffix = name.rpartition(".")
        number, own = 1, name
        while own.casefold() in self._names:
            number += 1
            own = f"{stem}-{number}.{suffix}"
        self._names.add(own.casefold())
        return own

    def end(self) -> list[bytes]:
        self._zip.close()
        return self._buffer.taken()


class _Sliding(io.BytesIO):
    """A file of which the beginning has been taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._before = 0

    def tell(self) -> int:
        return self._before + super().tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._before + super().seek(offset - self._before if whence == 0 else offset, whence)

    def taken(self) -> list[bytes]:
        data = self.getbuffer()
        pieces = [bytes(data[at : at + _PIECE_BYTES]) for at in range(0, len(data), _PIECE_BYTES)]
        self._before += len(data)
        data.release()
        super().seek(0)
        self.truncate()
        return pieces


def _dos_time(created_at: str) -> tuple[int, int, int, int, int, int]:
    """The local time, as ZIP files have it: from 1980 to 2107."""
    local = datetime.fromisoformat(created_at).astimezone()
    year = min(max(local.year, 1980), 2107)
    return year, local.month, local.day, local.hour, local.minute, local.second
