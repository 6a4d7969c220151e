import asyncio
import io
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image as Pillow

from bonsai_mlx.errors import PictureError
from bonsai_mlx.images.metadata import encode_png, save_picture
from server.errors import ApiError
from server.gallery.gallery import Gallery
from server.gallery.inspection import MAX_PROMPT_BYTES
from server.gallery.listing import CURSOR, PAGE_BYTES, Query
from server.store import Store, timestamp
from tests.hostile_pictures import deflated_text, pixel_bomb, plain_png, prompt_bomb
from tests.server.gallery.conftest import Parts, add, ids, new_id, recipe


def test_pages_are_newest_first_and_complete(gallery: Gallery) -> None:
    for number in range(10):
        add(gallery, new_id(number), f"picture {number}", at=number // 2)  # pairs of equal times
    found: list[int] = []
    cursor = None
    while True:
        page = asyncio.run(gallery.page(limit=3, cursor=cursor))
        assert page.total == 10
        found += [int(image.id, 16) for image in page.images]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert re.fullmatch(CURSOR, cursor)
    assert found == list(range(9, -1, -1))


def test_search_wants_every_word_in_any_case_and_script(gallery: Gallery) -> None:
    add(gallery, new_id(1), "A Red Fox, ink wash")
    add(gallery, new_id(2), "ÉCUREUIL rouge % _ under 100%")
    add(gallery, new_id(3), "红色狐狸 and a red house")
    assert ids(gallery, q="red") == [3, 1]
    assert ids(gallery, q="FOX ink") == [1]
    assert ids(gallery, q="écureuil") == [2]
    assert ids(gallery, q="狐狸") == [3]
    assert ids(gallery, q="100%") == [2]
    assert ids(gallery, q="%") == [2]
    assert ids(gallery, q="blue") == []
    assert ids(gallery, q="   ") == [3, 2, 1]


def test_favourites_and_groups_filter(gallery: Gallery) -> None:
    group = new_id(99)
    add(gallery, new_id(1), "one", at=1, group=group, group_kind="batch")
    add(gallery, new_id(2), "two", at=2, group=group, group_kind="batch")
    add(gallery, new_id(3), "three", at=3)
    assert gallery.set_favourite(new_id(2), True).favourite
    assert ids(gallery, favourite=True) == [2]
    assert ids(gallery, favourite=False) == [3, 1]
    assert ids(gallery, group=group) == [2, 1]
    assert not gallery.set_favourite(new_id(2), False).favourite


def test_neighbours(gallery: Gallery) -> None:
    for number in range(3):
        add(gallery, new_id(number), "x", at=5)
    middle = gallery.get(new_id(1))
    assert asyncio.run(gallery.listing.neighbours(middle, Query())) == (new_id(2), new_id(0))
    assert asyncio.run(gallery.listing.neighbours(gallery.get(new_id(2)), Query())) == (None, new_id(1))


def test_deleting_can_be_undone(parts: Parts) -> None:
    gallery = parts.gallery
    add(gallery, new_id(1), "precious")
    gallery.set_favourite(new_id(1), True)
    deleted = asyncio.run(gallery.delete(new_id(1)))
    assert deleted.undo_until > timestamp()
    assert ids(gallery) == []
    assert not gallery.file(new_id(1)).exists()
    with pytest.raises(ApiError) as missing:
        gallery.get(new_id(1))
    assert missing.value.status == 404
    with pytest.raises(ApiError):
        asyncio.run(gallery.delete(new_id(1)))
    restored = asyncio.run(gallery.restore(new_id(1)))
    assert (restored.prompt, restored.favourite) == ("precious", True)
    assert asyncio.run(gallery.png(new_id(1)))
    with pytest.raises(ApiError):
        asyncio.run(gallery.restore(new_id(1)))


def test_two_who_delete_or_restore_at_once_lose_nothing(gallery: Gallery) -> None:
    async def twice(change: Callable[[str], Awaitable[Any]]) -> list[Any]:
        answers = await asyncio.gather(change(new_id(1)), change(new_id(1)), return_exceptions=True)
        return [answer for answer in answers if isinstance(answer, Exception)]

    async def test() -> None:
        for change in (gallery.delete, gallery.restore):
            [late] = await twice(change)
            assert isinstance(late, ApiError)
            assert late.status == 404
        assert gallery.get(new_id(1)).prompt == "precious"
        await asyncio.gather(gallery.delete(new_id(1)), gallery.restore(new_id(1)))  # in this order
        assert gallery.file(new_id(1)).exists()
        assert gallery.get(new_id(1)).prompt == "precious"

    add(gallery, new_id(1), "precious")
    asyncio.run(test())


def test_what_was_moved_but_not_noted_can_be_tried_again(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Store, sql: str, _parameters: Any = ()) -> Any:
        if sql.startswith("UPDATE images"):
            raise sqlite3.OperationalError("database or disk is full")
        return execute(_self, sql, _parameters)

    add(gallery, new_id(1), "precious")
    execute = Store.execute
    for change in (gallery.delete, gallery.restore):
        with monkeypatch.context() as patch:
            patch.setattr(Store, "execute", full)
            with pytest.raises(sqlite3.OperationalError):
                asyncio.run(change(new_id(1)))
        asyncio.run(change(new_id(1)))
    assert gallery.file(new_id(1)).exists()
    assert ids(gallery) == [1]


def test_only_old_trash_is_emptied(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    add(gallery, new_id(1), "unloved")
    asyncio.run(gallery.thumbnail(new_id(1)))
    asyncio.run(gallery.delete(new_id(1)))
    assert asyncio.run(gallery.purge()) == 0
    later = time.time() + 8 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert asyncio.run(gallery.purge()) == 1
    assert [*gallery.trash.iterdir(), *gallery.thumbnails.iterdir()] == []
    assert gallery._store.execute("SELECT count(*) FROM images") == [(0,)]


def test_the_index_knows_how_old_trash_is(gallery: Gallery) -> None:
    """FAT and exFAT keep the time that a file was made, not that it was moved."""
    add(gallery, new_id(1), "unloved")
    asyncio.run(gallery.delete(new_id(1)))
    gallery._store.execute("UPDATE images SET deleted_at = ?", (time.time() - 8 * 86_400,))
    asyncio.run(gallery.rebuild())
    assert asyncio.run(gallery.purge()) == 1


def test_trash_that_cannot_be_read_goes_in_time_as_well(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    (gallery.trash / f"{new_id(1)}.png").write_bytes(b"damaged")
    asyncio.run(gallery.rebuild())
    assert asyncio.run(gallery.purge()) == 0
    later = time.time() + 8 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert asyncio.run(gallery.purge()) == 1
    assert list(gallery.trash.iterdir()) == []


def test_downloads_keep_as_much_of_the_recipe_as_asked_for(gallery: Gallery) -> None:
    add(gallery, new_id(1), "a very private prompt")
    full, mark, none = (asyncio.run(gallery.png(new_id(1), mode)) for mode in ("full", "mark", "none"))  # type: ignore[arg-type]
    assert b"a very private prompt" in full
    assert b"private" not in mark
    assert b"trainedAlgorithmicMedia" in mark
    assert b"trainedAlgorithmicMedia" not in none
    pixels = {Pillow.open(io.BytesIO(data)).tobytes() for data in (full, mark, none)}
    assert len(pixels) == 1


def test_thumbnails_are_made_when_missing(gallery: Gallery) -> None:
    png = encode_png(Pillow.new("RGB", (800, 400), (200, 0, 0)), recipe("wide"))
    save_picture(gallery.file(new_id(1)), png)
    asyncio.run(gallery.reconcile())
    with Pillow.open(io.BytesIO(asyncio.run(gallery.thumbnail(new_id(1))))) as small:
        assert (small.format, small.size) == ("WEBP", (384, 192))
    assert (gallery.thumbnails / f"{new_id(1)}.webp").exists()


def test_a_thumbnail_that_cannot_be_kept_is_drawn_anyway(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    add(gallery, new_id(1), "x")
    gallery.thumbnails.rmdir()
    for _ in range(2):
        with Pillow.open(io.BytesIO(asyncio.run(gallery.thumbnail(new_id(1))))) as small:
            assert small.size == (64, 32)
    assert "a thumbnail could not be kept: No such file or directory" in caplog.text


def test_a_file_that_is_no_image_has_no_thumbnail(gallery: Gallery) -> None:
    add(gallery, new_id(1), "x")
    gallery.file(new_id(1)).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(PictureError, match="no whole PNG"):
        asyncio.run(gallery.thumbnail(new_id(1)))


@pytest.mark.slow
def test_a_bomb_has_no_thumbnail_and_takes_no_other_down(gallery: Gallery) -> None:
    gallery.file(new_id(1)).write_bytes(pixel_bomb())
    add(gallery, new_id(2), "a fox")
    asyncio.run(gallery.reconcile())
    with pytest.raises(PictureError, match="13300x13300"):
        asyncio.run(gallery.thumbnail(new_id(1)))
    assert asyncio.run(gallery.thumbnail(new_id(2)))


@pytest.mark.slow
def test_what_a_file_says_is_bounded_in_bytes(gallery: Gallery) -> None:
    gallery.file(new_id(1)).write_bytes(prompt_bomb())
    save_picture(gallery.file(new_id(2)), encode_png(Pillow.new("RGB", (8, 8)), recipe("\U0001f98a" * 32_000)))
    long = encode_png(Pillow.new("RGB", (8, 8)), replace(recipe("x" * 500_000), scheduler="y" * 200_000))
    save_picture(gallery.file(new_id(3)), long)
    wordy = replace(recipe("a fox"), timings={f"phase {number}": 1.0 for number in range(30_000)})
    save_picture(gallery.file(new_id(4)), encode_png(Pillow.new("RGB", (8, 8)), wordy))
    asyncio.run(gallery.reconcile())
    shortened, whole, both, many = (gallery.get(new_id(number)) for number in (1, 2, 3, 4))
    assert len(shortened.prompt.encode()) <= MAX_PROMPT_BYTES
    assert shortened.prompt.endswith("a\u2026")
    assert whole.prompt == whole.recipe["prompt"] == "\U0001f98a" * 32_000, "as long as any that is drawn here"
    assert len(both.model_dump_json()) < MAX_PROMPT_BYTES + 1_000
    assert (many.prompt, many.timings, len(many.model_dump_json()) < 1_000) == ("a fox", {}, True)
    for number in (1, 2, 3):
        assert asyncio.run(gallery.png(new_id(number))) == gallery.file(new_id(number)).read_bytes(), "as it is"


def test_a_page_is_bounded_in_bytes_and_leaves_nobody_out(gallery: Gallery) -> None:
    for number in range(8):
        add(gallery, new_id(number), f"{number}" + "x" * 300_000, at=number)
    add(gallery, new_id(8), "8" + "y" * 2 * PAGE_BYTES, at=8)  # larger than any page
    found, sizes, cursor = [], [], None
    while True:
        page = asyncio.run(gallery.page(limit=60, cursor=cursor))
        found += [int(image.id, 16) for image in page.images]
        sizes.append(sum(len(image.model_dump_json()) for image in page.images))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list(range(8, -1, -1))
    assert max(sizes[1:]) <= PAGE_BYTES + 1_000
    assert len(sizes) == 4


def test_pictures_of_other_programs_have_no_mark_of_ours(gallery: Gallery) -> None:
    gallery.file(new_id(1)).write_bytes(plain_png(8, 8, deflated_text("parameters", b"a fox\nSteps: 4, Seed: 1")))
    asyncio.run(gallery.reconcile())
    with pytest.raises(ApiError, match="carries no recipe") as refused:
        asyncio.run(gallery.png(new_id(1), "mark"))
    assert (refused.value.status, refused.value.detail.field) == (422, "metadata")
    assert b"parameters" not in asyncio.run(gallery.png(new_id(1), "none"))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("caf\u00e9 noir", "cafe\u0301"),
        ("cafe\u0301 noir", "CAF\u00c9"),
        ("\uff26\uff2f\uff38 in full width", "fox"),
        ("a fox, \u2460 of \ufb01ve", "1 FIVE"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u1e9e \u03a3\u03c2", "ss \u03c3\u03c3"),
        ("\uac00\ub098", "\u1100\u1161\u1102\u1161"),
        ("\u0345\u0391", "\u03b9\u03b1"),
    ],
)
def test_words_are_found_however_they_are_written(gallery: Gallery, prompt: str, words: str) -> None:
    add(gallery, new_id(1), prompt)
    add(gallery, new_id(2), "something else")
    assert ids(gallery, q=words) == [1]
    assert ids(gallery, q=prompt) == [1]
