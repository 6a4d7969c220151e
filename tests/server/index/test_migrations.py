"""From every version to the current one, with a file that each has really written; and what is not touched.

`fixtures/index-v1.sqlite3` was written by version 0.1.0: three jobs that wait, seven that have ended, a batch, five
pictures of which one is a favourite and one is deleted, preferences and durations.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from server.index.migrations import STEPS, VERSION, MigrationError, NewerIndexError
from server.schemas.jobs import Job
from server.store import NAME, Store
from tests.server.conftest import ROOT, LiveServer, eventually

Serve = Callable[..., LiveServer]
V1 = Path(__file__).resolve().parents[1] / "fixtures" / "index-v1.sqlite3"
FAVOURITE, TRASHED = "24f829b64a2038acf716ffb3cf698bec", "40ae1eddebb1fd35ec2e2a3b3c99ac6d"
QUEUED = [
    "1951b73b86fabae57f680c3095045de9",
    "002e43edcdeb680181c459139626c625",
    "495bae43de640faa4a3021a54abca877",
]
COPY = f"{NAME}.version-1"


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def killed_after(path: Path, *statements: str) -> None:
    """A program runs these and ends without closing the file: what they wrote may be in the log alone."""
    script = """import os, sqlite3, sys
index = sqlite3.connect(sys.argv[1], isolation_level=None)
index.execute("PRAGMA wal_autocheckpoint=0")
for statement in sys.argv[2:]:
    index.execute(statement).fetchall()
os._exit(0)"""
    subprocess.run([sys.executable, "-c", script, str(path), *statements], check=True)


def schema(path: Path) -> list[tuple[Any, ...]]:
    found = rows(path, "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    return [(kind, name, re.sub(r"\s+", " ", sql)) for kind, name, sql in found]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder as version 0.1.0 left it, pictures included."""
    folder = tmp_path / "out"
    (folder / ".trash").mkdir(parents=True)
    shutil.copy(V1, folder / NAME)
    for (image,) in rows(V1, "SELECT id FROM images"):
        file = (folder / ".trash" if image == TRASHED else folder) / f"{image}.png"
        Image.new("RGB", (64, 64)).save(file)
    return folder


def test_a_new_file_and_an_old_one_end_the_same(old: Path, tmp_path: Path) -> None:
    Store(old).close()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    Store(fresh).close()
    assert schema(old / NAME) == schema(fresh / NAME)
    assert rows(old / NAME, "PRAGMA user_version") == rows(fresh / NAME, "PRAGMA user_version") == [(VERSION,)]
    assert not (fresh / COPY).exists()


def test_nothing_of_an_old_file_is_lost(old: Path) -> None:
    Store(old).close()
    for sql in (
        "SELECT seq, id, status, group_id, attached, data FROM jobs ORDER BY seq",
        "SELECT id, created_at, search, favourite, group_id, deleted_at, data FROM images ORDER BY id",
        "SELECT * FROM durations ORDER BY 1, 2, 3, 4",
        "SELECT * FROM preferences ORDER BY 1",
    ):
        assert rows(old / NAME, sql) == rows(V1, sql) != []
    made = "SELECT id, 0, json_extract(data, '$.image_id') FROM jobs WHERE status = 'done' ORDER BY 1"
    assert rows(old / NAME, "SELECT job, position, image FROM job_images ORDER BY job") == rows(V1, made) != []


def test_a_copy_of_the_old_file_is_kept(old: Path) -> None:
    (old / NAME).chmod(0o600)
    Store(old).close()
    assert list(sqlite3.connect(old / COPY).iterdump()) == list(sqlite3.connect(V1).iterdump())
    assert rows(old / COPY, "PRAGMA user_version") == [(1,)]
    assert (old / COPY).stat().st_mode & 0o777 == 0o600
    before = (old / COPY).stat().st_mtime_ns
    Store(old).close()
    assert (old / COPY).stat().st_mtime_ns == before, "once"


def test_what_is_only_in_the_log_of_a_killed_server_is_migrated_as_well(old: Path, tmp_path: Path) -> None:
    killed_after(old / NAME, "INSERT INTO preferences VALUES ('late', 'yes')")
    assert (old / f"{NAME}-wal").stat().st_size > 0
    with closing(Store(old)) as store:
        assert store.preference("late") == "yes"
    assert rows(old / COPY, "SELECT value FROM preferences WHERE name = 'late'") == [("yes",)]


@pytest.mark.slow
def test_a_server_goes_on_where_the_old_version_ended(old: Path, serve: Serve) -> None:
    live = serve()
    assert [live.finished(job)["status"] for job in QUEUED] == ["done"] * 3
    assert live.client.get("/settings").json()["default_model"] == "seedling-binary"
    assert live.client.get("/settings").json()["preview"] is False
    listed = live.client.get("/jobs").json()["jobs"]
    assert len(listed) == len(rows(V1, "SELECT id FROM jobs"))
    for job in listed:
        assert job["image_ids"] == ([job["id"]] if job["status"] == "done" else []), job
    eventually(lambda: len(live.client.get("/images").json()["images"]) == 4 + len(QUEUED))
    favourite = live.client.get(f"/images/{FAVOURITE}").json()
    assert (favourite["favourite"], favourite["prompt"]) == (True, "ein Bär mit Käse")
    assert (favourite["parents"], favourite["children"]) == ([], [])
    assert live.client.post(f"/images/{TRASHED}/restore").json()["prompt"] == "deleted"


def test_every_job_of_an_old_version_can_still_be_read() -> None:
    """A field that is added has a default, or a step that fills it in."""
    for (data,) in rows(V1, "SELECT data FROM jobs"):
        Job.model_validate_json(data)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"7", b'{"image_id": 7}', b'{"image_id": ["a"]}', b""])
def test_a_row_that_cannot_be_read_stops_no_step(old: Path, data: bytes) -> None:
    with closing(sqlite3.connect(old / NAME)) as index, index:
        index.execute("UPDATE jobs SET data = CAST(? AS TEXT) WHERE seq = 1", (data,))
        index.execute("UPDATE jobs SET data = ? WHERE seq = 2", (data,))
    Store(old).close()
    assert rows(old / NAME, "PRAGMA user_version") == [(VERSION,)]
    assert rows(old / NAME, "SELECT count(*) FROM job_images") == [(3,)]
    assert not [path for path in old.iterdir() if ".damaged-" in path.name]


def test_a_step_that_fails_has_changed_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "CREATE TABLE another (a); INSERT INTO another SELECT zeroblob(2000000000);"
    monkeypatch.setattr("server.index.migrations.STEPS", (STEPS[0], broken))
    with pytest.raises(MigrationError, match="as it was"):
        Store(old)
    assert rows(old / NAME, "PRAGMA user_version") == [(1,)]
    assert schema(old / NAME) == schema(V1)
    assert not [path for path in old.iterdir() if ".damaged-" in path.name]
    monkeypatch.undo()
    with closing(Store(old)) as store:
        assert store.execute("SELECT count(*) FROM jobs WHERE status = 'queued'") == [(3,)]


# newer ones


def newer(folder: Path, *, in_the_log: bool) -> dict[str, bytes]:
    """Give the index a version that is yet to come; the bytes of everything in the folder afterwards."""
    statements = [f"PRAGMA user_version={VERSION + 1}", "INSERT INTO preferences VALUES ('later', 'yes')"]
    killed_after(folder / NAME, *statements, *([] if in_the_log else ["PRAGMA wal_checkpoint(TRUNCATE)"]))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but the shared memory beside the index, which says nothing."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith("-shm")}


@pytest.mark.parametrize("in_the_log", [False, True])
def test_a_newer_file_is_not_touched(old: Path, in_the_log: bool) -> None:
    before = newer(old, in_the_log=in_the_log)
    with pytest.raises(NewerIndexError, match="newer version of this program"):
        Store(old)
    assert contents(old) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "reindex"])
def test_a_newer_file_ends_the_program_with_a_sentence(old: Path, command: str) -> None:
    before = newer(old, in_the_log=False)
    ended = subprocess.run(
        [sys.executable, "-m", "server", command, "--output", str(old), "--port", "0", "--no-browser"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert re.fullmatch(
        rf"bonsai: \S+{re.escape(NAME)} was written by a newer version of this program \(the index has version "
        rf"{VERSION + 1}, this one knows {VERSION}\); update this program, or choose another folder with --output\n",
        ended.stderr,
    )
    after = contents(old)
    after.pop(str(old / ".bonsai.lock"), None)
    assert after == before


# tables


@pytest.mark.slow
@pytest.mark.parametrize("table", ["jobs", "images", "durations", "preferences", "job_images", "image_parents"])
def test_a_table_that_is_missing_is_made_anew(old: Path, serve: Serve, table: str) -> None:
    Store(old).close()
    with closing(sqlite3.connect(old / NAME)) as index, index:
        index.execute(f"DROP TABLE {table}")
    live = serve()
    eventually(lambda: live.client.get("/images").json()["total"] >= 4)
    assert live.finished(live.post_job("plain", model="seedling-ternary")["id"])["status"] == "done"
    assert live.client.get("/settings").json()["preview"] is (table == "preferences")
    assert live.client.get(f"/images/{FAVOURITE}").json()["favourite"] is (table != "images")
    assert not [path for path in old.iterdir() if ".damaged-" in path.name]


def test_a_table_that_is_missing_in_an_old_file(old: Path) -> None:
    with closing(sqlite3.connect(old / NAME)) as index, index:
        index.execute("DROP TABLE jobs")
    with closing(Store(old)) as store:
        assert store.preference("preview") == "off"
        assert store.execute("SELECT count(*) FROM images") == [(5,)]


def test_a_table_that_lacks_a_column_is_damage(old: Path) -> None:
    with closing(sqlite3.connect(old / NAME)) as index, index:
        index.execute("ALTER TABLE jobs DROP COLUMN attached")
    with closing(Store(old)) as store:
        assert store.salvaged_favourites() == {FAVOURITE}
    assert [path for path in old.iterdir() if ".damaged-" in path.name]


# lineage


def test_an_image_tells_its_parents_and_children(old: Path, serve: Serve) -> None:
    Store(old).close()
    first, second = [row[0] for row in rows(V1, "SELECT id FROM images WHERE deleted_at IS NULL LIMIT 2")]
    with closing(sqlite3.connect(old / NAME)) as index, index:
        index.execute("INSERT INTO image_parents VALUES (?, ?, 'input')", (second, first))
        index.execute("INSERT INTO image_parents VALUES (?, ?, 'mask')", (second, TRASHED))
    live = serve()
    assert live.client.get(f"/images/{second}").json()["parents"] == [{"id": first, "role": "input"}]
    assert live.client.get(f"/images/{first}").json()["children"] == [{"id": second, "role": "input"}]
    live.client.post(f"/images/{TRASHED}/restore").raise_for_status()
    assert len(live.client.get(f"/images/{second}").json()["parents"]) == 2


def test_jobs_that_are_forgotten_take_their_list_of_pictures_along(old: Path) -> None:
    with closing(Store(old)) as store:
        store.execute("DELETE FROM jobs WHERE status = 'done'")
        assert store.execute("SELECT count(*) FROM job_images") == [(0,)]
