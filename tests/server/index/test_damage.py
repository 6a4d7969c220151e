"""An index that is damaged is told as such, and made anew with whatever can still be read of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from server.store import NAME, Store
from tests.server.conftest import LiveServer, eventually

Serve = Callable[..., LiveServer]


def write(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / NAME)) as index, index:
        index.execute(sql)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["jobs", "images"])
def test_a_table_that_goes_while_the_server_runs_is_no_full_disk(serve: Serve, table: str) -> None:
    live = serve()
    kept = live.finished(live.post_job("plain")["id"])["id"]
    write(live.settings.output, f"DROP TABLE {table}")
    for answer in (
        live.client.get(f"/{table}"),
        live.client.post("/generate", json={"prompt": "plain"}),
    ):
        assert answer.status_code == 500
        assert answer.json()["error"]["message"].endswith("The gallery's index is damaged.")
        assert answer.json()["error"]["remedy"].startswith("Start the server again")
    live.__exit__()
    again = serve()
    eventually(lambda: again.client.get(f"/images/{kept}").status_code == 200)
    assert again.client.get(f"/images/{kept}").json()["prompt"] == "plain"
    assert again.finished(again.post_job("plain")["id"])["status"] == "done"


@pytest.mark.slow
def test_of_a_damaged_file_everything_that_can_be_read_is_kept(gate: Path, serve: Serve) -> None:
    first = serve()
    kept = first.finished(first.post_job("plain", width=64, height=64)["id"])["id"]
    first.client.patch(f"/images/{kept}", json={"favourite": True}).raise_for_status()
    first.client.patch("/settings", json={"preview": False}).raise_for_status()
    running = first.post_job("hold")["id"]
    first.running(running)
    waiting = first.post_job("plain too")["id"]
    first.__exit__()
    gate.unlink()
    write(first.settings.output, "ALTER TABLE images DROP COLUMN search")
    live = serve()
    assert [path for path in live.settings.output.iterdir() if ".damaged-" in path.name]
    assert [live.finished(one)["status"] for one in (running, waiting)] == ["done", "done"]
    assert live.client.get("/settings").json()["preview"] is False
    assert live.job(kept)["image_ids"] == [kept]
    eventually(lambda: live.client.get("/images").json()["total"] == 3)
    assert live.client.get(f"/images/{kept}").json()["favourite"] is True
    assert live.studio.fits._durations.forecast("seedling-ternary", 64, 64, 4, loaded=True).total_s is not None


def test_a_row_of_a_damaged_file_that_fits_nowhere_is_left_out(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.set_preference("preview", "off")
        store.execute("PRAGMA foreign_keys=OFF")
        store.execute("INSERT INTO job_images VALUES ('nobody', 0, 'nothing')")
    write(tmp_path, "ALTER TABLE images DROP COLUMN search")
    with closing(Store(tmp_path)) as store:
        assert store.preference("preview") == "off"
        assert store.execute("SELECT count(*) FROM job_images") == [(0,)]


def test_pages_in_the_middle_that_are_garbage(tmp_path: Path) -> None:
    """What lies before them is read, what lies behind is not, and the server starts."""
    with closing(Store(tmp_path)) as store:
        store.set_preference("preview", "off")
        rows = [(f"{n:032x}", "2026", "p" * 900, int(n == 1), None, None, "{}") for n in range(500)]
        store.execute_many("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40_960] = b"\xff" * 40_960
    path.write_bytes(data)
    with closing(Store(tmp_path)) as store:
        assert store.preference("preview") == "off"
        assert store.execute("SELECT count(*) FROM images") == [(0,)]
