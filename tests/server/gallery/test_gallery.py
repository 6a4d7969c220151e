import asyncio
import io
import os
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from bonsai_mlx.errors import PictureError
from bonsai_mlx.images.metadata import Recipe, encode_png, save_picture
from server.errors import ApiError
from server.events import EventHub
from server.gallery.decoder import Decoder
from server.gallery.entries import make_image
from server.gallery.gallery import CURSOR, PAGE_BYTES, Gallery
from server.gallery.inspection import MAX_PROMPT_BYTES
from server.store import NAME, Store, timestamp
from tests.hostile_pictures import deflated_text, pixel_bomb, plain_png, prompt_bomb

DECODER = Decoder()


@pytest.fixture(autouse=True, scope="module")
def _end_decoder() -> Iterator[None]:
    yield
    DECODER.close()


def recipe(prompt: str, seed: int = 1) -> Recipe:
    return Recipe(
        prompt=prompt,
        seed=seed,
        steps=4,
        width=64,
        height=32,
        variant="ternary",
        model="ternary",
        timings={"total": 1.5},
    )


def add(gallery: Gallery, image_id: str, prompt: str, at: float = 0.0, **fields: Any) -> None:
    """A saved image, as the child leaves it."""
    png = encode_png(Pillow.new("RGB", (64, 32), (1, 2, 3)), recipe(prompt))
    save_picture(gallery.file(image_id), png)
    os.utime(gallery.file(image_id), (at, at))
    values = {"seed": 1, "steps": 4, "width": 64, "height": 32, "model": "ternary", "variant": "ternary"} | fields
    gallery.add(make_image(image_id, prompt=prompt, created_at=timestamp(at), size_bytes=len(png), **values))


def new_id(number: int) -> str:
    return f"{number:032x}"


class Parts:
    """A gallery with its store and events."""

    def __init__(self, folder: Path, decoder: Decoder = DECODER) -> None:
        self.events = EventHub(100, 4)
        self.store = Store(folder)
        self.gallery = Gallery(folder, self.store, self.events, decoder, trash_days=7)
        self.gallery.prepare()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def gallery(parts: Parts) -> Gallery:
    return parts.gallery


def ids(gallery: Gallery, **filters: Any) -> list[int]:
    page = asyncio.run(gallery.page(**filters))
    return [int(image.id, 16) for image in page.images]


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
    assert asyncio.run(gallery.neighbours(middle)) == (new_id(2), new_id(0))
    assert asyncio.run(gallery.neighbours(gallery.get(new_id(2)))) == (None, new_id(1))


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


def test_the_index_is_rebuilt_from_the_files_alone(tmp_path: Path) -> None:
    first = Parts(tmp_path)
    for number in range(5):
        add(first.gallery, new_id(number), f"picture {number}", at=1_000 + number)
    asyncio.run(first.gallery.delete(new_id(4)))
    first.store.close()
    (tmp_path / NAME).unlink()
    (tmp_path / f"{new_id(77)}.png").write_bytes(b"not a PNG")
    (tmp_path / "holiday.png").write_bytes(encode_png(Pillow.new("RGB", (8, 8)), recipe("mine")))

    second = Parts(tmp_path)
    asyncio.run(second.gallery.reconcile())
    holiday = asyncio.run(second.gallery.page()).images[0]
    assert (holiday.name, holiday.prompt) == ("holiday.png", "mine")
    assert ids(second.gallery)[1:] == [3, 2, 1, 0]
    image = second.gallery.get(new_id(3))
    assert (image.prompt, image.seed, image.steps, image.width, image.height) == ("picture 3", 1, 4, 64, 32)
    assert (image.model, image.variant, image.created_at) == ("ternary", "ternary", timestamp(1_003))
    assert image.timings == {"total": 1.5}
    assert image.recipe["prompt"] == "picture 3"
    assert asyncio.run(second.gallery.restore(new_id(4))).prompt == "picture 4"
    second.store.close()


def test_rebuilding_keeps_favourites(gallery: Gallery) -> None:
    add(gallery, new_id(1), "one")
    add(gallery, new_id(2), "two")
    gallery.set_favourite(new_id(1), True)
    assert asyncio.run(gallery.rebuild()) == 2
    assert ids(gallery, favourite=True) == [1]


def test_an_interrupted_rebuild_changes_nothing(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    class InterruptedRebuild(BaseException):
        pass

    def interrupted(*_arguments: Any) -> None:
        raise InterruptedRebuild

    add(gallery, new_id(1), "one")
    add(gallery, new_id(2), "two")
    gallery.set_favourite(new_id(1), True)
    monkeypatch.setattr("server.gallery.reconcile.image_from_file", interrupted)
    with pytest.raises(InterruptedRebuild):
        asyncio.run(gallery.rebuild())
    assert ids(gallery) == [2, 1]
    assert ids(gallery, favourite=True) == [1]


@pytest.mark.parametrize("enter", ["reconcile", "rebuild"])
def test_favourites_of_a_damaged_index_outlast_an_interruption(
    tmp_path: Path, enter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_arguments: Any) -> None:
        raise Killed

    first = Parts(tmp_path)
    for number in (1, 2):
        add(first.gallery, new_id(number), "x")
    first.gallery.set_favourite(new_id(2), True)
    first.store.execute("ALTER TABLE jobs DROP COLUMN attached")
    first.store.close()
    with monkeypatch.context() as patch:
        patch.setattr("server.gallery.reconcile.image_from_file", kill)
        second = Parts(tmp_path)
        with pytest.raises(Killed):
            asyncio.run(getattr(second.gallery, enter)())
        second.store.close()
    third = Parts(tmp_path)
    asyncio.run(getattr(third.gallery, enter)())
    assert ids(third.gallery, favourite=True) == [2]
    third.gallery.set_favourite(new_id(2), False)
    asyncio.run(getattr(third.gallery, enter)())
    assert ids(third.gallery, favourite=True) == []
    third.store.close()


def test_rebuilding_drops_what_no_file_confirms(gallery: Gallery) -> None:
    add(gallery, new_id(1), "one")
    add(gallery, new_id(2), "two")
    gallery.set_favourite(new_id(2), True)
    asyncio.run(gallery.delete(new_id(1)))
    gallery.file(new_id(2)).unlink()
    assert asyncio.run(gallery.rebuild()) == 1
    assert ids(gallery) == []
    assert asyncio.run(gallery.restore(new_id(1))).prompt == "one"


@pytest.mark.parametrize("enter", ["reconcile", "rebuild"])
def test_a_file_that_cannot_be_entered_keeps_no_other_out(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, enter: str
) -> None:
    for number in range(3):
        save_picture(gallery.file(new_id(number)), encode_png(Pillow.new("RGB", (8, 8)), recipe("a secret")))
    os.utime(gallery.file(new_id(1)), (0, 0))

    def no_such_year(at: float) -> str:
        if at == 0:
            raise OverflowError("a secret")
        return timestamp(at)

    monkeypatch.setattr("server.gallery.entries.timestamp", no_such_year)
    asyncio.run(getattr(gallery, enter)())
    assert sorted(ids(gallery)) == [0, 2]
    assert f"{new_id(1)}.png is left out of the gallery: OverflowError" in caplog.text
    assert "secret" not in caplog.text


def test_half_a_surrogate_pair_in_a_recipe_is_replaced(gallery: Gallery) -> None:
    png = encode_png(Pillow.new("RGB", (8, 8)), recipe("a \ud83e fox \U0001f98a"))
    save_picture(gallery.file(new_id(1)), png)
    asyncio.run(gallery.reconcile())
    image = gallery.get(new_id(1))
    assert image.prompt == image.recipe["prompt"] == "a \ufffd fox \U0001f98a"
    assert ids(gallery, q="\U0001f98a") == [1]


def test_a_picture_that_is_finished_while_files_are_entered_keeps_its_entry(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, listed = parts.gallery, parts.store.read

    async def read_before_it_is_finished(*arguments: Any) -> Any:
        rows = await listed(*arguments)
        add(gallery, new_id(1), "half of a pair", group="f" * 32)
        return rows

    save_picture(gallery.file(new_id(1)), b"on its way")
    monkeypatch.setattr(parts.store, "read", read_before_it_is_finished)
    asyncio.run(gallery.reconcile())
    assert gallery.get(new_id(1)).group == "f" * 32


def test_files_that_vanished_leave_the_index(gallery: Gallery) -> None:
    add(gallery, new_id(1), "kept")
    add(gallery, new_id(2), "removed by hand")
    gallery.file(new_id(2)).unlink()
    with pytest.raises(ApiError):
        asyncio.run(gallery.png(new_id(2)))
    assert asyncio.run(gallery.reconcile()) == 1
    assert ids(gallery) == [1]
    assert asyncio.run(gallery.reconcile()) == 0


def test_a_link_planted_in_the_folder_is_not_followed(
    gallery: Gallery, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(encode_png(Pillow.new("RGB", (8, 8)), recipe("secret")))
    gallery.file(new_id(5)).symlink_to(outside)
    assert asyncio.run(gallery.reconcile()) == 0
    add(gallery, new_id(6), "real")
    gallery.file(new_id(6)).unlink()
    gallery.file(new_id(6)).symlink_to(outside)
    with pytest.raises(ApiError):
        asyncio.run(gallery.png(new_id(6)))


def test_files_that_vanish_between_two_calls(gallery: Gallery) -> None:
    add(gallery, new_id(1), "x")
    gallery.file(new_id(1)).unlink()
    with pytest.raises(ApiError):
        asyncio.run(gallery.delete(new_id(1)))
    add(gallery, new_id(2), "y")
    asyncio.run(gallery.delete(new_id(2)))
    (gallery.trash / f"{new_id(2)}.png").unlink()
    with pytest.raises(ApiError):
        asyncio.run(gallery.restore(new_id(2)))
    assert asyncio.run(gallery.reconcile()) == 0


def test_a_bomb_has_no_thumbnail_and_takes_no_other_down(gallery: Gallery) -> None:
    gallery.file(new_id(1)).write_bytes(pixel_bomb())
    add(gallery, new_id(2), "a fox")
    asyncio.run(gallery.reconcile())
    with pytest.raises(PictureError, match="13300x13300"):
        asyncio.run(gallery.thumbnail(new_id(1)))
    assert asyncio.run(gallery.thumbnail(new_id(2)))


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


def test_what_is_no_file_is_left_out_and_never_waited_for(gallery: Gallery) -> None:
    os.mkfifo(gallery.file(new_id(1)))
    add(gallery, new_id(2), "replaced by a pipe")
    gallery.file(new_id(2)).unlink()
    os.mkfifo(gallery.file(new_id(2)))
    for read in (gallery.png, gallery.thumbnail):
        with pytest.raises(ApiError) as missing:
            asyncio.run(read(new_id(2)))
        assert missing.value.status == 404
    asyncio.run(gallery.reconcile())
    assert ids(gallery) == []


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


def test_an_older_index_is_searched_in_the_same_way(gallery: Gallery) -> None:
    add(gallery, new_id(1), "cafe\u0301")
    gallery._store.execute("UPDATE images SET search = ?", ("cafe\u0301",))
    asyncio.run(gallery.reconcile())
    assert ids(gallery, q="caf\u00e9") == [1]


def test_a_copied_folder_keeps_its_order(gallery: Gallery) -> None:
    """Copying gives every file a time of its own; the recipe says when the picture was drawn."""
    for number, drawn in ((1, "2026-03-01T10:00:00.000000Z"), (2, "2026-02-01T10:00:00+02:00"), (3, None)):
        png = encode_png(Pillow.new("RGB", (8, 8)), replace(recipe("x"), created_at=drawn))
        save_picture(gallery.file(new_id(number)), png)
        os.utime(gallery.file(new_id(number)), (1_767_225_600 + number,) * 2)  # the first days of 2026
    asyncio.run(gallery.reconcile())
    assert ids(gallery) == [1, 2, 3]
    dates = [gallery.get(new_id(number)).created_at for number in (1, 2, 3)]
    assert dates == ["2026-03-01T10:00:00.000000Z", "2026-02-01T08:00:00.000000Z", "2026-01-01T00:00:03.000000Z"]


@pytest.mark.parametrize("drawn", ["", "yesterday", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00", "1" * 10_000])
def test_what_is_no_date_falls_back_on_the_files(gallery: Gallery, drawn: str) -> None:
    save_picture(gallery.file(new_id(1)), encode_png(Pillow.new("RGB", (8, 8)), replace(recipe("x"), created_at=drawn)))
    os.utime(gallery.file(new_id(1)), (1_000, 1_000))
    asyncio.run(gallery.reconcile())
    assert gallery.get(new_id(1)).created_at == timestamp(1_000)
