"""The schema of the gallery's index, as the steps that have led to it. Each step is for ever; a change is a new one.

A new file takes all steps, an old one those that it lacks, so both end with the same tables. Before an old file takes
its first step a copy of it is kept. A file of a newer version is not ours to open.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from bonsai_mlx.fileio import create_exclusive

from .damage import is_damage

log = logging.getLogger("bonsai.store")

STEPS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        group_id TEXT,
        attached INTEGER NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX jobs_status ON jobs (status, seq);
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        created_at TEXT NOT NULL,
        search TEXT NOT NULL,
        favourite INTEGER NOT NULL DEFAULT 0,
        group_id TEXT,
        deleted_at REAL,
        data TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX images_order ON images (deleted_at, created_at, id);
    CREATE TABLE durations (
        model TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        phase TEXT NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (model, width, height, phase)
    ) WITHOUT ROWID;
    CREATE TABLE preferences (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # A job makes any number of pictures, and a picture may be made from others.
    """
    CREATE TABLE job_images (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        image TEXT NOT NULL,
        PRIMARY KEY (job, position)
    ) WITHOUT ROWID;
    CREATE INDEX job_images_image ON job_images (image);
    CREATE TABLE image_parents (
        child TEXT NOT NULL,
        parent TEXT NOT NULL,
        role TEXT NOT NULL,
        PRIMARY KEY (child, parent, role)
    ) WITHOUT ROWID;
    CREATE INDEX image_parents_parent ON image_parents (parent);
    INSERT INTO job_images (job, position, image)
        SELECT id, 0, image FROM (
            SELECT id, CASE WHEN typeof(data) = 'text' AND json_valid(data)
                THEN CASE json_type(data, '$.image_id') WHEN 'text' THEN json_extract(data, '$.image_id') END
                END AS image
            FROM jobs
        ) WHERE image IS NOT NULL;
    """,
    # Pictures may have names of their own; what is no picture is not looked at again until it changes.
    """
    CREATE TABLE files (
        name BLOB PRIMARY KEY,
        id TEXT,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX files_id ON files (id);
    """,
    # Pictures that go in are kept by the digest of their pixels; `box` is what a mask repaints, as JSON.
    """
    CREATE TABLE inputs (
        id TEXT PRIMARY KEY,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        mask INTEGER NOT NULL,
        box TEXT,
        bytes INTEGER NOT NULL,
        used_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # Pictures are put into collections, any number of them; `folded` is the name without regard to case.
    """
    CREATE TABLE collections (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE collection_images (
        collection TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
        image TEXT NOT NULL,
        PRIMARY KEY (collection, image)
    ) WITHOUT ROWID;
    CREATE INDEX collection_images_image ON collection_images (image);
    """,
    # Pipelines that are carried out go on after a restart.
    """
    CREATE TABLE pipeline_runs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        data TEXT NOT NULL
    );
    """,
    # `whole` is the picture with its transparent parts, which `id` has laid on white; or `id` itself.
    "ALTER TABLE inputs ADD COLUMN whole TEXT;",
)
VERSION = len(STEPS)
_HEADER_BYTES = 64
_MAGIC = b"SQLite format 3\0"


class IndexVersionError(Exception):
    """An index of another version that cannot be used, in a sentence for people. It is as it was."""


class NewerIndexError(IndexVersionError):
    """The index was written by a newer version of this program; it has not been touched."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(
            f"{path} was written by a newer version of this program (the index has version {version}, "
            f"this one knows {VERSION}); update this program, or choose another folder with --output"
        )


class MigrationError(IndexVersionError):
    """A step failed, of a file that is otherwise well."""

    def __init__(self, path: Path, version: int, error: sqlite3.Error) -> None:
        super().__init__(
            f"{path} could not be brought from version {version} to {version + 1}: {error}; "
            "it is as it was, so an older version of this program still opens it"
        )


def refuse_newer(path: Path) -> None:
    """NewerIndexError for a file of a version that is not known here. Neither it nor what lies beside it is changed."""
    version = _version_in_header(path)
    log_file = path.with_name(f"{path.name}-wal")
    if version <= VERSION and log_file.is_file() and log_file.stat().st_size:
        version = _version_with_log(path)
    if version > VERSION:
        raise NewerIndexError(path, version)


def _version_in_header(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return 0
    return int.from_bytes(header[60:64], "big", signed=True) if header.startswith(_MAGIC) else 0


def _version_with_log(path: Path) -> int:
    """The version with what a program that was killed has left in the log; 0 where that cannot be read."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:  # what is damaged is found, and told, when it is opened to be used
        return 0


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Take the steps that the file lacks, each as a whole or not at all, and make again whatever table is missing.

    sqlite3.DatabaseError when the file is not what its version says, or the disk is full. MigrationError.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= VERSION:
        raise sqlite3.DatabaseError(f"the index has version {version}, which there never was")
    if version:
        complete(connection, version)
    if 0 < version < VERSION:
        copy = keep_copy(connection, path, version)
        log.info("the index is brought from version %d to %d; the old one is kept as %s", version, VERSION, copy.name)
    for number, step in enumerate(STEPS[version:], version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version={number}; COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            full_or_locked = isinstance(error, sqlite3.OperationalError) and not is_damage(error)
            if version == 0 or full_or_locked:
                raise
            raise MigrationError(path, number - 1, error) from error


def keep_copy(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """The file as it is, under the name of its version beside it. OSError, sqlite3.Error: it cannot be kept."""
    copy = path.with_name(f"{path.name}.version-{version}")
    copy.unlink(missing_ok=True)
    create_exclusive(copy, mode=path.stat().st_mode & 0o777).close()
    try:
        with contextlib.closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
            target.execute("PRAGMA journal_mode=DELETE").fetchall()
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


def complete(connection: sqlite3.Connection, version: int) -> None:
    """Make tables and indices that a file of this version should have and has not: empty, and told in the log.

    sqlite3.DatabaseError for a table that lacks a column.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as reference:
        for step in STEPS[:version]:
            reference.executescript(step)
        wanted, found = _objects(reference), _objects(connection)
        for name, sql in wanted.items():
            if name not in found:
                log.warning("%s is missing in the index and is made anew, empty", name)
                connection.execute(sql)
        for name in wanted:
            lacking = _columns(reference, name) - _columns(connection, name)
            if lacking:
                raise sqlite3.DatabaseError(f"{name} in the index lacks {', '.join(sorted(lacking))}")


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    sql = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', rowid"
    return dict(connection.execute(sql).fetchall())


def _columns(connection: sqlite3.Connection, name: str) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))}
