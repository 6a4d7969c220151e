"""`grid` and `styles` on a terminal: a cell is the very picture that its own request gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.images.metadata import read

SMALL = ("--size", "64x64", "--steps", "1", "--seed", "7")


pytestmark = pytest.mark.usefixtures("narrow_seedlings")


@pytest.fixture(autouse=True)
def _own_styles(nothing_downloaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_STYLES_FILE", str(nothing_downloaded / "styles.json"))


def pixels(path: Path | str) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.slow
def test_cells_are_the_single_pictures_bit_for_bit_and_the_sheet_has_them_all(run: Any) -> None:
    Path("cells").mkdir()
    words = ("grid", "a {red|blue} house", "--axis", "style=,At night", "--cells", "cells", "-o", "sheet.png")
    status, out, err = run(*words, "--model", "seedling", *SMALL)
    assert (status, out) == (0, "Saved sheet.png\n"), err
    assert "4 pictures: 2 across, 2 down." in err
    files = sorted(Path("cells").iterdir())
    assert [file.name for file in files] == [
        "01-01-red-no-style.png",
        "01-02-blue-no-style.png",
        "02-01-red-at-night.png",
        "02-02-blue-at-night.png",
    ]
    sheet = pixels("sheet.png")
    for file, prompt in zip(files, ("a red house", "a blue house") * 2, strict=True):
        style = ("--style", "at night") if "night" in file.name else ()
        assert run("generate", prompt, "--model", "seedling", *SMALL, *style, "-o", "one.png", "--quiet")[0] == 0
        cell = pixels(file)
        assert (cell == pixels("one.png")).all()
        assert any(
            (sheet[y : y + 64, x : x + 64] == cell).all()
            for y in range(sheet.shape[0] - 63)
            for x in range(sheet.shape[1] - 63)
            if (sheet[y, x] == cell[0, 0]).all()
        )
    found = read(files[3])
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.prompt == "a blue house at night"
    assert dict(found.recipe.parameters) == {"styles": ("At night",), "typed": "a blue house"}
    assert run("again", str(files[3]), "-o", "again.png", "--quiet")[0] == 0
    assert (pixels("again.png") == pixels(files[3])).all()


@pytest.mark.slow
def test_a_grid_over_models_loads_each_once(run: Any) -> None:
    axes = ("--axis", "seed=1..2", "--axis", "model=seedling-ternary,seedling-binary")
    status, out, err = run("grid", "a star", *axes, "--size", "64x64", "--steps", "1", "--quiet")
    assert (status, out, err) == (0, "grid.png\n", "")
    assert pixels("grid.png").shape[0] > 128
    wrong = run("grid", "a star", *axes, "--model", "seedling")
    assert wrong[0] == 1
    assert "leave --model and --variant out" in wrong[2]


def test_what_cannot_be_is_told_before_anything_is_drawn(run: Any) -> None:
    for words, told in (
        (("a fox",), "no alternatives"),
        (("a fox", "--axis", "style=Ink"), "no style called 'Ink'"),
        (("a {b|c}", "--cells", "nowhere"), "no such folder"),
        (("a {b|c}", "-o", "nowhere/a.png"), "no such folder"),
    ):
        status, out, err = run("grid", *words)
        assert (status, out) == (1, ""), err
        assert told in err
    assert run("grid", "a fox", "--axis", "colour=red")[0] == 2


def test_generate_says_that_braces_are_drawn_as_they_are(run: Any) -> None:
    _, _, err = run("generate", "a {red|blue} house", "--model", "seedling", *SMALL, "-o", "a.png")
    assert "`bonsai-mlx grid` draws each" in err


@pytest.mark.slow
def test_styles_are_listed_changed_and_used(run: Any) -> None:
    status, out, _ = run("styles")
    assert status == 0
    assert "Ink wash" in out
    assert "styles.json" in out
    assert run("styles", "--save", "Mine", "two {prompt}", "--delete", "Comic")[0] == 0
    listed = json.loads(run("styles", "--json")[1])
    assert listed[-1] == {"name": "Mine", "text": "two {prompt}", "ours": False}
    assert "Comic" not in [one["name"] for one in listed]
    run("generate", "stars", "--style", "mine", "--model", "seedling", *SMALL, "-o", "a.png", "--quiet")
    run("generate", "two stars", "--model", "seedling", *SMALL, "-o", "b.png", "--quiet")
    assert (pixels("a.png") == pixels("b.png")).all()
    assert "Comic" in run("styles", "--restore")[1]
    assert run("styles", "--delete", "Nothing")[0] == 1


@pytest.mark.slow
def test_a_pipeline_draws_styles_and_grids() -> None:
    pipe = Pipeline.from_pretrained("seedling")
    small = {"steps": 1, "width": 64, "height": 64}
    made = pipe.grid("a {red|blue} house", {"seed": [1, 2]}, **small)
    assert [one.request.seed for one in made.results] == [1, 1, 2, 2]
    single = pipe.generate("a blue house", seed=2, **small)
    assert (np.asarray(single.image) == np.asarray(made.results[3].image)).all()
    assert made.sheet().width > 128
    night = pipe.generate("a blue house", seed=2, styles=["At night"], **small)
    assert night.request.prompt == "a blue house at night"
    with pytest.raises(Exception, match=r"axes\.model"):
        pipe.grid("a star", {"model": ["binary"]})
