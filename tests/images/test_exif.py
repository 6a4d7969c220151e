"""EXIF blocks as generators and cameras write them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.images.exif import EXIF_COMMENT, EXIF_DESCRIPTION, EXIF_SOFTWARE, comment_block, decode_text, exif_texts


def block(entries: dict[int, bytes], order: str = ">") -> bytes:
    """A table with these values, each as undefined bytes."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    start = 8 + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for tag, value in entries.items():
        padded = value + b"\0" * (5 - len(value)) if len(value) < 5 else value
        table += struct.pack(order + "HHII", tag, 7, len(padded), start + len(values))
        values += padded
    return mark + struct.pack(order + "I", 8) + table + bytes(4) + values


@given(st.text(alphabet=st.characters(max_codepoint=0xFF, exclude_characters="\0"), max_size=200))
def test_our_own_comment_comes_back(text: str) -> None:
    assert exif_texts(comment_block(text)).get(EXIF_COMMENT, "") == text


def test_our_own_comment_in_any_script() -> None:
    text = "a fox, \u72d0\u72f8 \U0001f98a\nSteps: 4, Seed: 7"
    assert exif_texts(comment_block(text))[EXIF_COMMENT] == text


COMMENTS = [
    (b"UNICODE\0" + "a fox \u72d0".encode("utf-16-be"), "a fox \u72d0"),
    (b"UNICODE\0" + "a fox \u72d0".encode("utf-16-le"), "a fox \u72d0"),
    (b"UNICODE\0\xff\xfe" + "a fox".encode("utf-16-le"), "a fox"),
    (b"UNICODE\0" + b"a fox, in UTF-8 by mistake", "a fox, in UTF-8 by mistake"),
    (b"ASCII\0\0\0a fox", "a fox"),
    (b"ASCII\0\0\0" + "na\u00efve".encode(), "na\u00efve"),
    (bytes(8) + b"a fox", "a fox"),
    (b"a fox without a name before it", "a fox without a name before it"),
]


@pytest.mark.parametrize(("value", "text"), COMMENTS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_comments_in_every_encoding(order: str, value: bytes, text: str) -> None:
    assert exif_texts(block({0x9286: value}, order))[EXIF_COMMENT] == text


def test_what_cameras_say_is_no_setting() -> None:
    camera = block({0x010E: b"A day at the sea", 0x0131: b"Camera 1.0", 0x010F: b"Maker", 0x0110: b"Model: X"})
    assert exif_texts(camera) == {}


def test_what_generators_say_is() -> None:
    found = exif_texts(block({0x010E: b'{"prompt": 1}', 0x0131: b"Fooocus v2", 0x010F: b'prompt:{"1": {}}'}))
    assert found == {EXIF_DESCRIPTION: '{"prompt": 1}', EXIF_SOFTWARE: "Fooocus v2", "prompt": '{"1": {}}'}


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_read_or_left_out(data: bytes) -> None:
    for head in (b"", b"II*\0", b"MM\0*\0\0\0\x08"):
        assert all(isinstance(text, str) for text in exif_texts(head + data).values())


def test_latin_where_it_is_no_utf8() -> None:
    assert decode_text("na\u00efve".encode("latin-1")) == "na\u00efve"
