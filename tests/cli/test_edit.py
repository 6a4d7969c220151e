"""`bonsai-mlx edit` and `again`: what goes in, what comes out, and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.cli.main import main
from bonsai_mlx.images.mask import CHUNK, read_mask
from bonsai_mlx.images.metadata import read

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("narrow_seedlings")]

SIDE = 64


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture, another one and a mask."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("photo.png", 1), ("other.jpg", 2)):
        values = np.random.default_rng(seed).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(name, quality=95)
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (16, 16, 40, 40))
    mask.save("mask.png")
    return tmp_path


def run(*words: str) -> int:
    return main([*words, "--model", "seedling", "--quiet"])


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def parameters(path: str) -> dict:
    found = read(Path(path))
    assert found is not None
    assert found.recipe is not None
    return dict(found.recipe.parameters)


EDITS = {
    "instruction": [],
    "redrawn": ["--strength", "0.5"],
    "with a reference": ["--strength", "0.5", "--reference", "other.jpg", "--reference-detail", "256"],
    "masked": ["--mask", "mask.png", "--feather", "4"],
    "masked, whole": ["--mask", "mask.png", "--feather", "4", "--whole", "--mask-content", "surroundings"],
    "masked, with a reference": ["--mask", "mask.png", "--reference", "other.jpg"],
    "extended": ["--extend", "16,0,32,0", "--seed", "9"],
    "by the rule of steps": ["--strength", "0.8", "--strength-rule", "steps"],
}


@pytest.mark.parametrize("name", EDITS)
def test_again_gives_the_same_pixels(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("edit", "photo.png", "a red star", "--steps", "1", "-o", "edited.png", *EDITS[name]) == 0
    assert run("again", "edited.png", "-o", "again.png") == 0
    assert (pixels("edited.png") == pixels("again.png")).all()
    assert parameters("edited.png") == parameters("again.png")
    assert capsys.readouterr().out.split() == ["edited.png", "again.png"]


def test_variations_have_one_seed_and_a_file_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "1", "--size", "64x64", "--seed", "3"]
    run("generate", "a red star", "-o", "star.png", *words)
    varied = ["--variation", "0.3", "--variation-seed", "5"]
    assert run("generate", "a red star", "--count", "2", "-o", "more.png", *varied, *words) == 0
    assert run("again", "star.png", "-o", "again.png", *varied) == 0
    assert run("generate", "--like", "more-6.png", "-o", "like.png") == 0
    assert capsys.readouterr().out.split() == ["star.png", "more-5.png", "more-6.png", "again.png", "like.png"]
    main(["show", "more-5.png"])
    assert "Variation  0.3, seed 5" in capsys.readouterr().out
    assert parameters("more-5.png") == parameters("again.png") == {"variation_amount": 0.3, "variation_seed": 5}
    shown = [pixels(f"{name}.png") for name in ("star", "more-5", "more-6", "again", "like")]
    assert (shown[1] == shown[3]).all()
    assert (shown[2] == shown[4]).all()
    assert (shown[0] != shown[1]).any()
    assert (shown[1] != shown[2]).any()
    assert run("edit", "photo.png", "a red star", "--strength", "0.5", "-o", "edited.png", *varied, *words[:2]) == 0
    assert parameters("edited.png")["variation_seed"] == 5
    assert run("generate", "a red star", "--variation-seed", "5") == 1
    assert "give --variation too" in capsys.readouterr().err


def test_another_seed_gives_another_picture_of_the_same(here: Path) -> None:
    run("edit", "photo.png", "a red star", "--steps", "1", "--seed", "1", "-o", "edited.png", *EDITS["masked"])
    run("again", "edited.png", "--seed", "2", "-o", "again.png")
    assert parameters("edited.png") == parameters("again.png")
    changed = (pixels("edited.png") != pixels("again.png")).any(axis=2)
    assert changed[16:40, 16:40].any()
    changed[12:44, 12:44] = False
    assert not changed.any()


def test_what_is_not_masked_is_the_photo(here: Path) -> None:
    run("edit", "photo.png", "a red star", "--steps", "1", "-o", "edited.png", *EDITS["masked"])
    changed = (pixels("edited.png") != pixels("photo.png")).any(axis=2)
    assert changed[16:40, 16:40].mean() > 0.5
    changed[12:44, 12:44] = False
    assert not changed.any()


def test_each_option_reaches_the_recipe(here: Path) -> None:
    words = ["--reference", "other.jpg", "--reference-detail", "512", "--mask", "mask.png", "--feather", "3"]
    words += [
        "--strength",
        "0.75",
        "--strength-rule",
        "steps",
        "--extend",
        "0,16,0,0",
        "--only-masked",
        "--margin",
        "8",
        "--mask-content",
        "surroundings",
    ]
    run("edit", "photo.png", "a red star", "--steps", "4", "-o", "edited.png", *words)
    found = parameters("edited.png")
    assert {name: found[name] for name in ("reference_detail", "feather_px", "strength", "strength_rule")} == {
        "reference_detail": 512,
        "feather_px": 3,
        "strength": 0.75,
        "strength_rule": "steps",
    }
    assert (found["margin_px"], found["mask_content"]) == (8, "surroundings")
    assert (found["extend"], found["only_masked"], len(found["references"])) == ((0, 16, 0, 0), True, 1)
    assert pixels("edited.png").shape == (SIDE + 16, SIDE, 3)


def test_several_pictures_have_seeds_that_count_up(here: Path) -> None:
    (here / "out").mkdir()
    run("edit", "photo.png", "a fox", "--strength", "0.5", "--steps", "1", "--seed", "7", "--count", "2", "-o", "out")
    assert sorted(path.name for path in (here / "out").iterdir()) == ["bonsai-7.png", "bonsai-8.png"]


def test_the_mask_is_in_the_file_unless_nothing_should_be(here: Path) -> None:
    run("edit", "photo.png", "a fox", "--steps", "1", "-o", "edited.png", *EDITS["masked"])
    mask = read_mask(here / "edited.png")
    assert mask is not None
    assert mask.tobytes() == pixels("mask.png")[..., 0].astype(np.uint8).tobytes()
    for mode in ("mark", "none"):
        run("edit", "photo.png", "a fox", "--steps", "1", "-o", "bare.png", "--metadata", mode, *EDITS["masked"])
        assert CHUNK not in (here / "bare.png").read_bytes()


def test_again_finds_what_went_in_wherever_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("edit", "photo.png", "a fox", "--steps", "1", "-o", "edited.webp", *EDITS["masked"])
    away = here / "away"
    away.mkdir()
    for name in ("photo.png", "mask.png"):
        (here / name).rename(away / name)
    capsys.readouterr()
    assert run("again", "edited.webp", "-o", "again.png") == 1
    said = capsys.readouterr().err
    assert "init (" in said
    assert "mask (" in said
    assert "--input" in said
    assert run("again", "edited.webp", "-o", "again.png", "--input", "nowhere") == 1
    assert "--input nowhere: there is no such file or folder" in capsys.readouterr().err
    assert run("again", "edited.webp", "-o", "again.png", "--input", "away") == 0
    assert run("again", "edited.webp", "-o", "b.png", "--input", "away/photo.png", "--input", "away/mask.png") == 0
    assert (pixels("again.png") == pixels("b.png")).all()


def test_a_plain_picture_is_drawn_again(here: Path) -> None:
    run("generate", "a red star", "--steps", "1", "-o", "first.png")
    assert run("again", "first.png", "-o", "second.png") == 0
    assert (pixels("first.png") == pixels("second.png")).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["edit", "none.png", "a fox"], "PICTURE: none.png cannot be used: there is no such file"),
        (["edit", "text.png", "a fox"], "PICTURE: text.png cannot be used: it is no PNG"),
        (["edit", "small.png", "a fox", "--strength", "0.5"], "64 a side are needed"),
        (
            ["edit", "photo.png", "a fox", "--mask", "none.png"],
            "--mask: none.png cannot be used: there is no such file",
        ),
        (["edit", "photo.png", "a fox", "--reference", "none.png"], "--reference: none.png cannot be used"),
        (
            ["edit", "photo.png", "a fox", *["--reference", "other.jpg"] * 5],
            "--reference: PICTURE is looked at too, so at most 3 more are",
        ),
        (["edit", "photo.png", "a fox", "--strength", "0"], "strength: 0.0 is out of range"),
        (["edit", "photo.png", "a fox", "--mask", "mask.png", "--feather", "300"], "--feather: 300 is out of"),
        (["edit", "photo.png", "a fox", "--mask-content", "original"], "--mask-content: is about what is repainted"),
        (["edit", "photo.png", "a fox", "--feather", "3"], "--feather: is about what is repainted"),
        (["edit", "photo.png", "a fox", "--margin", "3", "--strength", "0.5"], "--margin: is about what is repainted"),
        (["edit", "photo.png", "a fox", "--whole"], "--only-masked and --whole: is about what is repainted"),
        (["edit", "photo.png", "a fox", "--strength-rule", "steps"], "--strength-rule: says how --strength is meant"),
        (["edit", "photo.png", "a fox", "--extend", "0,0,0,0"], "--extend: adds nothing; give pixels on a side"),
        (["edit", "photo.png", "a fox", "--mask", "black.png"], "--mask: the mask repaints nothing; what is to be"),
        (
            ["edit", "photo.png", "a fox", "--strength", "0.5", "--reference-detail", "256"],
            "--reference-detail: is about references; give one",
        ),
        (["edit", "photo.png", " "], "PROMPT: is empty"),
        (["again", "photo.png"], "carries no settings"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.png").write_text("no picture")
    Image.new("RGB", (20, 20)).save("small.png")
    Image.new("L", (SIDE, SIDE), 0).save("black.png")
    assert run(*words, "-o", "out.png") == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not Path("out.png").exists()


@pytest.mark.parametrize("margins", ["1,2,3", "a,b,c,d", "1,2,3,-4", ""])
def test_margins_are_four_numbers(margins: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("edit", "photo.png", "a fox", "--extend", margins)
    assert ended.value.code == 2
    assert "write them like 256,0,256,0" in capsys.readouterr().err


def test_show_tells_what_went_in(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--mask", "mask.png", "--reference", "other.jpg", "--extend", "16,0,0,0", "--steps", "1"]
    run("edit", "photo.png", "a fox", "-o", "edited.png", *words)
    capsys.readouterr()
    main(["show", "edited.png"])
    told = capsys.readouterr().out
    found = parameters("edited.png")
    for line in (
        f"Made from    {found['init'][:12]}...",
        f"Looked at    {found['references'][0][:12]}...",
        f"Mask         {found['mask'][:12]}...",
        "Strength     0.9",
        "Feather      16 pixels",
        "Extended by  16 left",
    ):
        assert line in told


def test_show_tells_the_size_of_the_picture_and_of_the_part_that_was_drawn(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("edit", "photo.png", "a fox", "-o", "edited.png", "--mask", "mask.png", "--steps", "1", "--only-masked")
    capsys.readouterr()
    main(["show", "edited.png"])
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    with Image.open("edited.png") as picture, Image.open("photo.png") as photo:
        assert picture.size == photo.size
        assert told["Size"].strip() == f"{photo.width}x{photo.height}"
    found = read(Path("edited.png"))
    assert found
    assert told["Drawn at"].strip() == f"{found.width}x{found.height}" != told["Size"].strip()
