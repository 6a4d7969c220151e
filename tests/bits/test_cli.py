"""`bonsai-mlx encode` and `decode`, by a tiny autoencoder."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.cli.main import main
from bonsai_mlx.hub import published
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import read


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Image.Image) -> Path:
    monkeypatch.chdir(tmp_path)
    photo.save("photo.png")
    return tmp_path


@pytest.fixture
def run(autoencoder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--model", str(autoencoder)])
        return status, *capsys.readouterr()

    return run


def pixels(path: str) -> bytes:
    return Image.open(path).convert("RGB").tobytes()


@pytest.mark.slow
def test_a_code_is_printed_and_every_way_to_give_it_makes_the_same_picture(run: Any, here: Path) -> None:
    status, text, said = run("encode", "photo.png")
    assert status == 0
    code = BitCode.of_text(text)
    assert said == "128x96 in 200 bytes; it fits into one QR code\n"
    assert run("encode", "photo.png", "-o", "code.txt", "--quiet")[1:] == ("", "")
    assert Path("code.txt").read_text() == text
    run("encode", "photo.png", "-o", "code.bb1")
    assert Path("code.bb1").read_bytes() == code.as_bytes()
    assert run("decode", text.strip(), "-o", "text.png") == (0, "Saved text.png\n", "")
    assert run("decode", "code.txt", "-o", "file.png", "--quiet")[1] == "file.png\n"
    run("decode", "code.bb1", "-o", "bytes.png")
    run("decode", "text.png", "-o", "own.png")  # whose code is in it
    for path in ("file.png", "bytes.png", "own.png"):
        assert pixels(path) == pixels("text.png")
    found = read(Path("text.png"))
    assert found is not None
    assert (found.code, found.width, found.height, found.program) == (text.strip(), 128, 96, "bonsai-mlx")
    run("decode", "code.txt", "-o", "small.webp", "--quality", "40")
    assert Path("small.webp").read_bytes()[8:12] == b"WEBP"


def test_a_size_and_the_code_that_a_file_has(run: Any, here: Path) -> None:
    text = run("encode", "photo.png", "--size", "64x80")[1]
    assert (BitCode.of_text(text).width, BitCode.of_text(text).height) == (64, 80)
    run("decode", text.strip(), "-o", "decoded.png")
    assert run("encode", "decoded.png", "--drawn") == (0, text, "64x80 in 88 bytes; it fits into one QR code\n")
    status, _, said = run("encode", "photo.png", "--drawn")
    assert status == 1
    assert "photo.png has no code in it" in said


def test_standard_input_and_output(run: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("encode", "photo.png", "-o", "-")[1]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert run("decode", "-", "-o", "one.png")[0] == 0
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(BitCode.of_text(text).as_bytes())))
    assert run("decode", "-", "-o", "two.png")[0] == 0
    assert pixels("one.png") == pixels("two.png")


def test_show_says_that_there_is_a_code(run: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("decode", run("encode", "photo.png")[1].strip(), "-o", "decoded.png")
    assert main(["show", "decoded.png"]) == 0
    assert "Code     267 characters, which `bonsai-mlx decode` makes a picture of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("decode", "nonsense", "-o", "x.png"), "bonsai-mlx: CODE: is no code of a picture"),
        (("decode", "photo.png", "-o", "x.png"), "photo.png has no code in it"),
        (("decode", "binary.dat", "-o", "x.png"), "bonsai-mlx: CODE: is no code of a picture: it is no text"),
        (("decode", "long.txt", "-o", "x.png"), "long.txt: it is larger than the 699,072 bytes"),
        (("decode", "broken.png", "-o", "x.png"), "broken.png: the file is not a PNG"),
        (("encode", "binary.dat"), "binary.dat: it is no PNG, JPEG, WebP or AVIF picture"),
        (("encode", "photo.png", "--size", "65x64"), "--size: the size 65 is no side of a picture with a code"),
    ],
)
def test_what_cannot_be_is_said(run: Any, here: Path, words: tuple[str, ...], said: str) -> None:
    Path("binary.dat").write_bytes(b"\xff\xfe")
    Path("long.txt").write_bytes(b"A" * 800_000)
    Path("broken.png").write_bytes(b"no picture")
    status, _, errors = run(*words)
    assert status == 1
    assert said in errors
    assert not Path("x.png").exists()


def test_without_a_model_of_bits_it_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = tuple(one for one in published.CATALOG if one.family != "bits")
    monkeypatch.setattr(published, "CATALOG", without)
    monkeypatch.setattr(published, "_SEEDLINGS", here)
    assert main(["encode", "photo.png"]) == 1
    assert "no model whose latents are bits is here; name the folder of one with --model" in capsys.readouterr().err


def test_the_autoencoder_that_a_package_brings_alone_codes_and_does_not_draw(
    here: Path, autoencoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(autoencoder, here / "bits")
    monkeypatch.setattr(published, "_SEEDLINGS", here)
    assert published.seedling_of_bits() == ()
    monkeypatch.setattr(published, "CATALOG", tuple(one for one in published.CATALOG if one.family != "bits"))
    assert main(["encode", "photo.png", "-o", "code.txt"]) == 0
    assert main(["decode", "code.txt", "-o", "again.png"]) == 0
    assert main(["encode", "photo.png", "--model", str(autoencoder)]) == 0
    assert Path("code.txt").read_text() in capsys.readouterr().out
    with Image.open("again.png") as again:
        assert again.size == (128, 96)
    assert main(["morph", "photo.png", "again.png", "-o", "between.png"]) == 1
    assert "no model that draws in bits is here; name the folder of one with --model" in capsys.readouterr().err
