"""Collections: names under which pictures are put together. A picture is in any number of them, its file in none."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

from ..errors import ApiError, not_found
from ..events import EventHub
from ..gallery.entries import fold
from ..store import Store, timestamp
from .shapes import Changed, Collection

MAX_COLLECTIONS = 500
_ALL = """SELECT collections.id, name, collections.created_at, count(images.id), max(images.created_at || images.id)
          FROM collections LEFT JOIN collection_images ON collection = collections.id
          LEFT JOIN images ON images.id = image AND deleted_at IS NULL
          GROUP BY collections.id ORDER BY folded"""
_PRESENT = "SELECT 1 FROM images WHERE id = ? AND deleted_at IS NULL"
_PUT = "INSERT OR IGNORE INTO collection_images (collection, image) VALUES (?, ?)"
_TAKE = "DELETE FROM collection_images WHERE collection = ? AND image = ?"


class Collections:
    """Use from the event loop."""

    def __init__(self, store: Store, events: EventHub) -> None:
        self._store = store
        self._events = events

    def all(self) -> list[Collection]:
        return [
            Collection(id=collection_id, name=name, created_at=at, total=total, cover=_thumbnail(newest))
            for collection_id, name, at, total, newest in self._store.execute(_ALL)
        ]

    def get(self, collection_id: str) -> Collection:
        found = next((one for one in self.all() if one.id == collection_id), None)
        if found is None:
            raise not_found("collection")
        return found

    def make(self, name: str) -> Collection:
        """ApiError 409 for a name that another one has, or one too many."""
        if len(self.all()) >= MAX_COLLECTIONS:
            message = f"There are {MAX_COLLECTIONS} collections already."
            raise ApiError(409, "conflict", message, remedy="Delete one; its pictures stay.")
        collection_id = secrets.token_hex(16)
        row = (collection_id, name.strip(), fold(name.strip()), timestamp())
        self._write("INSERT INTO collections (id, name, folded, created_at) VALUES (?, ?, ?, ?)", row, name)
        return self.get(collection_id)

    def rename(self, collection_id: str, name: str) -> Collection:
        """ApiError: 404, or 409 for a name that another one has."""
        self.get(collection_id)
        row = (name.strip(), fold(name.strip()), collection_id)
        self._write("UPDATE collections SET name = ?, folded = ? WHERE id = ?", row, name)
        return self.get(collection_id)

    def _write(self, sql: str, row: Sequence[str], name: str) -> None:
        try:
            self._store.execute(sql, row)
        except sqlite3.IntegrityError:
            message = f"There is a collection called {name.strip()!r} already."
            raise ApiError(409, "conflict", message, field="name", remedy="Choose another name.") from None
        self._tell()

    def delete(self, collection_id: str) -> Collection:
        found = self.get(collection_id)
        self._store.execute("DELETE FROM collections WHERE id = ?", (collection_id,))
        self._tell()
        return found

    def move(self, ids: Sequence[str], into: str | None, out_of: str | None) -> Changed:
        """Put pictures into one, and take them out of the other. ApiError 404 for a collection that there is not."""
        for collection_id in (into, out_of):
            if collection_id is not None:
                self.get(collection_id)
        changed = Changed(ids=[], missing=[])
        with self._store.transaction():
            for image_id in dict.fromkeys(ids):
                if not self._store.execute(_PRESENT, (image_id,)):
                    changed.missing.append(image_id)
                    continue
                changed.ids.append(image_id)
                if out_of is not None:
                    self._store.execute(_TAKE, (out_of, image_id))
                if into is not None:
                    self._store.execute(_PUT, (into, image_id))
        self._tell()
        return changed

    def mark(self, ids: Sequence[str], favourite: bool) -> Changed:
        changed = Changed(ids=[], missing=[])
        with self._store.transaction():
            for image_id in dict.fromkeys(ids):
                present = self._store.execute(_PRESENT, (image_id,))
                (changed.ids if present else changed.missing).append(image_id)
                self._store.execute("UPDATE images SET favourite = ? WHERE id = ?", (favourite, image_id))
        self._tell()
        return changed

    def _tell(self) -> None:
        self._events.publish("images_changed", {})


def _thumbnail(newest: str | None) -> str | None:
    return f"/images/{newest[-32:]}/thumbnail" if newest else None
