"""Texts are found in every container and chunk type, and hostile files neither raise oddly nor unfold."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonsai_mlx.images import scan
from bonsai_mlx.images.containers import itxt_chunk, png_chunks, replace_png_texts, text_chunk
from bonsai_mlx.images.exif import EXIF_COMMENT
from bonsai_mlx.images.scan import MAX_TEXT_BYTES, PNG_SIGNATURE, XMP, read_texts

from ..ending import must_end


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encoded(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((32, 16)).save(buffer, form, **options)
    return buffer.getvalue()


PNG = encoded("PNG")


def png_with(*chunks: bytes) -> bytes:
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def exif(comment: bytes) -> bytes:
    block = Image.Exif()
    block[0x010E] = "a description, so that the table has more than one entry"
    block.get_ifd(0x8769)[0x9286] = comment
    return block.tobytes()


# PNG


@pytest.mark.parametrize("text", ["a fox", "café £", "狐 🦊", "line\nline", "x" * 1000])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_png_texts_as_pillow_writes_them(text: str, compressed: bool, international: bool) -> None:
    info = PngInfo()
    add = info.add_itxt if international else info.add_text
    add("parameters", text, zip=compressed)
    assert read_texts(encoded("PNG", pnginfo=info)) == {"parameters": text}


@pytest.mark.parametrize("text", ["a fox", "café £\nnew line", "狐 🦊", "half \ud83e a pair", "NUL \0 inside"])
def test_pillow_reads_the_texts_we_write(text: str) -> None:
    png = png_with(text_chunk("parameters", text), itxt_chunk(XMP, "é".encode()))
    image = Image.open(io.BytesIO(png))
    image.load()
    plain = text.replace("\0", "").replace("\ud83e", "?")
    assert image.text == {"parameters": plain, XMP: "é"}  # type: ignore[attr-defined]
    assert read_texts(png) == {"parameters": plain, XMP: "é"}


def test_latin_1_goes_to_text_and_the_rest_to_itxt() -> None:
    assert text_chunk("parameters", "café")[4:8] == b"tEXt"
    assert text_chunk("parameters", "狐")[4:8] == b"iTXt"


def test_texts_after_the_pixels_count_and_the_first_of_a_keyword_wins() -> None:
    end = chunk(b"IEND", b"")
    png = png_with(text_chunk("prompt", "first")).removesuffix(end)
    assert read_texts(png + text_chunk("prompt", "second") + text_chunk("bonsai", "{}") + end) == {
        "prompt": "first",
        "bonsai": "{}",
    }


def test_unknown_keywords_are_not_read() -> None:
    assert read_texts(png_with(text_chunk("Software", "x"), text_chunk("workflow", "{}"))) == {}


def test_replacing_texts_keeps_the_pixels_byte_for_byte() -> None:
    info = PngInfo()
    info.add_text("parameters", "secret")
    info.add_itxt("Comment", "secret", zip=True)
    exif_block = exif(b"ASCII\0\0\0secret")
    source = encoded("PNG", pnginfo=info, exif=exif_block, dpi=(72, 72), icc_profile=b"profile")
    source += b"secret trailing bytes"
    result = replace_png_texts(source, [text_chunk("prompt", "new")])

    def kinds(png: bytes) -> list[bytes]:
        return [c.kind for c in png_chunks(png)]

    def pixel_data(png: bytes) -> list[bytes]:
        return [bytes(c.raw) for c in png_chunks(png) if c.kind in (b"IDAT", b"IHDR", b"pHYs", b"iCCP")]

    assert {b"tEXt", b"iTXt", b"eXIf"} < set(kinds(source))
    assert kinds(result) == [b"IHDR", b"tEXt", b"iCCP", b"pHYs", b"IDAT", b"IEND"]
    assert pixel_data(result) == pixel_data(source)
    assert b"secret" not in result
    assert read_texts(result) == {"prompt": "new"}
    assert Image.open(io.BytesIO(result)).tobytes() == Image.open(io.BytesIO(source)).tobytes()


# JPEG, WebP and EXIF


COMMENTS = [
    (b"ASCII\0\0\0a fox", "a fox"),
    (b"ASCII\0\0\0" + "狐".encode(), "狐"),  # mflux writes UTF-8 under this name
    (b"UNICODE\0" + "a fox 狐".encode("utf-16-be"), "a fox 狐"),
    (b"UNICODE\0" + "a fox 狐".encode("utf-16-le"), "a fox 狐"),
    (b"\0\0\0\0\0\0\0\0a fox", "a fox"),
    (b'{"prompt":"a fox"}', '{"prompt":"a fox"}'),
]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("comment", "text"), COMMENTS)
def test_exif_comments(form: str, comment: bytes, text: str) -> None:
    assert read_texts(encoded(form, exif=exif(comment))) == {EXIF_COMMENT: text}


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_in_both_byte_orders(order: str) -> None:
    comment = b"ASCII\0\0\0a fox"
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    root = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)
    details = struct.pack(order + "HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    assert read_texts(png_with(chunk(b"eXIf", header + root + details + comment))) == {EXIF_COMMENT: "a fox"}


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_xmp_packets(form: str) -> None:
    assert read_texts(encoded(form, xmp="<x>é</x>".encode())) == {XMP: "<x>é</x>"}


@pytest.mark.parametrize("comment", [b"ASCII\0\0\0odd", b"ASCII\0\0\0even"])
def test_webp_chunks_are_padded_to_an_even_length(comment: bytes) -> None:
    webp = encoded("WEBP", exif=exif(comment).ljust(200 + len(comment) % 2, b"\0"), xmp=b"<x/>")
    assert read_texts(webp) == {EXIF_COMMENT: comment[8:].decode(), XMP: "<x/>"}


def test_padding_before_a_jpeg_marker() -> None:
    jpeg = encoded("JPEG", exif=exif(b"ASCII\0\0\0a fox"))
    assert read_texts(jpeg[:2] + b"\xff\xff" + jpeg[2:]) == {EXIF_COMMENT: "a fox"}


def test_images_without_texts() -> None:
    assert [read_texts(encoded(form)) for form in ("PNG", "JPEG", "WEBP")] == [{}, {}, {}]


# What is damaged or hostile


@pytest.mark.parametrize(
    "data", [b"", b"x", b"GIF89a" + b"\0" * 50, b"<svg/>", b"<html>" * 9, b"RIFF\0\0\0\0WAVE", b"BM"]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a PNG, JPEG or WebP"):
        read_texts(data)


def test_every_truncation_of_a_png_is_noticed() -> None:
    png = png_with(text_chunk("prompt", "a fox"))
    for length in range(len(PNG_SIGNATURE), len(png)):
        with pytest.raises(ValueError, match="cut off"):
            read_texts(png[:length])


def test_every_flipped_bit_of_a_png_is_noticed() -> None:
    png = png_with(text_chunk("prompt", "a fox"))
    for index in range(len(PNG_SIGNATURE), len(png)):
        damaged = bytearray(png)
        damaged[index] ^= 4
        with pytest.raises(ValueError, match="PNG image"):
            list(png_chunks(bytes(damaged)))


def test_a_png_starts_with_its_header_once() -> None:
    header = PNG[8:33]
    for png in (PNG_SIGNATURE + PNG[33:], PNG[:33] + header + PNG[33:]):
        with pytest.raises(ValueError, match="header is not at its start"):
            read_texts(png)


def test_limits_on_size_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_PIECES", 10)
    with pytest.raises(ValueError, match="more than 10 chunks"):
        read_texts(png_with(*[chunk(b"IDAT", b"")] * 10))
    monkeypatch.setattr(scan, "MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_texts(PNG + b"\0" * (1 << 20))


@pytest.mark.parametrize("length", [MAX_TEXT_BYTES, MAX_TEXT_BYTES + 1])
def test_texts_over_the_limit_are_left_out(length: int) -> None:
    text = b"x" * length
    stored = [
        chunk(b"tEXt", b"prompt\0" + text),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(text)),
        itxt_chunk("prompt", text),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(text)),
    ]
    for piece in stored:
        assert read_texts(png_with(piece)) == ({"prompt": text.decode()} if length == MAX_TEXT_BYTES else {})


@pytest.mark.slow
def test_a_text_bomb_stays_folded() -> None:
    bomb = zlib.compress(b"\0" * (100 << 20), 1)
    png = png_with(*[chunk(b"zTXt", b"prompt\0\0" + bomb), chunk(b"iTXt", b"bonsai\0\1\0\0\0" + bomb)] * 3)
    tracemalloc.start()
    with must_end():
        assert read_texts(png) == {}
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_pixel_bomb_is_not_decoded() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    png = PNG_SIGNATURE + header + text_chunk("prompt", "a fox") + PNG[33:]
    assert read_texts(png) == {"prompt": "a fox"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"prompt",
        b"prompt\0",
        b"prompt\0\1",
        b"prompt\0\1\0",
        b"prompt\0\1\0en\0",
        b"prompt\0\1\0en\0x\0not zlib",
        b"prompt\0\0not zlib",
    ],
)
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_malformed_texts_are_left_out(kind: bytes, data: bytes) -> None:
    assert read_texts(png_with(chunk(kind, data))) == {}


@pytest.mark.parametrize("cut", range(12, 100, 7))
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_cut_off_jpeg_or_webp_is_noticed(form: str, cut: int) -> None:
    """Where pixels follow, nothing is read, so only the part before them is looked at."""
    with pytest.raises(ValueError, match=f"the {form} image is damaged or cut off".replace("WEBP", "WebP")):
        read_texts(encoded(form, exif=exif(b"ASCII\0\0\0a fox"))[:cut])


ENDLESS_BYTES = 4 << 20  # to copy what is left at each of a million pieces would take minutes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"\xff\xd8", b"\xff"),
        (b"\xff\xd8", b"\xff\xe0\0\2"),
        (b"RIFF" + (ENDLESS_BYTES + 4).to_bytes(4, "little") + b"WEBP", b"\0" * 8),
    ],
)
def test_endless_pieces_end(head: bytes, piece: bytes) -> None:
    with must_end(), pytest.raises(ValueError, match="damaged or cut off"):
        read_texts(head + piece * (ENDLESS_BYTES // len(piece)))


def many_exif_entries() -> bytes:
    """A table that points to itself, with as many entries as its count can say."""
    return b"II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 0x8769, 4, 1, 8) * 65535


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"MM\0*\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        exif(b"ASCII\0\0\0x")[:-20],
        many_exif_entries(),
    ],
)
def test_malformed_exif_is_left_out(block: bytes) -> None:
    with must_end():
        assert read_texts(png_with(*[chunk(b"eXIf", block)] * 20)) == {}


BUILDERS: list[Callable[[], bytes]] = [
    lambda: png_with(text_chunk("prompt", "a fox"), chunk(b"zTXt", b"bonsai\0\0" + zlib.compress(b"{}" * 20))),
    lambda: encoded("JPEG", exif=exif(b"UNICODE\0" + "a fox".encode("utf-16-be")), xmp=b"<x/>"),
    lambda: encoded("WEBP", exif=exif(b"ASCII\0\0\0a fox"), xmp=b"<x/>"),
]


@pytest.mark.parametrize("build", BUILDERS)
def test_damaged_files_raise_value_error_at_most(build: Callable[[], bytes]) -> None:
    """Checksums are repaired for PNG, so that the damage reaches what is behind them."""
    rng, whole = random.Random(9), build()
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(8, len(damaged))] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        del damaged[rng.choice([len(damaged), rng.randrange(8, len(damaged))]) :]
        try:
            texts = read_texts(bytes(repaired(damaged)))
        except ValueError as error:
            assert str(error)  # noqa: PT017  (either outcome is right)
        else:
            assert all(isinstance(text, str) for text in texts.values())


def repaired(png: bytearray) -> bytearray:
    position = 8
    while png.startswith(PNG_SIGNATURE) and position + 12 <= len(png):
        end = position + 8 + struct.unpack_from(">I", png, position)[0]
        if end + 4 > len(png):
            break
        struct.pack_into(">I", png, end, zlib.crc32(png[position + 4 : end]))
        position = end + 4
    return png


@given(st.sampled_from([PNG_SIGNATURE, b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP", b""]), st.binary(max_size=300))
def test_garbage_raises_value_error_at_most(signature: bytes, garbage: bytes) -> None:
    try:
        read_texts(signature + garbage)
    except ValueError as error:
        assert str(error)  # noqa: PT017  (either outcome is right)
