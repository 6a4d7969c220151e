"""Pictures are decoded in a child with bounds, which is replaced when it is lost; the server never sees a pixel."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bonsai_mlx.errors import PictureError
from bonsai_mlx.fileio import NotARegularFileError
from server.errors import ApiError
from server.gallery import decoder_child
from server.gallery.convert import MAX_PIXELS, Convert, Normalise, Operation, Thumbnail
from server.gallery.decoder import Decoder
from tests.hostile_pictures import pixel_bomb, plain_png
from tests.server.conftest import ROOT, eventually


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    made.close()


def decode(decoder: Decoder, source: Path | bytes, operation: Operation) -> bytes:
    return asyncio.run(decoder.decode(source, operation))


def refused(decoder: Decoder, source: Path | bytes, operation: Operation) -> PictureError:
    with pytest.raises(PictureError) as error:
        decode(decoder, source, operation)
    return error.value


def test_a_file_and_its_bytes_give_the_same(decoder: Decoder, tmp_path: Path) -> None:
    png = plain_png(800, 400)
    path = tmp_path / "wide.png"
    path.write_bytes(png)
    assert decode(decoder, path, Thumbnail()) == decode(decoder, png, Thumbnail())
    with Image.open(io.BytesIO(decode(decoder, png, Thumbnail(100)))) as small:
        assert (small.format, small.size) == ("WEBP", (100, 50))


def test_one_child_serves_every_request(decoder: Decoder) -> None:
    async def many() -> list[bytes]:
        return await asyncio.gather(*(decoder.decode(plain_png(8, n), Thumbnail()) for n in range(1, 41)))

    decode(decoder, plain_png(8, 8), Thumbnail())
    first = decoder.pid
    results = asyncio.run(many())
    assert decoder.pid == first
    sizes = [Image.open(io.BytesIO(data)).size for data in results]
    assert sizes == [(8, n) for n in range(1, 41)]


@pytest.mark.slow
def test_a_bomb_stays_folded(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(pixel_bomb())
    for operation in (Thumbnail(), Convert("jpeg"), Normalise()):
        error = refused(decoder, path, operation)
        assert (error.reason, "13300x13300" in str(error)) == ("too_many_pixels", True)
    assert decoder.pid is not None
    assert psutil.Process(decoder.pid).memory_info().rss < 100 << 20


@pytest.mark.slow
def test_the_largest_picture_that_is_decoded_fits_into_the_childs_memory(decoder: Decoder) -> None:
    png = plain_png(8_192, MAX_PIXELS // 8_192, colour_type=6)
    for operation in (Thumbnail(), Convert("webp"), Convert("jpeg")):  # one that goes in: test_inputs adds it
        assert decode(decoder, png, operation)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg/>",
        b"GIF89a" + bytes(20),
        b"\x89PNG\r\n\x1a\nbroken",
        plain_png(64, 64)[:-30],
        b"RIFF\0\0\0\0WEBPVP8 ",
    ],
)
def test_what_is_no_picture_is_told_as_such(decoder: Decoder, data: bytes) -> None:
    assert str(refused(decoder, data, Normalise())) == "the file is no whole PNG, JPEG or WebP picture"


def test_files_that_are_none_are_not_waited_for(decoder: Decoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(NotARegularFileError):
        decode(decoder, tmp_path / "pipe.png", Thumbnail())
    with pytest.raises(FileNotFoundError):
        decode(decoder, tmp_path / "absent.png", Thumbnail())
    (tmp_path / "link.png").symlink_to("absent.png")
    with pytest.raises(OSError, match="link"):
        decode(decoder, tmp_path / "link.png", Thumbnail())


def test_a_file_larger_than_is_read(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(plain_png(8, 8))
    os.truncate(path, decoder_child.MAX_FILE_BYTES + 1)
    assert str(refused(decoder, path, Thumbnail())) == "the file is larger than 64 MiB"


def test_a_child_that_is_lost_is_replaced(decoder: Decoder) -> None:
    decode(decoder, plain_png(8, 8), Thumbnail())
    first = decoder.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert refused(decoder, plain_png(8, 8), Thumbnail()).reason == "crashed"
    assert decode(decoder, plain_png(8, 8), Thumbnail())
    assert decoder.pid != first


@pytest.mark.slow
def test_a_picture_that_takes_too_long_is_given_up_and_not_tried_again(tmp_path: Path) -> None:
    decoder = Decoder(processor_s=0.2)
    path = tmp_path / "slow.png"
    path.write_bytes(plain_png(6_000, 6_000))
    try:
        assert refused(decoder, path, Convert("webp")).reason == "too_slow"
        assert refused(decoder, path, Convert("webp")).reason == "too_slow"
        assert decoder.pid is None, "nobody was asked the second time"
        path.write_bytes(plain_png(8, 8))
        assert decode(decoder, path, Convert("webp"))
    finally:
        decoder.close()


@pytest.mark.slow
def test_an_idle_child_ends_and_is_not_missed() -> None:
    decoder = Decoder(idle_s=0.1)
    try:
        decode(decoder, plain_png(8, 8), Thumbnail())
        assert decoder.pid is not None
        child = psutil.Process(decoder.pid)
        eventually(lambda: child.status() == psutil.STATUS_ZOMBIE)
        assert decode(decoder, plain_png(8, 8), Thumbnail())
    finally:
        decoder.close()


@pytest.mark.slow
def test_closing_ends_the_child_and_whoever_waits() -> None:
    closed = Decoder()

    async def close_meanwhile() -> list[bytes | BaseException]:
        waiting = [asyncio.create_task(closed.decode(plain_png(6_000, 6_000), Convert("webp"))) for _ in range(3)]
        await asyncio.to_thread(eventually, lambda: closed.pid)
        await asyncio.to_thread(closed.close)
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(close_meanwhile())
    assert [getattr(answer, "status", None) for answer in answers] == [503, 503, 503]
    with pytest.raises(ApiError, match="shutting down"):
        decode(closed, plain_png(8, 8), Thumbnail())
    assert closed.pid is None or not psutil.pid_exists(closed.pid)


def test_the_child_writes_no_file_and_has_bounded_memory(tmp_path: Path) -> None:
    code = (
        "import resource; from server.gallery import decoder_child as child; child._prepare()\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0], resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split()[0] == "0"
    if sys.platform == "linux":
        assert int(found.stdout.split()[1]) == decoder_child.MAX_MEMORY_BYTES


def test_the_childs_imports_are_few() -> None:
    code = "import sys, server.gallery.decoder_child, server.gallery.inspection, PIL.Image; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in found.stdout.split()}
    assert loaded.isdisjoint({"numpy", "mlx", "fastapi", "pydantic", "uvicorn", "huggingface_hub"})
