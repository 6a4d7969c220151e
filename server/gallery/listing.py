"""Which pictures are shown, and in which order: filters, sorts, pages, and what stands beside a picture in them."""

from __future__ import annotations

import base64
from typing import Any, Literal, NamedTuple

from ..errors import ApiError
from ..schemas.images import Image, ImagePage
from ..store import Store
from .entries import fold, image_of_row

Sort = Literal["newest", "oldest", "prompt"]

PAGE_BYTES = 1_000_000  # of entries, on one page: sixty with the longest prompts would be 15 MB
MAX_IDS = 10_000
# Where a page ended: created_at~id, or the prompt's beginning in base64 for pages that are sorted by it.
CURSOR = r"^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|[A-Za-z0-9_=-]{0,1200})~[0-9a-f]{32}$"

_BY_PROMPT = "substr(search, 1, 200)"  # a character of it has at most four bytes, in base64 five and a half
_PAGE = """WITH page AS (
    SELECT id, {key} AS place_in, length(CAST(data AS BLOB)) AS size FROM images WHERE {where}
    ORDER BY {key} {way}, id {way} LIMIT ?
), summed AS (
    SELECT id AS chosen, place_in, count(*) OVER () AS found, row_number() OVER before AS place,
           sum(size) OVER before AS bytes
    FROM page WINDOW before AS (ORDER BY place_in {way}, id {way} ROWS UNBOUNDED PRECEDING)
) SELECT id, data, favourite, place_in, found FROM summed JOIN images ON id = chosen
  WHERE place = 1 OR (bytes <= ? AND place <= ?) ORDER BY place_in {way}, id {way}"""

# Whatever led to a picture, over as many steps as are shown, and what was made from it at once.
_LINEAGE = """WITH RECURSIVE above (id, steps) AS (
    SELECT ?, 0 UNION SELECT parent, steps + 1 FROM image_parents JOIN above ON child = above.id WHERE steps < 20
), known (id, steps) AS (
    SELECT id, max(steps) FROM above GROUP BY id UNION SELECT child, -1 FROM image_parents WHERE parent = ?
) SELECT id, data, favourite FROM known JOIN images USING (id) WHERE deleted_at IS NULL
  GROUP BY id ORDER BY max(steps) DESC, created_at, id LIMIT 100"""


class Query(NamedTuple):
    """What is looked for. Every word of `q` has to be in the prompt."""

    q: str = ""
    favourite: bool | None = None
    group: str | None = None
    collection: str | None = None
    sort: Sort = "newest"

    @property
    def key(self) -> str:
        return _BY_PROMPT if self.sort == "prompt" else "created_at"

    @property
    def way(self) -> Literal["ASC", "DESC"]:
        return "DESC" if self.sort == "newest" else "ASC"

    def where(self) -> tuple[str, list[Any]]:
        clauses, values = ["deleted_at IS NULL"], list[Any]()
        for word in fold(self.q).split():
            clauses.append("instr(search, ?) > 0")
            values.append(word)
        for clause, value in (
            ("favourite = ?", self.favourite),
            ("group_id = ?", self.group),
            ("id IN (SELECT image FROM collection_images WHERE collection = ?)", self.collection),
        ):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        return " AND ".join(clauses), values

    def beyond(self, *, back: bool = False) -> str:
        return f"({self.key}, id) {'>' if (self.way == 'ASC') != back else '<'} (?, ?)"

    def place(self, cursor: str) -> list[str]:
        """Key and id of a cursor. ApiError 422 for one of another sort."""
        key, _, image_id = cursor.partition("~")
        try:
            if (":" in key) == (self.sort == "prompt"):
                raise ValueError("a date, or none")
            return [base64.b64decode(key, b"-_", validate=True).decode() if self.sort == "prompt" else key, image_id]
        except ValueError:
            message = "This cursor belongs to pages that are sorted otherwise."
            raise ApiError(422, "bad_field", message, field="cursor", remedy="Begin with the first page.") from None

    def cursor(self, key: str, image_id: str) -> str:
        return f"{base64.urlsafe_b64encode(key.encode()).decode() if self.sort == 'prompt' else key}~{image_id}"


class Listing:
    """Reads the index in threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, query: Query, limit: int, cursor: str | None) -> ImagePage:
        """At most `limit` images, and as few as fit into PAGE_BYTES, but one."""
        where, values = query.where()
        total = (await self._store.read(f"SELECT count(*) FROM images WHERE {where}", values))[0][0]  # noqa: S608
        if cursor is not None:
            where, values = f"{where} AND {query.beyond()}", [*values, *query.place(cursor)]
        sql = _PAGE.format(where=where, key=query.key, way=query.way)
        rows = await self._store.read(sql, [*values, limit + 1, PAGE_BYTES, limit])
        read = [image_of_row(image_id, data, starred) for image_id, data, starred, *_ in rows]
        images = [image for image in read if image is not None]
        following = query.cursor(rows[-1][3], rows[-1][0]) if rows and rows[-1][4] > len(rows) else None
        return ImagePage(images=images, next_cursor=following, total=total)

    async def ids(self, query: Query) -> list[str]:
        where, values = query.where()
        sql = f"SELECT id FROM images WHERE {where} ORDER BY {query.key} {query.way}, id {query.way} LIMIT ?"  # noqa: S608
        return [image_id for (image_id,) in await self._store.read(sql, [*values, MAX_IDS])]

    async def neighbours(self, image: Image, query: Query) -> tuple[str | None, str | None]:
        key = fold(image.prompt)[:200] if query.sort == "prompt" else image.created_at
        where, values = query.where()
        found: list[str | None] = []
        for back in (True, False):
            way = "ASC" if (query.way == "ASC") != back else "DESC"
            sql = f"SELECT id FROM images WHERE {where} AND {query.beyond(back=back)} "  # noqa: S608
            sql += f"ORDER BY {query.key} {way}, id {way} LIMIT 1"
            rows = await self._store.read(sql, [*values, key, image.id])
            found.append(rows[0][0] if rows else None)
        return found[0], found[1]

    async def lineage(self, image_id: str) -> list[Image]:
        """What an image was made from, the first first, itself, and what was made from it."""
        rows = await self._store.read(_LINEAGE, (image_id, image_id))
        found = (image_of_row(*row) for row in rows)
        return [image for image in found if image is not None]
