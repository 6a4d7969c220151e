"""A row of the index that cannot be read is left out and told in the log; its neighbours and the server live on.

The rows are put there with SQLite itself, as a damaged disk, another program or another version may have.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.jobs.durations import Durations
from server.store import NAME, Store
from tests.server.conftest import LiveServer, eventually

pytestmark = pytest.mark.slow

Serve = Callable[..., LiveServer]
ID = "0" * 31
_UNREADABLE: dict[str, Any] = {
    "cut off": '{"id": "',
    "empty": "",
    "no object": "[1, 2]",
    "no text": 7,
    "bytes": b"\x00\x01",
    "deep": "[" * 200_000,
    "half a character": '{"id": "\\ud800"}',
    "without its fields": '{"id": "' + ID + '1"}',
}


def write(folder: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / NAME)) as index, index:
        index.execute(sql, values)


def of_another_version(folder: Path, table: str) -> None:
    """All rows lack a field that this version requires."""
    write(folder, f"UPDATE {table} SET data = json_remove(data, '$.prompt', '$.request.prompt')")  # noqa: S608


@pytest.fixture
def queued(gate: Path, serve: Serve) -> tuple[Path, list[str]]:
    """The folder of a server that has ended, and the ids of the jobs that wait in it: four and some."""
    live = serve()
    running = live.post_job("hold")["id"]
    live.running(running)
    waiting = [live.post_job(f"plain {n}")["id"] for n in range(4 + len(_UNREADABLE))]
    live.__exit__()
    gate.unlink()
    return live.settings.output, waiting


def test_jobs_that_cannot_be_read_are_left_out_and_one_whose_model_is_gone_says_so(
    queued: tuple[Path, list[str]], serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    folder, (first, not_utf8, of_no_model, *bad, last) = queued
    # SQLite's own reading would fail for the whole answer, in words that say nothing of a row
    write(folder, "UPDATE jobs SET data = CAST(? AS TEXT) WHERE id = ?", b'{"id": "\xff\xfe', not_utf8)
    write(folder, "UPDATE jobs SET data = json_set(data, '$.model', 'gone') WHERE id = ?", of_no_model)
    for job, data in zip(bad, _UNREADABLE.values(), strict=True):
        write(folder, "UPDATE jobs SET data = ? WHERE id = ?", data, job)
    live = serve()
    assert [live.finished(job)["status"] for job in (first, last)] == ["done", "done"]
    assert live.finished(of_no_model)["error"]["code"] == "model_missing"
    listed = [job["id"] for job in live.client.get("/jobs").json()["jobs"]]
    assert last in listed
    assert not_utf8 not in listed
    for job, kind in zip(bad, _UNREADABLE, strict=True):
        assert live.client.get(f"/jobs/{job}").status_code == 404, kind
        assert job not in listed, kind
        assert f"job '{job}' cannot be read" in caplog.text, kind
    live.__exit__()
    again = serve()
    assert again.client.get("/jobs").json()["queue"]["waiting"] == 0


def test_jobs_without_a_field_that_is_required(queued: tuple[Path, list[str]], serve: Serve) -> None:
    folder, _ = queued
    of_another_version(folder, "jobs")
    live = serve()
    assert live.client.get("/jobs").json()["jobs"] == []
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"


def test_images_that_cannot_be_read_are_made_anew(serve: Serve) -> None:
    """Of each kind three: one as it was made, a favourite, and one that is thrown away."""
    first = serve()

    def drawn(prompt: str) -> str:
        return str(first.finished(first.post_job(prompt, steps=1, width=64, height=64)["id"])["id"])

    good, damaged = drawn("plain"), {kind: [drawn(f"{kind} {n}") for n in range(3)] for kind in _UNREADABLE}
    for _, starred, trashed in damaged.values():
        first.client.patch(f"/images/{starred}", json={"favourite": True}).raise_for_status()
        first.client.delete(f"/images/{trashed}").raise_for_status()
    first.__exit__()
    folder = first.settings.output
    for kind, images in damaged.items():
        for image in images:
            write(folder, "UPDATE images SET data = ? WHERE id = ?", _UNREADABLE[kind], image)
    live = serve()
    assert live.client.get("/gallery").status_code == 200
    there = {good} | {image for images in damaged.values() for image in images[:2]}
    eventually(lambda: {image["id"] for image in live.client.get("/images?limit=50").json()["images"]} == there)
    for kind, (bad, starred, trashed) in damaged.items():
        assert live.client.get(f"/images/{bad}").json()["prompt"] == f"{kind} 0"
        assert live.client.get(f"/images/{starred}").json()["favourite"] is True, kind
        _await_entry(folder, trashed, f"{kind} 2")
        assert live.client.post(f"/images/{trashed}/restore").json()["prompt"] == f"{kind} 2"


def _await_entry(folder: Path, image: str, prompt: str) -> None:
    """Until the index has the row of one that is thrown away again."""
    found = "SELECT instr(data, ?) FROM images WHERE id = ?"
    with closing(sqlite3.connect(folder / NAME)) as index:
        eventually(lambda: index.execute(found, (prompt, image)).fetchone()[0])


def test_a_bad_entry_harms_no_other_and_is_made_anew_from_its_file(live: LiveServer) -> None:
    good, bad = (live.finished(live.post_job("plain", steps=1)["id"])["id"] for _ in range(2))
    write(live.settings.output, "UPDATE images SET data = '{' WHERE id = ?", bad)

    def shown() -> list[str]:
        found = [image["id"] for image in live.client.get("/images").json()["images"]]
        assert good in found
        return found

    shown()
    assert live.client.get("/gallery").status_code == 200
    eventually(lambda: bad in shown())
    assert live.client.get(f"/images/{bad}").json()["prompt"] == "plain"


def test_no_name_in_the_index_deletes_a_file_elsewhere(serve: Serve, tmp_path: Path) -> None:
    first = serve()
    first.__exit__()
    victim = tmp_path / "victim.webp"
    victim.write_bytes(b"mine")
    row = ("../../victim", "2026", "", 0, None, None, "{}")
    write(first.settings.output, "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
    live = serve()
    count = "SELECT count(*) FROM images"
    with closing(sqlite3.connect(live.settings.output / NAME)) as index:
        eventually(lambda: index.execute(count).fetchone() == (0,))
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "row",
    [
        ("m", 64, 64, "denoise", "long"),
        ("m", 64, 64, "denoise", -1.0),
        ("m", 64, 64, "denoise", 1e999),
        ("m", 0, 0, "denoise", 1.0),
        ("m", "wide", 64, "decode", 1.0),
        ("m", 64, 64, "load", 1.0),
        ("m", 64, 64, "paint", 1.0),
    ],
)
def test_a_duration_that_is_none_is_not_counted_with(tmp_path: Path, row: tuple[Any, ...]) -> None:
    with closing(Store(tmp_path)) as store:
        store.execute("INSERT INTO durations VALUES (?, ?, ?, ?, ?)", row)
        store.execute("INSERT INTO durations VALUES ('n', 64, 64, 'denoise', 2.0), ('n', 64, 64, 'decode', 1.0)")
        durations = Durations(store)
        assert durations.forecast("m", 64, 64, 4, loaded=True).total_s is None
        assert durations.forecast("n", 64, 64, 4, loaded=True).total_s == 9.0


@pytest.mark.parametrize("value", ["{", "7", json.dumps({"a": 1}), ""])
def test_favourites_that_cannot_be_read_are_none(tmp_path: Path, value: str) -> None:
    with closing(Store(tmp_path)) as store:
        store.set_preference("salvaged_favourites", value)
        assert store.salvaged_favourites() == frozenset()


def test_preferences_that_mean_nothing_change_nothing(serve: Serve) -> None:
    first = serve()
    first.__exit__()
    for name in ("default_model", "preview", "download:ternary", "sdapi_model"):
        write(first.settings.output, "INSERT OR REPLACE INTO preferences VALUES (?, ?)", name, b"\xff")
    live = serve()
    assert live.client.get("/settings").status_code == 200
    assert live.client.get("/models").json()["default"] == "seedling-ternary"
    assert live.finished(live.post_job("plain")["id"])["status"] == "done"
