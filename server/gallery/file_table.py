"""The files in the folder of the pictures as the index remembers them: name, id, and how to see that they are the same.

A file without a row is named by its id and has not been looked at yet.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from ..store import Store
from .folder import File


class FileTable:
    """Names are kept as bytes, since a file's need not be text; inodes as well, which may have 64 bits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> dict[str, File]:
        rows = await self._store.read("SELECT name, id, size, mtime_ns, inode FROM files")
        return await asyncio.to_thread(_by_name, rows)

    def name_of(self, image_id: str) -> str:
        rows = self._store.execute("SELECT name FROM files WHERE id = ?", (image_id,))
        return os.fsdecode(rows[0][0]) if rows else f"{image_id}.png"

    def forget(self, name: str) -> None:
        self._store.execute("DELETE FROM files WHERE name = ?", (os.fsencode(name),))

    def update(self, found: Iterable[File], gone: Iterable[str] = ()) -> None:
        rows = [
            (os.fsencode(file.name), file.id, file.size_bytes, file.mtime_ns, file.inode.to_bytes(8)) for file in found
        ]
        names = [(os.fsencode(name),) for name in gone]
        if rows:
            self._store.execute_many("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
        if names:
            self._store.execute_many("DELETE FROM files WHERE name = ?", names)


def _by_name(rows: list[tuple[Any, ...]]) -> dict[str, File]:
    files = (File(os.fsdecode(name), id_, size, at, int.from_bytes(inode)) for name, id_, size, at, inode in rows)
    return {file.name: file for file in files}
