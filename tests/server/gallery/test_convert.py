"""What is made of pictures: upright, opaque or not, with the metadata that each format can hold."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.images.metadata import encode_png, read
from server.gallery.convert import Convert, Enlarge, Format, Inspect, Normalise, Operation, Thumbnail, perform
from tests.recipes import a_recipe

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def done(data: bytes, operation: Operation) -> Image.Image:
    picture = Image.open(io.BytesIO(perform(io.BytesIO(data), operation)))
    picture.load()
    return picture


def lying() -> Image.Exif:
    """Orientation 6: to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK", "YCbCr"])
def test_every_mode_is_understood(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    data = encoded(Image.new("RGB", (64, 32), WHITE).convert(mode if mode != "I;16" else "L").convert(mode), kind)
    for operation in (Thumbnail(32), Convert("jpeg"), Normalise(64)):
        small = done(data, operation).convert("RGB")
        assert small.size == ((32, 16) if isinstance(operation, Thumbnail) else (64, 32))
        assert min(small.getpixel((5, 5))) > 250, (mode, operation)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_that_lie_on_their_side_are_turned(kind: str) -> None:
    picture = Image.new("RGB", (64, 32), WHITE)
    picture.paste(RED, (0, 0, 32, 32))
    data = encoded(picture, kind, exif=lying())
    for operation in (Thumbnail(64), Normalise(), Convert("png")):
        turned = done(data, operation).convert("RGB")
        assert turned.size == (32, 64)
        assert turned.getpixel((16, 8))[1] < 60, "what was left is on top"  # type: ignore[index]
        assert turned.getexif().get(0x0112, 1) == 1
    found = json.loads(perform(io.BytesIO(data), Inspect()))
    assert (found["format"], found["width"], found["height"]) == (kind.lower(), 32, 64)


def test_transparency_is_kept_in_thumbnails_and_white_elsewhere() -> None:
    data = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    assert done(data, Thumbnail()).getpixel((4, 4))[3] == 0  # type: ignore[index]
    for operation in (Normalise(), Convert("jpeg"), Convert("webp"), Convert("png")):
        assert min(done(data, operation).convert("RGB").getpixel((4, 4))) > 250  # type: ignore[arg-type]


def test_normalising_leaves_pixels_and_nothing_else() -> None:
    data = encode_png(Image.new("RGB", (64, 32), RED), a_recipe())
    plain = perform(io.BytesIO(data), Normalise(48))
    assert read(plain) is None
    with Image.open(io.BytesIO(plain)) as picture:
        assert (picture.format, picture.mode, picture.size, picture.info) == ("PNG", "RGB", (48, 24), {})


def test_a_thumbnail_leaves_the_picture_as_it_is() -> None:
    from bonsai_mlx.images.thumbnail import thumbnail_webp

    picture = Image.new("RGB", (800, 400), RED)
    thumbnail_webp(picture)
    assert picture.size == (800, 400)


def test_previews_are_drawn_large() -> None:
    large = done(encoded(Image.new("RGB", (8, 8), RED)), Enlarge(64, 32, "webp"))
    assert (large.format, large.size) == ("WEBP", (64, 32))


@pytest.mark.parametrize("to", ["jpeg", "webp"])
@pytest.mark.parametrize("prompt", ["a red fox", "\u72d0" * 32_000, "\U0001f98a" * 32_000, "x" * 32_000, "\ud83e half"])
def test_converting_keeps_the_recipe_whatever_the_prompts_length(to: Format, prompt: str) -> None:
    """A JPEG has 64 KiB for them: 500 "EXIF data is too long" was the answer to a picture that had been drawn."""
    data = encode_png(Image.new("RGB", (64, 32)), a_recipe(prompt=prompt))
    converted = perform(io.BytesIO(data), Convert(to))
    found = read(converted)
    assert found is not None
    assert found.recipe == a_recipe(prompt=prompt)
    again = read(perform(io.BytesIO(converted), Convert("png")))
    assert again is not None
    assert again.recipe == found.recipe
    with Image.open(io.BytesIO(converted)) as picture:  # what other programs read
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert b"Steps: 4" in comment.replace(b"\0", b"")
    assert read(perform(io.BytesIO(data), Convert(to, metadata="none"))) is None
