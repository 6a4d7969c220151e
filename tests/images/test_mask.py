"""The mask that a picture's own file carries."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from bonsai_mlx.images.mask import CHUNK, mask_chunk, read_mask
from bonsai_mlx.images.scan import MAX_FILE_BYTES, PNG_SIGNATURE
from tests.images.pictures import chunk


def png_of(*chunks: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def test_a_mask_comes_back_as_it_went_in(tmp_path: Path) -> None:
    mask = Image.effect_noise((20, 10), 90)
    path = tmp_path / "picture.png"
    path.write_bytes(png_of(mask_chunk(mask)))
    for source in (path, path.read_bytes()):
        found = read_mask(source)
        assert found is not None
        assert found.tobytes() == mask.tobytes()
    assert read_mask(png_of()) is None


@pytest.mark.parametrize("data", [b"", b"no picture", PNG_SIGNATURE])
def test_a_mask_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="the mask in the file cannot be read"):
        read_mask(png_of(chunk(CHUNK, data)))


def test_a_mask_that_would_fill_the_memory_is_refused() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 0, 0, 0, 0))
    bomb = PNG_SIGNATURE + header + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="the mask in the file cannot be read"):
        read_mask(png_of(chunk(CHUNK, bomb)))
    with pytest.raises(ValueError, match="larger than 16 MiB"):
        read_mask(png_of(chunk(CHUNK, bytes((16 << 20) + 1))))


def test_a_file_larger_than_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        read_mask(path)
