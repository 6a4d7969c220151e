"""Contact sheets of the gallery's groups, drawn by the decoder's process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import ApiError, not_found
from ..schemas.images import Image
from .convert import Normalise, Sheet
from .decoder import Decoder
from .gallery import Gallery
from .listing import Query

_AGAIN = "Restore it from the trash, or draw the grid again."
_MOST_PIXELS = 24_000_000  # of all cells: their files go to the decoder together
_MOST_CELLS = 200


class Sheets:
    """Use from the event loop."""

    def __init__(self, gallery: Gallery, decoder: Decoder) -> None:
        self._gallery = gallery
        self._decoder = decoder

    async def png(self, group: str) -> bytes:
        """The sheet of a grid. ApiError 404 where no picture of that group has a place in a grid."""
        page = await self._gallery.page(Query(group=group), limit=_MOST_CELLS)
        images = [image for image in page.images if image.cell]
        if not images:
            raise not_found("grid with pictures")
        columns, rows = images[0].cell.columns, images[0].cell.rows  # type: ignore[union-attr]
        side = _side(images, len(columns) * len(rows))
        files = [await self._file(image, side) for image in images]
        missing = _missing(images, columns, rows)
        places = [(image.cell.column, image.cell.row) for image in images if image.cell]
        operation = Sheet(columns, rows, places, [len(file) for file in files], missing)
        return await self._decoder.decode(b"".join(files), operation)

    async def _file(self, image: Image, side: int) -> bytes:
        try:
            if max(image.width, image.height) <= side:
                return await self._gallery.png(image.id, "none")
            return await self._decoder.decode(self._gallery.file(image.id), Normalise(side))
        except OSError:
            raise ApiError(404, "not_found", "A picture of this grid is not there any more.", remedy=_AGAIN) from None


def _side(images: Sequence[Image], cells: int) -> int:
    """The longest side, in pixels, with which all cells together are no more than is sent."""
    area = max(image.width * image.height for image in images) * cells
    longest = max(max(image.width, image.height) for image in images)
    return longest if area <= _MOST_PIXELS else int(longest * math.sqrt(_MOST_PIXELS / area))


def _missing(images: Sequence[Image], columns: Sequence[str], rows: Sequence[str]) -> list[tuple[int, int]]:
    there = {(image.cell.column, image.cell.row) for image in images if image.cell}
    return [(c, r) for r in range(len(rows)) for c in range(len(columns)) if (c, r) not in there]
