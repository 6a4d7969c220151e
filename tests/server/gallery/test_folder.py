"""Pictures belong to the gallery by what they are: renamed, copied in, drawn by the command line, in three formats."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.images.metadata import encode_png, save_picture
from server.gallery.decoder import Decoder
from server.gallery.folder import scan
from server.schemas.images import Image as Entry
from tests.recipes import a_recipe
from tests.server.conftest import LiveServer, eventually
from tests.server.gallery.test_gallery import Parts, add, new_id

DECODER = Decoder()
PICTURE = Image.new("RGB", (64, 32), (200, 30, 30))


@pytest.fixture(autouse=True, scope="module")
def _end_decoder() -> Iterator[None]:
    yield
    DECODER.close()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path, DECODER)
    yield made
    made.store.close()


def encoded(kind: str, colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32), (colour, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def named(parts: Parts) -> dict[str | None, Entry]:
    """What the gallery shows, by the files' own names."""
    return {image.name: image for image in asyncio.run(parts.gallery.page()).images}


CONTENTS: dict[str, bytes] = {
    "from the command line.png": encode_png(PICTURE, a_recipe(prompt="a fox")),
    "photo.JPG": encoded("JPEG"),
    "no suffix": encoded("WEBP"),
    "really a jpeg.png": encoded("JPEG", 100),
    "\u00e9t\u00e9 \u72d0 '\"<b>.webp": encoded("WEBP", 100),
}


def test_pictures_are_known_by_their_content(parts: Parts) -> None:
    for name, data in CONTENTS.items():
        (parts.gallery.folder / name).write_bytes(data)
    (parts.gallery.folder / "notes.png").write_text("not a picture")
    (parts.gallery.folder / ".hidden.png").write_bytes(encoded("PNG"))
    (parts.gallery.folder / "link.png").symlink_to("photo.JPG")
    (parts.gallery.folder / "folder.png").mkdir()
    os.mkfifo(parts.gallery.folder / "pipe.png")
    asyncio.run(parts.gallery.reconcile())
    found = named(parts)
    assert found.keys() == CONTENTS.keys()
    formats = [found[name].format for name in CONTENTS]
    assert formats == ["png", "jpeg", "webp", "jpeg", "webp"]
    assert found["from the command line.png"].prompt == "a fox"
    for name, data in CONTENTS.items():
        image = found[name]
        assert (image.width, image.height, image.bytes) == (64, 32, len(data))
        assert asyncio.run(parts.gallery.encoded(image.id, image.format)) == data
        assert asyncio.run(parts.gallery.thumbnail(image.id))
        assert Image.open(io.BytesIO(asyncio.run(parts.gallery.png(image.id)))).format == "PNG"


def test_ids_are_the_same_after_the_index_is_lost_and_in_another_folder(parts: Parts, tmp_path: Path) -> None:
    for name, data in CONTENTS.items():
        (parts.gallery.folder / name).write_bytes(data)
    asyncio.run(parts.gallery.reconcile())
    before = {name: image.id for name, image in named(parts).items()}
    asyncio.run(parts.gallery.rebuild())
    assert {name: image.id for name, image in named(parts).items()} == before
    other = tmp_path / "other"
    other.mkdir()
    for name in CONTENTS:
        shutil.copy(tmp_path / name, other / f"copy of {name}")
    assert {file.id for file in scan(other, {})} == set(before.values())


def test_a_renamed_picture_stays_the_same(parts: Parts) -> None:
    """Its address, its place among the favourites and the group that it was drawn in."""
    add(parts.gallery, new_id(1), "a fox", group=new_id(9), group_kind="batch")
    asyncio.run(parts.gallery.reconcile())
    parts.gallery.set_favourite(new_id(1), True)
    for name in ("fox.png", "a better name.png"):
        parts.gallery.file(new_id(1)).rename(parts.gallery.folder / name)
        asyncio.run(parts.gallery.reconcile())
        assert parts.gallery.get(new_id(1)).favourite
        assert parts.gallery.get(new_id(1)).group == new_id(9)
        assert parts.gallery.get(new_id(1)).name == name
        assert asyncio.run(parts.gallery.png(new_id(1)))
    assert list(named(parts)) == ["a better name.png"]


def test_a_picture_that_was_renamed_without_an_index_has_an_id_of_its_content(parts: Parts) -> None:
    save_picture(parts.gallery.folder / "fox.png", encode_png(PICTURE, a_recipe()))
    [file] = scan(parts.gallery.folder, {})
    (parts.gallery.folder / "fox.png").rename(parts.gallery.folder / "wolf.png")
    [again] = scan(parts.gallery.folder, {})
    assert again.id == file.id


def test_copies_are_pictures_of_their_own(parts: Parts) -> None:
    data = encode_png(PICTURE, a_recipe())
    for name in ("a.png", "b.png", f"{new_id(1)}.png", f"{new_id(1)}.jpg"):
        (parts.gallery.folder / name).write_bytes(data)
    asyncio.run(parts.gallery.reconcile())
    found = asyncio.run(parts.gallery.page()).images
    assert len({image.id for image in found}) == 4
    assert asyncio.run(parts.gallery.reconcile()) == 0
    first = next(image for image in found if image.name == "a.png")
    asyncio.run(parts.gallery.delete(first.id))
    assert not (parts.gallery.folder / "a.png").exists()
    assert (parts.gallery.folder / "b.png").exists()
    assert asyncio.run(parts.gallery.page()).total == 3


@pytest.mark.parametrize("name", ["photo.JPG", "no suffix", "\u00e9t\u00e9 \u72d0 '\"<b>.webp"])
def test_deleting_is_undone_under_the_files_own_name(parts: Parts, name: str) -> None:
    path = parts.gallery.folder / name
    path.write_bytes(CONTENTS[name])
    asyncio.run(parts.gallery.reconcile())
    image = named(parts)[name]
    asyncio.run(parts.gallery.delete(image.id))
    assert not path.exists()
    assert asyncio.run(parts.gallery.reconcile()) == 0
    assert named(parts) == {}
    asyncio.run(parts.gallery.restore(image.id))
    assert path.read_bytes() == CONTENTS[name]
    assert asyncio.run(parts.gallery.encoded(image.id, image.format)) == CONTENTS[name]
    assert asyncio.run(parts.gallery.reconcile()) == 0


def test_undoing_takes_nobodys_place(parts: Parts) -> None:
    path = parts.gallery.folder / "fox.png"
    path.write_bytes(encoded("PNG", 1))
    asyncio.run(parts.gallery.reconcile())
    [image] = named(parts).values()
    asyncio.run(parts.gallery.delete(image.id))
    path.write_bytes(encoded("PNG", 2))
    asyncio.run(parts.gallery.reconcile())
    asyncio.run(parts.gallery.restore(image.id))
    assert path.read_bytes() == encoded("PNG", 2)
    assert asyncio.run(parts.gallery.encoded(image.id, "png")) == encoded("PNG", 1)
    assert asyncio.run(parts.gallery.page()).total == 2


def test_a_deleted_picture_that_is_copied_in_again_is_there(parts: Parts) -> None:
    path = parts.gallery.folder / "fox.png"
    path.write_bytes(encoded("PNG"))
    asyncio.run(parts.gallery.reconcile())
    [image] = named(parts).values()
    asyncio.run(parts.gallery.delete(image.id))
    path.write_bytes(encoded("PNG"))
    asyncio.run(parts.gallery.reconcile())
    assert list(named(parts)) == ["fox.png"]
    asyncio.run(parts.gallery.delete(image.id))
    assert named(parts) == {}


def test_a_broken_file_is_told_once(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """It was "1 entered" at every start."""
    (parts.gallery.folder / f"{new_id(1)}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (parts.gallery.folder / "also broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert asyncio.run(parts.gallery.reconcile()) == 0
    assert caplog.text.count("left out") == 2
    for _ in range(2):
        assert asyncio.run(parts.gallery.reconcile()) == 0
    assert caplog.text.count("left out") == 2
    assert "entered" not in caplog.text
    (parts.gallery.folder / "also broken.jpg").write_bytes(encoded("JPEG"))
    assert asyncio.run(parts.gallery.reconcile()) == 1


@pytest.mark.slow
def test_a_file_that_is_still_being_copied_appears_when_it_is_whole(parts: Parts) -> None:
    data = encode_png(PICTURE, a_recipe())
    with (parts.gallery.folder / "fox.png").open("wb") as file:
        file.write(data[:100])
        file.flush()
        assert named(parts) == {}
        file.write(data[100:])
    eventually(lambda: list(named(parts)) == ["fox.png"])


def test_names_that_are_no_text_are_served(parts: Parts) -> None:
    path = os.fsencode(parts.gallery.folder) + b"/\xff\xfe fox.png"
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(encoded("PNG"))
    except OSError:
        pytest.skip("this volume wants names in UTF-8")
    asyncio.run(parts.gallery.reconcile())
    [image] = named(parts).values()
    assert asyncio.run(parts.gallery.png(image.id)) == encoded("PNG")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.slow
def test_pictures_appear_while_the_server_runs(live: LiveServer, output: Path) -> None:
    assert live.client.get("/images").json()["total"] == 0
    (output / "fox \u72d0.jpg").write_bytes(encoded("JPEG"))
    [image] = eventually(lambda: live.client.get("/images").json()["images"])
    assert (image["name"], image["url"]) == ("fox \u72d0.jpg", f"/images/{image['id']}.jpg")
    assert image["id"] in live.client.get("/gallery").text
    served = live.client.get(image["url"])
    assert (served.headers["content-type"], served.content) == ("image/jpeg", encoded("JPEG"))
    kept = live.client.get(image["url"], params={"download": 1}).headers["content-disposition"]
    assert kept.endswith("; filename*=UTF-8''fox%20%E7%8B%90.jpg")
    for suffix, kind in (("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG")):
        answer = live.client.get(f"/images/{image['id']}.{suffix}", params={"metadata": "none"})
        assert Image.open(io.BytesIO(answer.content)).format == kind
    assert live.client.get(image["url"], params={"metadata": "mark"}).status_code == 422
    assert live.client.get(image["thumbnail_url"]).headers["content-type"] == "image/webp"
    assert live.client.get(f"/i/{image['id']}").status_code == 200
    assert live.client.get(f"/v1/images/{image['id']}.png").headers["content-type"] == "image/png"
    (output / "fox \u72d0.jpg").unlink()
    eventually(lambda: live.client.get("/images").json()["total"] == 0)
    assert live.client.get(image["url"]).status_code == 404


@pytest.mark.slow
def test_pictures_made_elsewhere_are_found_at_the_start(serve: Callable[..., Any], output: Path) -> None:
    for name, data in CONTENTS.items():
        (output / name).write_bytes(data)
    live = serve()
    eventually(lambda: live.client.get("/images").json()["total"] == len(CONTENTS))
    job = live.finished(live.post_job("plain")["id"])
    assert live.client.get("/images").json()["images"][0]["id"] == job["image_id"]
