"""The one address that takes pictures, and files made to hurt whoever opens them: no pixel is ever decoded."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable

import psutil
import pytest
from PIL import Image

from tests.images.pictures import chunk
from tests.server.conftest import LiveServer

MIB = 1 << 20


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pixel_bomb() -> bytes:
    """13 000 by 13 000 pixels in half a megabyte."""
    return png(13_000, 13_000, pixels=zlib.compress(bytes(13_000 * 3 + 1) * 1_000, 9))


def text_bomb() -> bytes:
    return png(1, 1, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(200 * MIB), 9)))


def animation() -> bytes:
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 10, 0, 0))
    return png(1, 1, chunk(b"acTL", struct.pack(">II", 10_000, 0)), *[frame] * 10_000)


def saved(mode: str, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (64, 64)).save(buffer, form, **options)
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "pixel bomb": pixel_bomb,
    "text bomb": text_bomb,
    "ten thousand frames": animation,
    "truncated": lambda: saved("RGB", "PNG")[:-30],
    "a page": lambda: b"<html><script>alert(1)</script></html>",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "GIF and JavaScript at once": lambda: b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)",
    "a picture and a page at once": lambda: saved("RGB", "PNG") + b"<script>alert(1)</script>",
    "one by sixty thousand": lambda: png(1, 60_000, pixels=zlib.compress(bytes(4 * 60_000))),
    "four inks": lambda: saved("CMYK", "JPEG"),
    "sixteen bits": lambda: png(2, 2, depth=16, pixels=zlib.compress(bytes(2 * 13))),
    "a profile of colours that is a bomb": lambda: saved("RGB", "PNG", icc_profile=bytes(40 * MIB)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(shared: LiveServer, name: str) -> None:
    body = {"image": base64.b64encode(HOSTILE[name]()).decode()}
    before = psutil.Process().memory_info().rss
    response = shared.client.post("/sdapi/v1/png-info", json=body)
    assert response.status_code in (200, 422)
    assert "alert" not in response.text
    assert psutil.Process().memory_info().rss - before < 64 * MIB
    if response.status_code == 200:  # a whole file that says nothing of how it was made
        assert response.json() == {"info": "", "items": {}, "parameters": {}}


@pytest.mark.slow
def test_no_other_address_takes_a_picture(shared: LiveServer) -> None:
    """Forms are read where pictures go in, and nowhere else."""
    file = {"image": ("x.png", saved("RGB", "PNG"), "image/png")}
    for path in ("/upload", "/images", "/v1/images", "/sdapi/v1/interrogate"):
        assert shared.client.post(path, files=file).status_code in (404, 405)
    for path in ("/jobs", "/generate", "/v1/images/generations", "/sdapi/v1/png-info", "/sdapi/v1/txt2img"):
        assert shared.client.post(path, files=file, data={"prompt": "x"}).status_code in (400, 422)
