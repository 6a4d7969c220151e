"""Codes of pictures: their layout, and what is refused before anything is made of them."""

from __future__ import annotations

import base64
import random

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.bitcode import MAX_CHARS, QR_CHARS, BitCode, found_code

MODEL = b"\x01\x02\x03"


def code(width: int = 256, height: int = 256, channels: int = 16, seed: int = 0) -> BitCode:
    size = (width // 8) * (height // 8) * channels // 8
    return BitCode(MODEL, width, height, random.Random(seed).randbytes(size))


def texted(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def test_a_picture_of_256_pixels_has_2056_bytes_and_fits_into_one_qr_code() -> None:
    made = code()
    data = made.as_bytes()
    assert len(data) == 2_056
    assert data[:8] == b"BB1\x01\x02\x03\x10\x10"
    assert len(made.as_text()) == 2_742 <= QR_CHARS
    assert BitCode.of_bytes(data) == made
    assert made.channels == 16


@pytest.mark.parametrize("channels", [2, 8, 16, 32])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (64, 80), (2048, 64)])
def test_there_and_back(width: int, height: int, channels: int) -> None:
    made = code(width, height, channels)
    assert BitCode.of_text(made.as_text()) == made
    assert made.channels == channels


def test_breaks_spaces_and_padding_in_a_text_do_not_count() -> None:
    made = code(64, 64, 8)
    text = made.as_text()
    broken = "\n".join(text[i : i + 40] for i in range(0, len(text), 40))
    assert BitCode.of_text(f"  {broken}\r\n") == made
    assert BitCode.of_text(texted(made.as_bytes())) == made  # with padding


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "other characters"),
        ("a b!c", "other characters"),
        ("QkIx=AAA", "other characters"),
        ("QkIxA", "other characters"),  # no whole number of bytes
        ("QkI", "does not begin as one"),
        (texted(b"BB2" + code().as_bytes()[3:]), "does not begin as one"),
        (texted(b"BB1abc\x10"), "is cut off"),
        (texted(b"BB1abc\x00\x10" + bytes(2_048)), "of a picture of 0x256"),
        (texted(b"BB1abc\x10\xff" + bytes(2_048)), "of a picture of 256x4080"),
        (texted(b"BB1abc\x10\x10"), "characters long, which no picture of 256x256 is"),
        (texted(b"BB1abc\x10\x10" + bytes(2_047)), "characters long, which no picture of 256x256 is"),
        (texted(b"BB1abc\x10\x10" + bytes(33 * 128)), "characters long, which no picture of 256x256 is"),
        (texted(b"BB1abc\x80\x80" + bytes(100)), "characters long, which no picture of 2048x2048 is"),
        ("A" * (2 * MAX_CHARS + 1), "at most"),
    ],
)
def test_what_is_no_code_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refusal:
        BitCode.of_text(text)
    assert refusal.value.field == "code"
    assert found_code(text) is None


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(RequestError, match="2,055 bytes long, which no picture of 256x256 is"):
        BitCode.of_bytes(code().as_bytes()[:-1])


def test_nothing_is_decoded_of_a_code_whose_header_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode = base64.urlsafe_b64decode

    def watched(text: str) -> bytes:
        sizes.append(len(text))
        return decode(text)

    monkeypatch.setattr(base64, "urlsafe_b64decode", watched)
    with pytest.raises(RequestError):
        BitCode.of_text(texted(b"BB1abc\x10\x10" + bytes(200_000)))
    assert sizes == [12]


def test_distances_are_of_pictures_that_can_be_compared() -> None:
    one = code()
    flipped = BitCode(one.model, one.width, one.height, bytes((one.bits[0] ^ 0b101, *one.bits[1:])))
    assert one.distance(one) == 0
    assert one.distance(flipped) == flipped.distance(one) == 2
    assert one.distance(BitCode(b"abc", one.width, one.height, one.bits)) is None
    assert one.distance(code(512, 128)) is None
    assert one.distance(code(channels=8)) is None


def test_a_found_code_is_whole_or_none() -> None:
    assert found_code(code().as_text()) == code()
    assert found_code(None) is None
    assert found_code("") is None
