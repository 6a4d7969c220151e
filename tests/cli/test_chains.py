"""A picture's steps, from the first words to the enlarged one: again, with another seed, and on other words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.cli.main import main
from bonsai_mlx.images.metadata import read
from bonsai_mlx.pipeline import Pipeline

STEPS = ["draw.png", "repaint.png", "extend.png", "large.png"]


pytestmark = pytest.mark.usefixtures("narrow_seedlings")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (16, 16, 40, 40))
    mask.save("mask.png")
    return tmp_path


def run(*words: str) -> int:
    return main([*words, "--model", "seedling", "--quiet"])


def pixels(path: str) -> tuple[tuple[int, int], bytes]:
    with Image.open(path) as image:
        return image.size, image.tobytes()


def chain(path: str) -> list[dict[str, Any]]:
    found = read(Path(path))
    assert found is not None
    assert found.recipe is not None
    return list(found.recipe.parameters["chain"])


def four_steps() -> None:
    """Drawn, repainted, extended, enlarged."""
    assert run("generate", "a red star", "--size", "64x64", "--steps", "1", "--seed", "3", "-o", STEPS[0]) == 0
    repainted = ["--mask", "mask.png", "--feather", "4", "--steps", "1", "--seed", "4"]
    assert run("edit", STEPS[0], "a blue house", "-o", STEPS[1], *repainted) == 0
    assert (
        run("edit", STEPS[1], "a red star", "--extend", "16,0,0,0", "--steps", "1", "--seed", "5", "-o", STEPS[2]) == 0
    )
    assert run("enlarge", STEPS[2], "--method", "refine", "--steps", "1", "--seed", "6", "-o", STEPS[3]) == 0


@pytest.mark.slow
def test_four_steps_are_in_the_last_picture_and_give_the_same_pixels(here: Path) -> None:
    four_steps()
    assert [step["operation"] for step in chain("large.png")] == ["draw"] * 3
    assert [step["seed"] for step in chain("large.png")] == [3, 4, 5]
    assert list(chain("large.png")[1]["pictures"]) == [chain("large.png")[1]["mask"]]
    expected = pixels("large.png")
    for name in (*STEPS[:3], "mask.png"):
        (here / name).unlink()
    assert run("again", "large.png", "-o", "again.png") == 0
    assert pixels("again.png") == expected
    assert chain("again.png") == chain("large.png")
    assert run("again", "large.png", "--seed", "8", "-o", "other.png") == 0
    assert [step["seed"] for step in chain("other.png")] == [8, 8, 8]
    assert pixels("other.png")[0] == expected[0]
    assert pixels("other.png") != expected
    assert run("run", "large.png", "--prompt", "a green tree", "-o", "tree.png") == 0
    assert [step["prompt"] for step in chain("tree.png")] == ["a green tree", "a blue house", "a green tree"]


PIPELINE = {
    "name": "sketch, then large",
    "steps": [
        {"operation": "draw", "prompt": "{prompt}", "width": 64, "height": 64, "steps": 1, "seed": 3, "id": "sketch"},
        {"operation": "draw", "prompt": "{prompt} at night", "init": "sketch", "strength": 0.5, "steps": 1, "seed": 4},
        {"operation": "enlarge", "source": "previous"},
    ],
}


@pytest.mark.slow
def test_a_pipeline_is_run_on_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.json").write_text(json.dumps(PIPELINE))
    assert run("run", "mine.json", "--prompt", "a red star", "-o", "star.png") == 0
    assert run("run", "mine.json", "--prompt", "a red star", "-o", "star2.png") == 0
    assert pixels("star.png") == pixels("star2.png")
    assert pixels("star.png")[0] == (128, 128)
    assert [step["prompt"] for step in chain("star.png")] == ["a red star", "a red star at night"]
    run("generate", "a red star", "--size", "64x64", "--steps", "1", "--seed", "3", "-o", "one.png")
    run("edit", "one.png", "a red star at night", "--strength", "0.5", "--steps", "1", "--seed", "4", "-o", "two.png")
    run("enlarge", "two.png", "-o", "three.png")
    assert pixels("three.png") == pixels("star.png")
    capsys.readouterr()
    assert run("run", "mine.json", "-o", "none.png") == 1
    assert "has a place for your words" in capsys.readouterr().err


DRAWN = '{"operation": "draw", "prompt": "a star"}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"steps": [{"operation": "shell", "command": "ls"}]}', "steps[0].operation"),
        ('{"steps": [{"operation": "enlarge", "source": "nobody"}]}', "neither an earlier step nor given"),
        (f'{{"steps": [{DRAWN}, {{"operation": "enlarge", "source": "sketch"}}]}}', "steps[1]: the picture sketch"),
        ('{"steps": []}', "no list of 1 to 16 steps"),
        ('{"steps": [], "code": "1"}', "nothing else"),
        ("[" * 100_000, "neither a pipeline nor a picture"),
        ("{" + '"a":{' * 100_000, "a pipeline is an object with"),
        ("no json", "neither a pipeline nor a picture"),
    ],
)
def test_what_is_no_pipeline(
    text: str, words: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before anything is drawn."""
    monkeypatch.setattr(Pipeline, "run", lambda *_, **__: pytest.fail("it draws"))
    Path("mine.json").write_text(text)
    assert run("run", "mine.json", "-o", "none.png") == 1
    assert words in capsys.readouterr().err
    assert not Path("none.png").exists()


def test_words_that_a_pipeline_has_no_place_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.json").write_text('{"steps": [{"operation": "draw", "prompt": "a red star"}]}')
    assert run("run", "mine.json", "--prompt", "a blue star", "-o", "none.png") == 1
    assert "write {prompt} in the pipeline where it goes" in capsys.readouterr().err
    assert not Path("none.png").exists()
