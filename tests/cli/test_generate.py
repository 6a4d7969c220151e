"""What `generate` takes, and what it writes: every option by what comes out of it."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.images.metadata import SaveError, encode, read
from tests.images.pictures import CASES
from tests.recipes import a_recipe

pytestmark = pytest.mark.usefixtures("nothing_downloaded", "narrow_seedlings")

SMALL = ("--size", "64x64", "--steps", "1")
DRAW = ("generate", "a red house", "--model", "seedling", "--seed", "7", *SMALL)
CLI = [sys.executable, "-m", "bonsai_mlx.cli.main"]


def kind_of(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.format, image.size


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CLI, *words], capture_output=True, check=False, **options)


# where to, and as what


@pytest.mark.parametrize(
    ("name", "kind"),
    [("fox.png", "PNG"), ("fox.jpg", "JPEG"), ("fox.JPEG", "JPEG"), ("fox.webp", "WEBP"), ("two.dots.WebP", "WEBP")],
)
def test_the_name_says_the_format(run: Any, name: str, kind: str) -> None:
    assert run(*DRAW, "-o", name, "--quiet") == (0, f"{name}\n", "")
    assert kind_of(Path(name).read_bytes()) == (kind, (64, 64))
    found = read(Path(name))
    assert found is not None
    assert found.recipe is not None
    assert (found.recipe.prompt, found.recipe.seed, found.recipe.model) == ("a red house", 7, "seedling-ternary")


@pytest.mark.parametrize(
    ("kind", "name"), [("png", "bonsai-7.png"), ("jpeg", "bonsai-7.jpg"), ("webp", "bonsai-7.webp")]
)
def test_a_format_for_names_that_are_found(run: Any, kind: str, name: str) -> None:
    assert run(*DRAW, "--format", kind, "--quiet")[1] == f"{name}\n"
    assert kind_of(Path(name).read_bytes())[0] == kind.upper()


def test_several_in_another_format(run: Any) -> None:
    assert run(*DRAW, "-o", "fox.webp", "--count", "2", "--quiet")[1].split() == ["fox-7.webp", "fox-8.webp"]
    assert kind_of(Path("fox-8.webp").read_bytes())[0] == "WEBP"


@pytest.mark.slow
def test_quality(run: Any) -> None:
    for quality in ("5", "95"):
        run(*DRAW, "-o", f"{quality}.jpg", "--quality", quality, "--quiet")
    assert Path("5.jpg").stat().st_size < Path("95.jpg").stat().st_size
    assert run(*DRAW, "--quality", "0")[0] == 2


@pytest.mark.parametrize(("mode", "said"), [("mark", True), ("none", False)])
@pytest.mark.parametrize("name", ["fox.jpg", "fox.webp"])
def test_metadata_in_every_format(run: Any, name: str, mode: str, said: bool) -> None:
    run(*DRAW, "-o", name, "--metadata", mode, "--quiet")
    data = Path(name).read_bytes()
    assert read(data) is None
    assert (b"trainedAlgorithmicMedia" in data) == said
    assert b"red house" not in data


@pytest.mark.slow
@pytest.mark.parametrize(("words", "kind"), [([], "PNG"), (["--format", "webp"], "WEBP")])
def test_the_picture_on_standard_output(words: list[str], kind: str) -> None:
    done = process(*DRAW, "-o", "-", *words)
    assert done.returncode == 0
    assert kind_of(done.stdout) == (kind, (64, 64))
    assert read(done.stdout) is not None
    assert b"Saved" not in done.stderr
    assert b"peak memory" in done.stderr
    assert list(Path().iterdir()) == []


def test_a_terminal_is_not_sent_a_picture() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run([*CLI, *DRAW, "-o", "-"], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "bonsai-mlx: standard output is a terminal, which shows no pictures; add > picture.png",
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_followed(run: Any, tmp_path: Path, there: bool) -> None:
    target = tmp_path / "real.png"
    if there:
        target.write_text("old")
    Path("link.png").symlink_to(target)
    assert run(*DRAW, "-o", "link.png", "--quiet") == (0, "link.png\n", "")
    assert Path("link.png").is_symlink()
    assert kind_of(target.read_bytes())[0] == "PNG"


def test_links_that_lead_nowhere_are_noticed_before_anything_is_drawn(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bonsai_mlx.pipeline.Pipeline.from_pretrained", lambda *_, **__: pytest.fail("too late"))
    Path("lost.png").symlink_to(tmp_path / "nowhere" / "fox.png")
    assert f"cannot save into {tmp_path}/nowhere: there is no such folder" in run(*DRAW, "-o", "lost.png")[2]
    Path("a.png").symlink_to("b.png")
    Path("b.png").symlink_to("a.png")
    status, _, err = run(*DRAW, "-o", "a.png")
    assert status == 1
    assert "Traceback" not in err


# what


@pytest.mark.slow
def test_the_prompt_from_standard_input() -> None:
    words = ("generate", "-", *DRAW[2:], "-o", "fox.png", "--quiet")
    assert process(*words, input="zwei Füchse\nim Schnee\n".encode()).returncode == 0
    found = read(Path("fox.png"))
    assert found is not None
    assert found.prompt == "zwei Füchse\nim Schnee"


@pytest.mark.parametrize(
    ("sent", "words"),
    [(b"", "PROMPT: is empty"), (b"\xff\xfe", "PROMPT: what comes on standard input is no text in UTF-8")],
)
def test_standard_input_that_is_no_prompt(sent: bytes, words: str) -> None:
    done = process("generate", "-", *SMALL, input=sent)
    assert (done.returncode, done.stdout) == (1, b"")
    assert words in done.stderr.decode()


def test_a_prompt_without_an_end_is_not_read_to_it() -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run([*CLI, "generate", "-"], stdin=endless, capture_output=True, text=True, check=False)
    assert "at most 32000 are accepted" in done.stderr


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["a", "red", "fox"], "a red fox"),
        (["a", "red", "fox", "--seed", "7"], "a red fox"),
        (["--seed", "7", "a", "fox's", "den"], "a fox's den"),
        (["a", "--seed", "7", "fox"], "a fox"),
    ],
)
def test_words_without_quotes_get_a_hint(run: Any, words: list[str], whole: str) -> None:
    status, out, err = run("generate", *words)
    assert (status, out) == (2, "")
    assert err.splitlines()[0].endswith(f"put it in quotes: bonsai-mlx generate {shlex.quote(whole)}")


def test_other_words_too_many_are_named(run: Any) -> None:
    assert "there is no option --sede; did you mean --seed?" in run("generate", "a fox", "--sede", "7")[2]
    assert "'more' is too much here" in run("models", "more")[2]
    assert 'say what to draw, in quotes: bonsai-mlx generate "a red fox"' in run("generate")[2]


# like another picture


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_like_another_is_the_same(run: Any, kind: str) -> None:
    run(*DRAW, "-o", "first.png", "--quiet")
    recipe = read(Path("first.png")).recipe  # type: ignore[union-attr]
    assert recipe is not None
    Path("copy").write_bytes(encode(Image.open("first.png"), recipe, to=kind))  # type: ignore[arg-type]
    status, _, err = run("generate", "--like", "copy", "-o", "second.png")
    assert status == 0
    assert "Settings of copy, made by bonsai-mlx." in err
    with Image.open("first.png") as first, Image.open("second.png") as second:
        assert first.tobytes() == second.tobytes()


@pytest.mark.slow
def test_options_come_before_what_the_picture_says(run: Any) -> None:
    run(*DRAW, "-o", "first.png", "--quiet")
    run("generate", "two stars", "--like", "first.png", "--seed", "9", "--size", "96x64", "-o", "second.png", "--quiet")
    found = read(Path("second.png"))
    assert found is not None
    assert (found.prompt, found.seed, found.steps, found.width, found.height) == ("two stars", 9, 1, 96, 64)
    run("generate", "--like", "first.png", "--steps", "2", "--model", "seedling-binary", "-o", "third.png", "--quiet")
    found = read(Path("third.png"))
    assert found is not None
    assert found.recipe is not None
    assert (found.seed, found.steps, found.recipe.model) == (7, 2, "seedling-binary")


def test_settings_of_another_program_as_far_as_they_hold(run: Any) -> None:
    Path("comfy.png").write_bytes(CASES["comfy.png"].build())
    status, _, err = run("generate", "--like", "comfy.png", *SMALL, "-o", "fox.png")
    assert status == 0
    for note in (
        "made by ComfyUI.",
        f"Its seed, {2**63 + 5}, is left out: seeds here go from 0 to 4294967295.",
        "Its 25 steps are left out: they were meant for another model.",
        "Its model, v1-5.safetensors, is another one: the picture will differ.",
        "Its negative prompt is left out",
    ):
        assert note in err
    found = read(Path("fox.png"))
    assert found is not None
    assert (found.prompt, found.steps) == ("a castle on a hill", 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain.png", "plain.png carries no settings: it was saved without them, or they were removed"),
        ("text", "text: the file is not a PNG, JPEG or WebP image"),
    ],
)
def test_a_picture_that_says_nothing_is_an_error(run: Any, name: str, words: str) -> None:
    Path(name).write_bytes(CASES[name].build() if name in CASES else b"hello")
    assert run("generate", "--like", name) == (1, "", f"bonsai-mlx: {words}\n")
    assert run("show", name) == (1, "", f"bonsai-mlx: {words}\n")


def test_a_model_that_is_not_known_is_said(run: Any) -> None:
    recipe = a_recipe(model="my folder", repo=None, width=64, height=64, steps=1)
    Path("own.png").write_bytes(encode(Image.new("RGB", (64, 64)), recipe))
    _, _, err = run("generate", "--like", "own.png", "-o", "fox.png")
    assert "Its model, my folder, is not known here; name one with --model." in err


# show


def test_show(run: Any) -> None:
    run(*DRAW, "-o", "fox.jpg", "--quiet")
    status, out, err = run("show", "fox.jpg")
    assert (status, err) == (0, "")
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    assert {name.strip(): value.strip() for name, value in rows.items()}.items() >= {
        "Prompt": "a red house",
        "Seed": "7",
        "Steps": "1",
        "Size": "64x64",
        "Model": "seedling-ternary",
    }.items()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.settings])
def test_show_for_programs(run: Any, name: str) -> None:
    Path(name).write_bytes(CASES[name].build())
    status, out, _ = run("show", name, "--json")
    expected = {key: value for key, value in (CASES[name].settings or {}).items() if key != "recipe"}
    assert status == 0
    assert expected.items() <= json.loads(out).items()


def test_what_a_picture_says_cannot_command_the_terminal(run: Any) -> None:
    recipe = a_recipe(prompt="a \x1b[31mred\x1b[0m\nfox \u202e", repo=None, model="m\x07")
    Path("bad.png").write_bytes(encode(Image.new("RGB", (16, 16)), recipe))
    for words in ([], ["--json"]):
        out = run("show", "bad.png", *words)[1]
        assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert "\n" in run("show", "bad.png")[1].split("fox")[0].split("red")[1]


def test_show_waits_for_nobody(run: Any) -> None:
    os.mkfifo("pipe.png")
    assert run("show", "pipe.png") == (1, "", "bonsai-mlx: pipe.png: it is a pipe, not a file\n")


# in Python


def test_a_result_saves_itself_with_its_recipe(tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained("seedling")
    result = pipe.generate("a red house", seed=7, steps=1, width=64, height=64)
    for name in ("fox.png", "fox.jpg", "fox.webp"):
        result.save(tmp_path / name)
        found = read(tmp_path / name)
        assert found is not None
        assert found.recipe == result.recipe
    result.save(str(tmp_path / "bare.png"), metadata="none")
    assert read(tmp_path / "bare.png") is None
    with pytest.raises(SaveError, match="PNG, JPEG and WebP files are written"):
        result.save(tmp_path / "fox.gif")
