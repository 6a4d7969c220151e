"""Our own files carry the recipe exactly, reach the disk whole or not at all, and can be stripped."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonsai_mlx import fileio
from bonsai_mlx.images import bitcode, metadata
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.containers import itxt_chunk, png_chunks, replace_png_texts, text_chunk
from bonsai_mlx.images.metadata import MetadataMode, Recipe, SaveError, encode_png, read, rewrite_png, save_picture
from bonsai_mlx.images.scan import scan

from ..recipes import ANY_TEXT, RECIPES, a_recipe

IMAGE = Image.linear_gradient("L").convert("RGB").resize((32, 16))
MODES: tuple[MetadataMode, ...] = get_args(MetadataMode)
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def texts(png: bytes) -> dict[str, str]:
    """Keyword -> text in the order of the file, as Pillow reads them."""
    image = Image.open(io.BytesIO(png))
    image.load()
    return dict(image.text)  # type: ignore[attr-defined]


# What is written


def test_the_three_texts_in_their_order() -> None:
    written = texts(encode_png(IMAGE, a_recipe()))
    assert list(written) == ["bonsai", "parameters", "XML:com.adobe.xmp"]
    assert written["bonsai"].encode() == a_recipe().to_json()
    assert written["parameters"].startswith("a red fox\nSteps: 4, Sampler: Euler, ")


def test_texts_stand_before_the_pixels() -> None:
    kinds = [chunk.kind for chunk in png_chunks(encode_png(IMAGE, a_recipe(prompt="狐")))]
    assert kinds == [b"IHDR", b"iTXt", b"iTXt", b"iTXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_exact_in_every_mode(mode: MetadataMode) -> None:
    image = Image.open(io.BytesIO(encode_png(IMAGE, a_recipe(), mode)))
    assert (image.mode, image.size, image.tobytes()) == ("RGB", IMAGE.size, IMAGE.tobytes())


def test_the_mark_is_valid_xmp_that_names_the_model_and_no_prompt() -> None:
    recipe = a_recipe(prompt="a secret <fox>", repo='me/<my> & "model"\x00\ud800', app_version="1.2.3")
    marked = encode_png(IMAGE, recipe, "mark")
    assert list(texts(marked)) == ["XML:com.adobe.xmp"]
    assert b"secret" not in marked
    root = ElementTree.fromstring(texts(marked)["XML:com.adobe.xmp"])  # noqa: S314  (our own text)
    found = {element.tag: element.text for element in root.iter() if element.text and element.text.strip()}
    assert found == {
        f"{IPTC}DigitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        f"{IPTC}AISystemUsed": '<my> & "model"',
        "{http://ns.adobe.com/xap/1.0/}CreatorTool": "bonsai-mlx 1.2.3",
    }


def test_no_metadata_means_none() -> None:
    assert texts(encode_png(IMAGE, a_recipe(), "none")) == {}
    assert [chunk.kind for chunk in png_chunks(encode_png(IMAGE, a_recipe(), "none"))] == [b"IHDR", b"IDAT", b"IEND"]


# What is read


@given(RECIPES)
def test_any_recipe_comes_back(recipe: Recipe) -> None:
    found = read(encode_png(IMAGE, recipe))
    assert found is not None
    assert (found.source, found.recipe) == ("bonsai", recipe)
    assert (found.prompt, found.seed, found.steps) == (recipe.prompt, recipe.seed, recipe.steps)
    assert (found.width, found.height, found.model) == (recipe.width, recipe.height, recipe.model_title)
    assert found.text.encode() == recipe.to_json()


def test_the_longest_prompt_comes_back() -> None:
    for prompt in ("x" * 32_000, "🦊" * 32_000, "\x01" * 32_000, "\ud800" * 32_000):
        found = read(encode_png(IMAGE, a_recipe(prompt=prompt)))
        assert found is not None
        assert found.prompt == prompt


def test_marked_and_stripped_files_say_nothing() -> None:
    assert read(encode_png(IMAGE, a_recipe(), "mark")) is None
    assert read(encode_png(IMAGE, a_recipe(), "none")) is None


@pytest.mark.parametrize("damaged", [b"{}", b"", b"[", b'{"schema":2,"prompt":"from the future"}', b"\xff"])
def test_a_recipe_we_cannot_read_leaves_the_infotext(damaged: bytes) -> None:
    infotext = text_chunk("parameters", "a fox\nSteps: 4, Seed: 7, Size: 512x512")
    found = read(replace_png_texts(encode_png(IMAGE, a_recipe(), "none"), [itxt_chunk("bonsai", damaged), infotext]))
    assert found is not None
    assert (found.source, found.prompt, found.seed, found.recipe) == ("a1111", "a fox", 7, None)


def test_reading_paths(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    path.write_bytes(encode_png(IMAGE, a_recipe()))
    assert read(path) == read(str(path)) == read(path.read_bytes())
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.png")
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="not a PNG, JPEG or WebP"):
        read(path)


@given(ANY_TEXT)
def test_what_others_wrote_is_read_with_pillow_in_between(text: str) -> None:
    info = PngInfo()
    info.add_text("parameters", text.encode("utf-8", "replace").decode())
    buffer = io.BytesIO()
    IMAGE.save(buffer, "PNG", pnginfo=info)
    found = read(buffer.getvalue())
    assert (found is None) == (not text.replace("\0", "").strip())


# What is taken away


@pytest.mark.parametrize("mode", MODES)
def test_rewriting_equals_encoding_in_that_mode(mode: MetadataMode) -> None:
    full = encode_png(IMAGE, a_recipe(prompt="a secret"))
    assert rewrite_png(full, mode) == encode_png(IMAGE, a_recipe(prompt="a secret"), mode)
    assert (b"secret" in rewrite_png(full, mode)) == (mode == "full")


def test_rewriting_never_recompresses() -> None:
    """A file whose pixels were packed in an unusual way keeps exactly those bytes."""
    png = encode_png(IMAGE, a_recipe())
    packed = b"".join(bytes(chunk.data) for chunk in png_chunks(png) if chunk.kind == b"IDAT")
    unusual = zlib.compress(zlib.decompress(packed), 0)
    pieces = [unusual[start : start + 100] for start in range(0, len(unusual), 100)]
    split = png[:33] + itxt_chunk("bonsai", a_recipe().to_json()) + b"".join(map(idat, pieces)) + png[-12:]
    for mode in ("mark", "none"):
        stripped = rewrite_png(split, mode)  # type: ignore[arg-type]
        assert [bytes(chunk.data) for chunk in png_chunks(stripped) if chunk.kind == b"IDAT"] == pieces
        assert Image.open(io.BytesIO(stripped)).tobytes() == IMAGE.tobytes()


def idat(data: bytes) -> bytes:
    return len(data).to_bytes(4) + b"IDAT" + data + zlib.crc32(b"IDAT" + data).to_bytes(4)


def test_rewriting_is_idempotent_and_only_takes_away() -> None:
    marked = rewrite_png(encode_png(IMAGE, a_recipe()), "mark")
    assert rewrite_png(marked, "mark") == marked == rewrite_png(marked, "full")
    bare = rewrite_png(marked, "none")
    assert rewrite_png(bare, "none") == bare
    with pytest.raises(ValueError, match="neither a recipe nor a mark"):
        rewrite_png(bare, "mark")


@pytest.mark.parametrize("mode", MODES)
def test_rewriting_refuses_what_is_no_whole_png(mode: MetadataMode) -> None:
    jpeg = io.BytesIO()
    IMAGE.save(jpeg, "JPEG")
    with pytest.raises(ValueError, match="not a PNG image"):
        rewrite_png(jpeg.getvalue(), mode)
    with pytest.raises(ValueError, match="cut off"):
        rewrite_png(encode_png(IMAGE, a_recipe())[:-5], mode)


# How it reaches the disk


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    for content in (b"first", b"second"):
        save_picture(path, content)
        assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["fox.png"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_saving_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_picture(Path("fox.png"), b"x")
    assert Path("fox.png").read_bytes() == b"x"
    with pytest.raises(SaveError, match="folder"):
        save_picture(Path(), b"x")


def test_a_missing_folder_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"cannot save .*/absent/fox\.png: the folder does not exist"):
        save_picture(tmp_path / "absent" / "fox.png", b"x")
    with pytest.raises(SaveError, match="it is a folder; add a file name"):
        save_picture(tmp_path, b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    save_picture(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(SaveError, match=r"cannot save .*fox\.png: no space is left there"):
            save_picture(path, b"x" * 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["fox.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EROFS, "not permitted"), (errno.EDQUOT, "no space"), (errno.EIO, "Input/output error")],
)
def test_what_cannot_be_provoked_here_is_named_too(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fileio, "to_disk", fail)
    with pytest.raises(SaveError, match=words):
        save_picture(tmp_path / "fox.png", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SaveError, match="writing is not permitted there"):
        save_picture(tmp_path / "fox.png", b"x")


def test_data_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of the file, then the rename, then fsync of the folder: in any other order a power cut can lose it."""
    path, order = tmp_path / "fox.png", []
    monkeypatch.setattr(fileio.os, "fsync", lambda descriptor: order.append((os.fstat(descriptor), path.exists())))
    monkeypatch.delattr(fileio.fcntl, "F_FULLFSYNC", raising=False)
    save_picture(path, b"x")
    assert [(stat.S_ISDIR(status.st_mode), exists) for status, exists in order] == [(False, False), (True, True)]


@pytest.mark.slow
def test_a_process_killed_while_saving_never_leaves_half_a_picture(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bonsai_mlx.images.metadata import save_picture\n"
        "a, b = (bytes([n]) * 3_000_000 for n in (97, 98))\n"
        "save_picture(Path(sys.argv[1]), b)\n"  # a disk may take longer for one than is waited below
        "print('go', flush=True)\n"
        "while True: save_picture(Path(sys.argv[1]), a); save_picture(Path(sys.argv[1]), b)"
    )
    path, rng = tmp_path / "fox.png", random.Random(18)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.02 + rng.random() * 0.05)
            process.send_signal(signal.SIGKILL)
        if path.exists():
            assert path.read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)
    assert path.exists()
    leftovers = [file.name for file in tmp_path.iterdir() if file != path]
    assert all(name.startswith(metadata.TEMPORARY_PREFIX) for name in leftovers)


def test_a_name_whose_links_lead_in_a_circle(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(SaveError, match="symbolic links"):
        save_picture(first, b"", follow_symlinks=True)


CODE = BitCode(b"abc", 64, 64, bytes(range(64))).as_text()


def test_a_code_goes_along_with_all_of_the_metadata_and_nothing_less() -> None:
    found = read(encode_png(IMAGE, a_recipe(), code=CODE))
    assert found is not None
    assert (found.code, found.as_dict()["code"]) == (CODE, CODE)
    assert found.recipe == a_recipe()
    for mode in ("mark", "none"):
        assert bitcode.KEYWORD not in scan(encode_png(IMAGE, a_recipe(), mode, code=CODE)).texts
    assert rewrite_png(encode_png(IMAGE, a_recipe(), code=CODE), "mark") == encode_png(IMAGE, a_recipe(), "mark")
    without = read(encode_png(IMAGE, a_recipe()))
    assert without is not None
    assert without.code is None
    assert bitcode.KEYWORD not in scan(metadata.encode(IMAGE, a_recipe(), to="webp", code=CODE)).texts


def test_a_picture_of_which_no_more_is_known_than_its_code() -> None:
    found = read(metadata.encode_coded(IMAGE, CODE))
    assert found is not None
    assert (found.source, found.code, found.width, found.height) == ("bonsai", CODE, 64, 64)
    assert found.recipe is None
    assert read(metadata.encode_coded(IMAGE, "damaged")) is None


def test_what_another_program_says_stands_beside_a_code() -> None:
    texts = [
        text_chunk("parameters", "a fox\nSteps: 4, Sampler: Euler, Seed: 7, Size: 64x64"),
        itxt_chunk(bitcode.KEYWORD, CODE.encode()),
    ]
    found = read(replace_png_texts(encode_png(IMAGE, a_recipe()), texts))
    assert found is not None
    assert (found.source, found.seed) == ("a1111", 7)
