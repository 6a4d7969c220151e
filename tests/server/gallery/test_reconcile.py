"""The index and the files agree: made anew, entered, dropped, whatever lies in the folder."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from bonsai_mlx.images.metadata import encode_png, save_picture
from server.errors import ApiError
from server.gallery.gallery import Gallery
from server.store import NAME, timestamp
from tests.server.gallery.conftest import Parts, add, ids, new_id, recipe


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
