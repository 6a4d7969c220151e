"""The SQLite file in the output folder: jobs, the gallery's index, learned durations, preferences.

Calls from the event loop are short and write without waiting for the disk (write-ahead log, `synchronous=NORMAL`: safe
against every crash of the process); checkpoints and long reads run in a thread with a connection of their own. A
damaged file is moved aside and a fresh one begun, with whatever can still be read: the gallery's part is rebuilt from
the pictures' files, but for the favourites, which are saved as well. Knows no meaning of what it stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bonsai_mlx.images.recipe import timestamp as timestamp

from .errors import ApiError, shutting_down
from .index.damage import is_damage, readable_rows, save
from .index.migrations import bring_up_to_date, refuse_newer

log = logging.getLogger("bonsai.store")

NAME = ".bonsai.sqlite3"
_FAVOURITES = "SELECT id FROM images WHERE favourite = 1"
_SALVAGED = "salvaged_favourites"
_PATIENCE_MS = 100  # with another program that writes; meanwhile the event loop does nothing else
_CHECKPOINT_BYTES = 4 << 20  # the log's size at which it is moved into the file
_LONGEST_BYTES = 12 << 20  # of the log, which is longer only where more is written than a slow disk takes meanwhile
_LOG_KEPT = f"journal_size_limit={1 << 20}"  # what the log is cut to once it has been moved
_FREE_BYTES = 16 << 20  # unused room in the file that is worth making it anew at a start
_IN_ORDER = "checkpoint_fullfsync=1"  # on macOS fsync alone does not keep the order of what is written


class Store:
    """One database file. Use it from the thread that made it; `read` and `checkpoint` move to another by themselves.

    IndexVersionError: a newer version of this program has written it, or it cannot be brought up to date.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._log = folder / f"{NAME}-wal"
        self._log_is_long = asyncio.Event()
        self._closed = False
        refuse_newer(self.path)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            aside = self._set_aside()
            self._connection = self._open()
            with self.transaction():
                saved = save(aside, self._connection)
                favourites = [str(row[0]) for row in readable_rows(aside, _FAVOURITES)]
                self.set_preference(_SALVAGED, json.dumps(favourites))
            log.warning("%d rows and %d favourites of it could still be read", saved, len(favourites))
        self._reader = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self._reader.text_factory = _text
        self._reader.execute(f"PRAGMA {_IN_ORDER}").fetchall()
        self._reader_lock = threading.Lock()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=2)
        connection.text_factory = _text
        try:
            # automatic checkpoints would wait for the disk inside a request
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=0", _LOG_KEPT, _IN_ORDER):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("the file is damaged")
            connection.execute("PRAGMA foreign_keys=ON")
            bring_up_to_date(connection, self.path)
            _give_room_back(connection)
            connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> Path:
        aside = self.path.with_name(f"{NAME}.damaged-{int(time.time())}")
        self.path.rename(aside)
        with contextlib.suppress(FileNotFoundError):
            self._log.rename(aside.with_name(f"{aside.name}-wal"))
        self.path.with_name(f"{NAME}-shm").unlink(missing_ok=True)
        log.warning("the gallery's index was damaged; it is kept as %s and rebuilt from the images", aside.name)
        return aside

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._check_open()
        rows = self._connection.execute(sql, parameters).fetchall()
        self._look_at_log()
        return rows

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for every row, all or none."""
        with self.transaction():
            self._connection.executemany(sql, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is executed inside happens as a whole or not at all."""
        self._check_open()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself has ended it where there was no space
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self._look_at_log()

    @property
    def log_bytes(self) -> int:
        """Of the write-ahead log: what has been written and is not in the file yet."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _look_at_log(self) -> None:
        if not self._connection.in_transaction and self.log_bytes > _CHECKPOINT_BYTES:
            self._log_is_long.set()

    async def checkpoint_forever(self) -> None:
        while True:
            await self._log_is_long.wait()
            self._log_is_long.clear()
            await self.checkpoint()
            if self.log_bytes > _LONGEST_BYTES:
                self._checkpoint_at_once()

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """A query that may take a while: it runs in a thread and sees everything written before."""
        return await asyncio.to_thread(self._read, sql, parameters)

    def _read(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._reader_lock:
            self._check_open()
            return self._reader.execute(sql, parameters).fetchall()

    def _check_open(self) -> None:
        """ApiError 503 for who comes while the server ends."""
        if self._closed:
            raise shutting_down()

    async def checkpoint(self) -> None:
        with contextlib.suppress(sqlite3.Error, ApiError):  # no space, another program, damage, the end: it stays there
            await self.read("PRAGMA wal_checkpoint(PASSIVE)")

    def _checkpoint_at_once(self) -> None:
        """While nobody can write, so that the log begins anew; requests wait for the disk as long."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def preference(self, name: str) -> str | None:
        rows = self.execute("SELECT value FROM preferences WHERE name = ?", (name,))
        return rows[0][0] if rows and isinstance(rows[0][0], str) else None

    def set_preference(self, name: str, value: str | None) -> None:
        if value is None:
            self.execute("DELETE FROM preferences WHERE name = ?", (name,))
        else:
            self.execute("INSERT OR REPLACE INTO preferences VALUES (?, ?)", (name, value))

    def salvaged_favourites(self) -> frozenset[str]:
        """The favourites of a damaged file, until `forget_salvaged`: entering all images again may be interrupted."""
        try:
            found = json.loads(self.preference(_SALVAGED) or "[]")
        except ValueError:
            found = []
        return frozenset(map(str, found)) if isinstance(found, list) else frozenset()

    def forget_salvaged(self) -> None:
        self.set_preference(_SALVAGED, None)

    def close(self) -> None:
        with self._reader_lock:
            self._closed = True
            self._reader.close()
        with contextlib.suppress(sqlite3.Error):  # another program reads the file, or damage: it stays in the log
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


def _text(stored: bytes) -> str:
    """A column's text. One that is no UTF-8 spoils its own row, not the whole answer, as SQLite's own reading does."""
    return stored.decode("utf-8", "replace")


def _give_room_back(connection: sqlite3.Connection) -> None:
    """What was deleted leaves room in the file for what comes; more than that is returned to the disk."""
    pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    if pages * page_bytes > _FREE_BYTES:
        with contextlib.suppress(sqlite3.OperationalError):  # it needs as much room beside it for a moment
            connection.execute("VACUUM")
