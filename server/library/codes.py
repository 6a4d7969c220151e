"""Pictures that have codes of bits in their files: the codes, and which pictures are alike by them."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from bonsai_mlx.fileio import open_regular
from bonsai_mlx.images.bitcode import KEYWORD, BitCode, found_code
from bonsai_mlx.images.scan import Scanner

from ..errors import ApiError
from ..gallery.entries import image_of_row
from ..gallery.gallery import Gallery
from ..schemas.images import Image
from ..store import Store

_KEPT_BYTES = 8 << 20  # of codes that were read, for the next who asks
_ENTRY_BYTES = 200  # of what one more takes beside its bits
# Of what this program has drawn only models of bits write codes; a file without a recipe may be one of a decoded code.
_CANDIDATES = """SELECT images.id, data, favourite, name FROM images LEFT JOIN files ON files.id = images.id
    WHERE deleted_at IS NULL AND json_valid(data) AND json_extract(data, '$.format') = 'png'
    AND (json_extract(data, '$.recipe.scheduler') = 'BernoulliScheduler'
    OR json_extract(data, '$.recipe.model') IS NULL) ORDER BY created_at DESC, images.id LIMIT 20000"""


class Codes:
    """Reads files in threads. An id names one picture for ever, so a code that was read is kept."""

    def __init__(self, gallery: Gallery, store: Store) -> None:
        self._gallery = gallery
        self._store = store
        self._read: OrderedDict[str, BitCode | None] = OrderedDict()
        self._bytes = 0
        self._reading = asyncio.Lock()

    async def find(self, image: Image) -> BitCode | None:
        return (await self._of([(image.id, self._gallery.file(image.id))]))[0]

    async def get(self, image_id: str) -> BitCode:
        """ApiError: 404 for no such image, and for one without a code."""
        found = await self.find(self._gallery.get(image_id))
        if found is None:
            message = "This picture has no code: no model that draws in bits has drawn it."
            raise ApiError(404, "not_found", message, remedy="POST /encode makes one of any picture.")
        return found

    async def similar(self, image: Image, limit: int) -> list[tuple[Image, int]]:
        """The pictures that differ from this one in the fewest bits, with how many, the nearest first."""
        own = await self.find(image)
        if own is None:
            return []
        rows = [row for row in await self._store.read(_CANDIDATES) if row[0] != image.id]
        folder = self._gallery.folder
        codes = await self._of([(row[0], folder / (os.fsdecode(row[3] or f"{row[0]}.png"))) for row in rows])
        distances = [(own.distance(code), row) for code, row in zip(codes, rows, strict=True) if code is not None]
        near = sorted(((far, row) for far, row in distances if far is not None), key=lambda one: one[0])
        found = [(image_of_row(*row[:3]), far) for far, row in near[:limit]]
        return [(one, far) for one, far in found if one is not None]

    async def _of(self, files: Sequence[tuple[str, Path]]) -> list[BitCode | None]:
        async with self._reading:  # the second who asks finds what the first has read
            return await asyncio.to_thread(lambda: [self._code(*file) for file in files])

    def _code(self, image_id: str, path: Path) -> BitCode | None:
        if image_id in self._read:
            self._read.move_to_end(image_id)
            return self._read[image_id]
        try:
            code = code_in(path)
        except OSError:
            return None  # it may come back
        self._read[image_id] = code
        self._bytes += _size(code)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= _size(self._read.popitem(last=False)[1])
        return code


def code_in(path: Path) -> BitCode | None:
    """The code that a file has, if it is a whole PNG with one. OSError."""
    scanner = Scanner()
    try:
        with open_regular(path) as file:
            scanner.read(file)
        return found_code(scanner.finish().texts.get(KEYWORD))
    except ValueError:
        return None


def _size(code: BitCode | None) -> int:
    return _ENTRY_BYTES + (len(code.bits) if code else 0)
