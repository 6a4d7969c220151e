"""Every kind of file that a person may drop on the page: the right pixels, or a sentence that says what is wrong."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from bonsai_mlx.editing.normalise import given_mask, mask_of, normalised
from bonsai_mlx.errors import PictureError

RGB = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 90, 200], [255, 255, 255], [0, 0, 0]]], np.uint8)
PICTURE = Image.fromarray(RGB)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(source: Any) -> np.ndarray[Any, Any]:
    found = normalised(source).picture
    assert found.mode == "RGB"
    return np.asarray(found)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def big_endian(values: list[int]) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "JPEG"])
def test_formats(kind: str) -> None:
    large = PICTURE.resize((96, 64), Image.Resampling.NEAREST)
    exact = kind in ("PNG", "WEBP")
    options: dict[str, Any] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    far = np.abs(pixels(file_of(large, kind, **options)).astype(int) - np.asarray(large).astype(int))
    assert far.max() == 0 if exact else np.median(far) <= 3


def test_sixteen_bits_of_grey_keep_their_tone() -> None:
    data = png(3, 1, 16, 0, b"\0" + big_endian([0, 0x8080, 0xFFFF]))
    assert pixels(data)[0, :, 0].tolist() == [0, 128, 255]


def test_sixteen_bits_of_colour() -> None:
    data = png(2, 1, 16, 2, b"\0" + big_endian([0xFFFF, 0, 0x4040, 0, 0xFFFF, 0]))
    assert pixels(data)[0].tolist() == [[255, 0, 64], [0, 255, 0]]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_modes(mode: str) -> None:
    flat = Image.new("RGB", (4, 4), (255, 255, 255))
    assert (pixels(flat.convert(mode)) == 255).all()
    assert (pixels(Image.new("RGB", (4, 4)).convert(mode)) <= 1).all()


def test_a_palette_with_transparency_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    data = file_of(image, transparency=1)
    assert pixels(data)[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    alpha = normalised(data).alpha
    assert alpha is not None
    assert np.asarray(alpha)[0].tolist() == [255, 0]


def test_half_transparent_is_mixed_with_white() -> None:
    image = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert abs(int(pixels(file_of(image))[0, 0, 0]) - 127) <= 1


def test_an_opaque_alpha_is_none() -> None:
    assert normalised(file_of(PICTURE.convert("RGBA"))).alpha is None


def test_print_colours() -> None:
    """As a JPEG file of four inks, which Adobe's programs write the other way round."""
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = pixels(file_of(red, "JPEG", quality=100))[8, 8].astype(int)
    assert found[0] > 220
    assert max(found[1:]) < 40


TURNED: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_a_photo_stands_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pixels(file_of(PICTURE, exif=exif)), np.asarray(TURNED[orientation](PICTURE)))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pixels(file_of(PICTURE, exif=exif)), RGB)


def test_exif_that_cannot_be_read_turns_nothing() -> None:
    data = file_of(PICTURE)
    assert np.array_equal(pixels(data[:33] + chunk(b"eXIf", b"II*\0\xff\xff\xff\xff") + data[33:]), RGB)


def test_colours_of_another_space_become_those_of_a_screen() -> None:
    """A picture in Lab, whose profile every Pillow has: its greys and its red are known."""
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    there = ImageCms.profileToProfile(Image.new("RGB", (4, 4), (200, 30, 30)), srgb, lab, outputMode="LAB")
    assert there is not None
    back = ImageCms.profileToProfile(there, lab, srgb, outputMode="RGB")
    assert back is not None
    assert np.abs(np.asarray(back)[0, 0].astype(int) - (200, 30, 30)).max() <= 2


def test_a_profile_of_screens_or_none_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(pixels(file_of(PICTURE, icc_profile=srgb)), RGB)
    assert np.array_equal(pixels(file_of(PICTURE, icc_profile=b"no profile")), RGB)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    data = file_of(first, kind, save_all=True, append_images=[second], duration=100, lossless=True)
    assert pixels(data)[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    assert normalised(file_of(Image.new("RGB", size))).picture.size == size


def test_what_the_name_says_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(file_of(PICTURE))
    assert np.array_equal(pixels(path), RGB)
    assert np.array_equal(pixels(str(path)), RGB)


WHOLE = file_of(Image.fromarray(np.random.default_rng(0).integers(0, 99, (64, 64), dtype=np.uint8)))
BAD: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "unreadable", "no PNG, JPEG, WebP"),
    "text": (b"hello, world" * 9, "unreadable", "no PNG, JPEG, WebP"),
    "an animated GIF": (file_of(PICTURE, "GIF"), "unreadable", "no PNG, JPEG, WebP"),
    "a TIFF": (file_of(PICTURE, "TIFF"), "unreadable", "no PNG, JPEG, WebP"),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable", "no PNG, JPEG, WebP"),
    "half a PNG": (WHOLE[: len(WHOLE) // 2], "unreadable", "damaged"),
    "half a JPEG": (file_of(PICTURE.resize((90, 60)), "JPEG")[:700], "unreadable", "damaged"),
    "bad pixels": (WHOLE[:200] + bytes(200) + WHOLE[400:], "unreadable", "damaged"),
    "a bomb": (png(100_000, 100_000, 8, 0, b""), "too_many_pixels", "40 million pixels"),
    "too large": (png(8_000, 6_000, 8, 0, b""), "too_many_pixels", "40 million pixels"),
    "no rows": (png(64, 64, 8, 0, b""), "unreadable", "damaged"),
    "no width": (png(0, 64, 8, 0, b""), "unreadable", "no PNG, JPEG, WebP"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("read", [normalised, mask_of])
def test_what_is_no_picture_is_told(name: str, read: Callable[[bytes], Any]) -> None:
    data, reason, words = BAD[name]
    with pytest.raises(PictureError, match=words) as caught:
        read(data)
    assert caught.value.reason == reason


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such file"):
        normalised(tmp_path / "none.png")
    with pytest.raises(PictureError, match="not fetched from addresses"):
        normalised(Path("https://example.com/a.png"))
    for name in ("a\0b.png", "long" * 100):
        with pytest.raises(PictureError, match=r"no such file|cannot be opened"):
            normalised(tmp_path / name)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    PICTURE.save(tmp_path / "real.png")
    for path, words in (
        (tmp_path, "it is a folder, not a file"),
        (tmp_path / "pipe.png", "it is a pipe, not a file"),
        (Path(os.devnull), "it is a device, not a file"),
        (tmp_path / "circle.png", "cannot be opened"),
    ):
        with pytest.raises(PictureError, match=words):
            normalised(path)
    assert normalised(tmp_path / "link.png").picture.tobytes() == normalised(tmp_path / "real.png").picture.tobytes()


def test_what_phones_write_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is there, its pictures are read; here it is told by name what can be read."""
    registered = []

    class Package:
        @staticmethod
        def register_heif_opener() -> None:
            registered.append(True)
            monkeypatch.setitem(Image.OPEN, "HEIF", (Image.Image, lambda _prefix: False))

    monkeypatch.setitem(sys.modules, "pillow_heif", Package)
    with pytest.raises(PictureError, match="HEIC"):
        normalised(b"no picture")
    assert registered == [True]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match="AVIF picture"):
        normalised(b"no picture")


# Masks


def test_white_is_repainted() -> None:
    mask = mask_of(file_of(Image.fromarray(np.array([[0, 128, 255]], np.uint8))))
    assert mask.mode == "L"
    assert np.asarray(mask)[0].tolist() == [0, 128, 255]


def test_where_a_mask_is_transparent_that_is_repainted() -> None:
    image = Image.fromarray(np.array([[[255, 255, 255, 255], [0, 0, 0, 0], [9, 9, 9, 55]]], np.uint8))
    assert np.asarray(mask_of(file_of(image)))[0].tolist() == [0, 255, 200]


def test_what_somebody_calls_a_mask_has_to_be_one() -> None:
    """Black and white, grey, saved as JPEG, or transparent somewhere; a picture in colours is another file."""
    rng = np.random.default_rng(3)
    shape = np.zeros((64, 64), np.uint8)
    shape[16:40, 16:40] = 255
    grey = Image.fromarray(np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8))
    colours = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    jpeg = io.BytesIO()
    Image.fromarray(shape).convert("RGB").save(jpeg, "JPEG", quality=60)
    cut = colours.convert("RGBA")
    cut.paste((0, 0, 0, 0), (8, 8, 24, 24))
    for fit in (Image.fromarray(shape), Image.fromarray(shape).convert("RGB"), grey, cut, jpeg.getvalue()):
        source = fit if isinstance(fit, bytes) else file_of(fit)
        assert (np.asarray(given_mask(source)) == np.asarray(mask_of(source))).all()
    for unfit in (colours, Image.new("RGB", (64, 64), (200, 40, 40))):
        with pytest.raises(PictureError, match="a picture in colours; a mask is black and white") as found:
            given_mask(file_of(unfit))
        assert found.value.reason == "no_mask"
