"""What is said of pictures that do not go in quite as they are."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.editing.enlarging import exactly
from bonsai_mlx.editing.normalise import normalised
from bonsai_mlx.editing.notes import LAID_ON_WHITE, UPPER_BITS, stretched
from bonsai_mlx.editing.pictures import PictureSet, digest_of
from tests.editing.test_normalise import big_endian, file_of, png

PHOTO = Image.effect_noise((24, 16), 90).convert("RGB")
CLEAR = PHOTO.convert("RGBA")
CLEAR.putalpha(Image.linear_gradient("L").resize((24, 16)))
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (24, 16), "red")]}
DEEP_GREY = png(3, 1, 16, 0, b"\0" + big_endian([0, 0x8080, 0xFFFF]))
DEEP_RGB = png(2, 1, 16, 2, b"\0" + big_endian([0xFFFF, 0, 0x4040, 0, 0xFFFF, 0]))
DEEP_RGBA = png(1, 1, 16, 6, b"\0" + big_endian([0xFFFF, 0, 0x4040, 0x8000]))


def palette_with_a_clear_colour() -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    return file_of(image, transparency=1)


FILES = {
    "a photo": (file_of(PHOTO), ()),
    "a JPEG": (file_of(PHOTO, "JPEG"), ()),
    "grey": (file_of(PHOTO.convert("L")), ()),
    "a palette": (file_of(PHOTO.quantize(8)), ()),
    "opaque RGBA": (file_of(PHOTO.convert("RGBA")), ()),
    "RGBA": (file_of(CLEAR), (LAID_ON_WHITE,)),
    "LA": (file_of(CLEAR.convert("LA")), (LAID_ON_WHITE,)),
    "P with a clear colour": (palette_with_a_clear_colour(), (LAID_ON_WHITE,)),
    "WebP": (file_of(CLEAR, "WEBP", lossless=True), (LAID_ON_WHITE,)),
    "16 bits of grey": (DEEP_GREY, (UPPER_BITS,)),
    "16 bits of colour": (DEEP_RGB, (UPPER_BITS,)),
    "16 bits and an alpha": (DEEP_RGBA, (UPPER_BITS, LAID_ON_WHITE)),
    "APNG": (file_of(PHOTO, "PNG", **FRAMES), ("of its 2 pictures the first is used",)),
    "animated WebP": (file_of(PHOTO, "WEBP", **FRAMES), ("of its 2 pictures the first is used",)),
    "a camera's JPEG": (file_of(PHOTO, "MPO", **FRAMES), ()),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_picture_loses_is_told(name: str) -> None:
    data, notes = FILES[name]
    assert normalised(data).notes == notes
    given = PictureSet()
    given.add("PICTURE", data)
    assert given.notes == [f"PICTURE: {note}" for note in notes]


@pytest.mark.parametrize("name", FILES)
def test_where_transparent_parts_stay_so_nothing_is_told_of_them(name: str) -> None:
    data, notes = FILES[name]
    given = PictureSet()
    digest = given.add("PICTURE", data, transparent=True)
    assert given.notes == [f"PICTURE: {note}" for note in notes if note != LAID_ON_WHITE]
    kept = given.by_digest[digest]
    with Image.open(io.BytesIO(data)) as image:
        wanted = image.convert("RGBA").getchannel("A") if LAID_ON_WHITE in notes else None
    assert (kept.mode == "RGBA") == (wanted is not None)
    if wanted is not None:
        assert kept.getchannel("A").tobytes() == wanted.tobytes()


def test_a_file_is_told_by_its_name(tmp_path: Any) -> None:
    path = tmp_path / "logo.png"
    CLEAR.save(path)
    given = PictureSet()
    given.add("--reference", path)
    assert given.notes == [f"{path}: {LAID_ON_WHITE}"]


def test_the_one_grey_of_sixteen_bits_that_is_clear() -> None:
    image = Image.fromarray(np.array([[0, 0x8080, 0xFFFF]], np.uint16))
    found = normalised(file_of(image, transparency=0x8080))
    assert found.alpha is not None
    assert np.asarray(found.alpha)[0].tolist() == [255, 0, 255]
    assert np.asarray(found.picture)[0, :, 0].tolist() == [0, 255, 255]


def test_an_exact_enlargement_has_the_opaque_parts_of_an_opaque_one() -> None:
    """Its colours are weighed by how much is seen of them: what nobody sees does not shine through at an edge."""
    half = CLEAR.copy()
    half.putalpha(255)
    half.paste((0, 255, 0, 0), (12, 0, 24, 16))
    larger = np.asarray(exactly(half, 4))
    opaque = np.asarray(exactly(PHOTO, 4))
    assert larger.shape == (64, 96, 4)
    assert (larger[:, :36, :3] == opaque[:, :36]).all()
    assert (larger[:, :36, 3] == 255).all()
    assert (larger[:, 60:, 3] == 0).all()
    edge = larger[larger[..., 3] > 32]
    assert edge[:, 1].mean() < 160, "no green comes from the clear part"


@pytest.mark.parametrize(
    ("mask", "picture", "is_told"),
    [
        ((96, 80), (96, 80), False),
        ((48, 40), (96, 80), False),
        ((192, 160), (96, 80), False),
        ((33, 50), (100, 150), False),  # a third, rounded
        ((1000, 333), (3000, 1000), False),
        ((333, 1000), (1000, 3000), False),
        ((1, 1), (3, 2), False),
        ((80, 96), (96, 80), True),
        ((96, 96), (96, 80), True),
        ((512, 512), (1024, 768), True),
        ((1000, 335), (3000, 1000), True),
        ((64, 8), (96, 80), True),
    ],
)
def test_a_mask_of_another_shape_is_told(mask: tuple[int, int], picture: tuple[int, int], is_told: bool) -> None:
    note = stretched(mask, picture)
    assert (note is not None) == is_told
    if note:
        assert f"({mask[0]}x{mask[1]} and {picture[0]}x{picture[1]})" in note


def test_a_whole_picture_has_a_digest_of_its_own() -> None:
    found = normalised(file_of(CLEAR))
    assert found.whole is not None
    assert digest_of(found.whole) != digest_of(found.picture)
    white = normalised(file_of(found.picture))
    assert digest_of(white.picture) == digest_of(found.picture)
