"""A damaged index: what counts as one, and what of it can still be read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SAVED = {  # what the pictures' files do not tell, but for the favourites
    "preferences": "name, value",
    "durations": "model, width, height, phase, seconds",
    "jobs": "id, status, group_id, attached, data",
    "job_images": "job, position, image",
    "pipeline_runs": "id, status, data",
    "image_parents": "child, parent, role",
    "collections": "id, name, folded, created_at",
    "collection_images": "collection, image",
}


def is_damage(error: Exception) -> bool:
    """Whether the file is not what it should be; a full disk, a lock or a missing permission says nothing about it.

    IntegrityError, ProgrammingError and their like are mistakes of the caller.
    """
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # such as a missing table
    return type(error) is sqlite3.DatabaseError  # of what SQLite cannot understand


def readable_rows(path: Path, sql: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a damaged file up to the first that cannot be read. Closes the file at the end, and not before."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.text_factory = lambda stored: stored.decode("utf-8", "replace")
        yield from connection.execute(sql)


def save(damaged: Path, connection: sqlite3.Connection) -> int:
    """Write what can still be read, but for the pictures' entries, into a fresh index; returns how many rows."""
    saved = 0
    for table, columns in _SAVED.items():
        places = ", ".join("?" * len(columns.split(", ")))
        sql = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"  # noqa: S608
        for row in readable_rows(damaged, f"SELECT {columns} FROM {table}"):  # noqa: S608
            with contextlib.suppress(sqlite3.IntegrityError):
                saved += connection.execute(sql, row).rowcount
    return saved
