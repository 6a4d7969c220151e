"""Many pictures at once: deleted and taken back, marked, packed into a ZIP file, shown in their folder."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from server.errors import ApiError
from server.gallery.gallery import Gallery
from server.gallery.listing import Query
from server.library.archive import KEPT, LEFT_OUT, Archives
from server.library.collections import Collections
from server.settings import Settings
from tests.server.conftest import LiveServer, eventually
from tests.server.gallery.conftest import Parts, add, ids, new_id
from tests.server.library.test_collections import NOBODY, drawn, send


@pytest.mark.slow
def test_many_are_deleted_and_taken_back(live: LiveServer) -> None:
    one, two, three = drawn(live, "one", "two", "three")
    live.client.delete(f"/images/{three}")
    deleted = send(live, "POST", "/images/delete", ids=[one, two, one, three, NOBODY]).json()
    assert (deleted["ids"], deleted["missing"]) == ([one, two], [three, NOBODY])
    assert live.client.get("/images/ids").json() == {"ids": []}
    (live.settings.output / ".trash" / f"{one}.png").unlink()
    restored = send(live, "POST", "/images/restore", ids=[two, three, one]).json()
    assert restored == {"ids": [two, three], "missing": [one]}
    assert live.client.get("/images/ids", params={"sort": "oldest"}).json() == {"ids": [two, three]}
    assert (live.settings.output / f"{two}.png").is_file()
    (live.settings.output / f"{two}.png").unlink()
    assert send(live, "POST", "/images/delete", ids=[two]).json()["missing"] == [two]


def test_hundreds_are_moved_in_turns(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn in between, and half of it being done is told."""
    for number in range(120):
        add(parts.gallery, new_id(number), "x", at=number)
    turns = 0

    async def deleted() -> int:
        nonlocal turns
        work = asyncio.create_task(parts.gallery.delete_many([new_id(number) for number in range(120)]))
        while not work.done():
            turns += 1
            await asyncio.sleep(0)
        return len((await work).ids)

    assert asyncio.run(deleted()) == 120
    assert turns > 3
    assert (ids(parts.gallery), len(list(parts.gallery.trash.iterdir()))) == ([], 120)


@pytest.mark.slow
def test_many_are_marked(shared: LiveServer) -> None:
    one, two = drawn(shared, "marked", "marked too")
    answer = send(shared, "POST", "/images/favourite", ids=[one, NOBODY], favourite=True).json()
    assert answer == {"ids": [one], "missing": [NOBODY]}
    assert shared.client.get("/images/ids", params={"favourite": True}).json() == {"ids": [one]}
    send(shared, "POST", "/images/favourite", ids=[one, two], favourite=False)
    assert shared.client.get("/images/ids", params={"favourite": True}).json() == {"ids": []}
    assert send(shared, "POST", "/images/favourite", ids=[one]).json()["error"]["field"] == "favourite"


def test_an_order_other_than_by_time(parts: Parts) -> None:
    gallery = parts.gallery
    for number, prompt in enumerate(("Beta", "alpha", "", "beta", "狐" * 300)):
        add(gallery, new_id(number), prompt, at=number)
    for sort, order in (
        ("newest", [4, 3, 2, 1, 0]),
        ("oldest", [0, 1, 2, 3, 4]),
        ("prompt", [2, 1, 0, 3, 4]),
    ):
        query, found, cursor = Query(sort=sort), list[int](), None
        while True:
            page = asyncio.run(gallery.page(query, limit=2, cursor=cursor))
            found += [int(image.id, 16) for image in page.images]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == order, sort
        middle = gallery.get(new_id(order[2]))
        beside = asyncio.run(gallery.listing.neighbours(middle, query))
        assert beside == (new_id(order[1]), new_id(order[3])), sort
    searched = asyncio.run(gallery.listing.neighbours(gallery.get(new_id(3)), Query(q="beta")))
    assert searched == (None, new_id(0))
    for sort, cursor in (("prompt", f"1970-01-01T00:00:00.000000Z~{NOBODY}"), ("newest", f"YQ==~{NOBODY}")):
        with pytest.raises(ApiError) as refused:
            asyncio.run(gallery.page(Query(sort=sort), cursor=cursor))
        assert refused.value.detail.field == "cursor"


def test_the_lineage_of_a_picture(gallery: Gallery) -> None:
    for number in range(5):
        add(gallery, new_id(number), f"picture {number}", at=number)
    for child, parent in ((1, 0), (2, 1), (3, 2), (4, 2), (0, 3)):  # a circle, as no file should say, ends as well
        gallery._store.execute("INSERT INTO image_parents VALUES (?, ?, 'init')", (new_id(child), new_id(parent)))
    gallery._store.execute("DELETE FROM image_parents WHERE child = ?", (new_id(0),))
    found = asyncio.run(gallery.listing.lineage(new_id(2)))
    assert [int(image.id, 16) for image in found] == [0, 1, 2, 3, 4]
    asyncio.run(gallery.delete(new_id(1)))
    assert [int(image.id, 16) for image in asyncio.run(gallery.listing.lineage(new_id(2)))] == [0, 2, 3, 4]
    gallery._store.execute("INSERT INTO image_parents VALUES (?, ?, 'init')", (new_id(0), new_id(2)))
    assert len(asyncio.run(gallery.listing.lineage(new_id(2)))) == 4


def zipped(archives: Archives, archive_id: str) -> zipfile.ZipFile:
    async def whole() -> bytes:
        return b"".join([piece async for piece in archives.stream(archive_id)])

    return zipfile.ZipFile(io.BytesIO(asyncio.run(whole())))


@pytest.mark.slow
def test_an_archive_holds_the_files_as_they_are(live: LiveServer) -> None:
    chosen = drawn(live, "a fox", "a fox", "../../红 fox")
    asked = send(live, "POST", "/archives", ids=[*chosen, NOBODY]).json()
    assert (asked["pictures"], asked["url"]) == (3, f"/archives/{asked['id']}.zip")
    answer = live.client.get(asked["url"])
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="bonsai-3-pictures.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        for image_id, entry in zip(chosen, archive.infolist(), strict=True):
            assert archive.read(entry) == live.client.get(f"/images/{image_id}.png").content
            assert entry.flag_bits & 0x08 == 0  # sizes stand before the data, as every program reads them
    images = [live.client.get(f"/images/{image_id}").json() for image_id in chosen]
    assert names == [image["file_name"] for image in images]
    assert names[2].startswith("红-fox-")
    bare = send(live, "POST", "/archives", ids=chosen, metadata="none").json()
    with zipfile.ZipFile(io.BytesIO(live.client.get(bare["url"]).content)) as archive:
        assert all(b"a fox" not in archive.read(name) for name in archive.namelist())
    assert send(live, "POST", "/archives", ids=[NOBODY]).status_code == 404
    assert live.client.get(f"/archives/{NOBODY}.zip").status_code == 404


def test_names_in_an_archive_lead_nowhere_else_and_are_unlike(parts: Parts) -> None:
    names = ["..\\..\\evil.png", "C:evil.png", "Same.png", "same.png", "\u202egnp.exe.png", "-rf.png"]
    for number, name in enumerate(names):
        add(parts.gallery, new_id(number), "x", name=name)
    archives = Archives(parts.gallery)
    with zipped(archives, archives.prepare([new_id(n) for n in range(len(names))], "full").id) as archive:
        found = archive.namelist()
    assert found == ["-..-evil.png", "C-evil.png", "Same.png", "same-2.png", "-gnp.exe.png", "-rf.png"]


def test_what_goes_while_it_is_packed_is_named(parts: Parts) -> None:
    for number in range(3):
        add(parts.gallery, new_id(number), f"picture {number}")
    archives = Archives(parts.gallery)
    wanted = archives.prepare([new_id(n) for n in range(3)], "full")
    parts.gallery.file(new_id(0)).unlink()
    asyncio.run(parts.gallery.delete(new_id(1)))
    with zipped(archives, wanted.id) as archive:
        assert archive.namelist() == ["picture-2-1.png", LEFT_OUT]
        assert archive.read(LEFT_OUT).decode().split() == [
            word for n in range(2) for word in f"{new_id(n)}: There is no such image.".split()
        ]


def test_only_so_many_archives_are_kept_and_only_so_long(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    add(parts.gallery, new_id(1), "x")
    archives = Archives(parts.gallery)
    made = [archives.prepare([new_id(1)], "full").id for _ in range(KEPT + 1)]
    with pytest.raises(ApiError):
        archives.name(made[0])
    assert archives.name(made[1]) == "bonsai-1-pictures.zip"
    later = __import__("time").time() + 3_601
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(ApiError):
        archives.name(made[1])


def test_a_collection_too_many_is_refused(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.library.collections.MAX_COLLECTIONS", 1)
    collections = Collections(parts.store, parts.events)
    collections.make("one")
    with pytest.raises(ApiError, match="1 collections already"):
        collections.make("two")


@pytest.mark.slow
def test_a_file_is_shown_on_this_computer_alone(
    live: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    [one] = drawn(live, "one")
    program.write_text(f'#!/bin/sh\nprintf "%s" "$#:$1" > "{opened}"\n')
    program.chmod(0o755)
    assert live.client.post(f"/images/{one}/reveal").status_code == 204
    assert eventually(opened.read_text) == f"1:{live.settings.output}"
    assert live.client.post(f"/images/{NOBODY}/reveal").status_code == 404
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "could not be opened" in live.client.post("/settings/reveal").json()["error"]["message"]
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    assert "no file manager" in live.client.post(f"/images/{one}/reveal").json()["error"]["message"]
    live.studio.settings = Settings(host="192.0.2.1", token="x" * 16)
    assert live.client.post("/settings/reveal").status_code == 403
