import asyncio
import contextlib
import re
import resource
import sqlite3
from pathlib import Path

import pytest

from server.errors import ApiError
from server.store import NAME, Store, timestamp


def test_times_sort_as_texts() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(1.5) < timestamp(2) < timestamp(10_000_000_000.25)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", timestamp())


def test_preferences_survive_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_preference("preview", "off")
    store.set_preference("gone", "x")
    store.set_preference("gone", None)
    store.close()
    again = Store(tmp_path)
    assert (again.preference("preview"), again.preference("gone")) == ("off", None)
    again.close()


def test_other_programs_that_write_are_not_waited_for_long(tmp_path: Path) -> None:
    """The event loop waits with every call: nobody would be answered meanwhile."""
    store = Store(tmp_path)
    assert store.execute("PRAGMA busy_timeout")[0][0] <= 100
    store.close()


def test_who_comes_once_it_is_closed_is_told_that_the_server_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    for late in (
        lambda: store.execute("SELECT 1"),
        lambda: store.execute_many("SELECT ?", [(1,)]),
        lambda: asyncio.run(store.read("SELECT 1")),
    ):
        with pytest.raises(ApiError, match="shutting down") as caught:
            late()
        assert caught.value.status == 503
    asyncio.run(store.checkpoint())  # of a task that goes on for a moment


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [("a", "1"), ("b", "2"), ("a", "again")]
    with pytest.raises(sqlite3.IntegrityError):
        store.execute_many("INSERT INTO preferences VALUES (?, ?)", rows)
    assert store.execute("SELECT count(*) FROM preferences") == [(0,)]
    store.close()


def test_reads_in_a_thread_see_what_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_preference("a", "1")
    assert asyncio.run(store.read("SELECT value FROM preferences WHERE name = ?", ("a",))) == [("1",)]
    asyncio.run(store.checkpoint())
    store.close()


@pytest.mark.parametrize("damage", ["garbage", "tail", "without a column"])
def test_a_damaged_file_is_set_aside_and_its_favourites_saved(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    filler = [(f"{n:032x}", "2026", "p" * 200, int(n == 7), None, None, "{}") for n in range(200)]
    store.execute_many("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)", filler)
    store.close()
    path = tmp_path / NAME
    if damage == "garbage":
        path.write_bytes(b"this is no database at all" * 100)
    elif damage == "tail":
        path.write_bytes(path.read_bytes()[:-9_000])
    else:
        connection = sqlite3.connect(path)
        connection.execute("ALTER TABLE jobs DROP COLUMN attached")
        connection.close()
    again = Store(tmp_path)
    assert again.execute("SELECT count(*) FROM images") == [(0,)]
    if damage == "without a column":
        assert again.salvaged_favourites() == {f"{7:032x}"}
        again.forget_salvaged()
        assert again.salvaged_favourites() == frozenset()
    assert [p.name for p in tmp_path.iterdir() if ".damaged-" in p.name]
    again.close()


def test_a_full_disk_in_a_transaction_is_told_as_such(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.execute("PRAGMA max_page_count = 1")  # no more than there are
    with pytest.raises(sqlite3.OperationalError) as caught:
        store.execute_many("INSERT INTO preferences VALUES (?, ?)", [(str(i), "x" * 10_000) for i in range(9)])
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    store.close()


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    """The index stays where it is, with everything in it, until there is room for the files beside it."""
    store = Store(tmp_path)
    store.set_preference("preview", "off")
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(sqlite3.OperationalError):
            Store(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in tmp_path.iterdir() if ".damaged-" in path.name]
    again = Store(tmp_path)
    assert again.preference("preview") == "off"
    again.close()


@pytest.mark.slow
def test_the_log_is_kept_short_while_it_is_written_to(tmp_path: Path) -> None:
    """As while a picture is drawn: nobody asks for a checkpoint."""

    async def write() -> int:
        longest = 0
        with contextlib.closing(Store(tmp_path)) as store:
            keeping = asyncio.create_task(store.checkpoint_forever())
            for n in range(300):
                store.set_preference("large", str(n) * 100_000)
                longest = max(longest, store.log_bytes)
                async with asyncio.timeout(60):  # a disk may be slow: a checkpoint takes what it takes
                    while store._log_is_long.is_set():
                        await asyncio.sleep(0.001)
            keeping.cancel()
        return longest

    assert asyncio.run(write()) < 16 << 20


def test_a_log_that_checkpoints_do_not_shorten_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each met a write, after which the log goes on where it was."""

    async def in_vain(self: Store) -> None:
        await asyncio.sleep(0)

    async def write() -> tuple[int, int]:
        with contextlib.closing(Store(tmp_path)) as store:
            for n in range(100, 160):
                store.set_preference("large", str(n) * 100_000)
            before = store.log_bytes
            keeping = asyncio.create_task(store.checkpoint_forever())
            for _ in range(5):
                await asyncio.sleep(0)
            store.set_preference("small", "x")
            keeping.cancel()
            return before, store.log_bytes

    monkeypatch.setattr(Store, "checkpoint", in_vain)
    before, after = asyncio.run(write())
    assert before > 12 << 20
    assert after < 2 << 20


@pytest.mark.slow
def test_room_that_is_not_needed_any_more_is_given_back(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        rows = [(str(n), "x" * 100_000) for n in range(400)]
        store.execute_many("INSERT INTO preferences VALUES (?, ?)", rows)
        store.execute("DELETE FROM preferences WHERE name != '7'")
    assert (tmp_path / NAME).stat().st_size > 30_000_000
    with contextlib.closing(Store(tmp_path)) as store:
        assert store.preference("7") == "x" * 100_000
    assert (tmp_path / NAME).stat().st_size < 1_000_000
