"""What only a model of bits can be told: a temperature, and to draw without words; by Python and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.metadata import read

SMALL: dict[str, Any] = {"seed": 5, "steps": 3, "width": 64, "height": 64}


def test_a_temperature_makes_a_difference_and_is_in_the_recipe(pipe: Pipeline) -> None:
    usual, cold, one = (pipe.generate("a fox", temperature=t, **SMALL) for t in (None, 0.3, 1.0))
    assert usual.code == one.code != cold.code
    assert cold.recipe is not None
    assert cold.recipe.parameters["temperature"] == 0.3
    assert usual.recipe is not None
    assert usual.recipe.parameters["temperature"] == 1.0


def test_without_words_it_reads_an_empty_prompt_whatever_the_picture_is_called(pipe: Pipeline) -> None:
    unread = pipe.generate(unconditional=True, **SMALL)
    named = pipe.generate("a fox", unconditional=True, **SMALL)
    assert unread.code == named.code != pipe.generate("a fox", **SMALL).code
    assert unread.recipe is not None
    assert (unread.recipe.prompt, unread.recipe.parameters["unconditional"]) == ("anything", True)


def test_other_models_refuse_both_by_name() -> None:
    seedling = Pipeline.from_pretrained("seedling")
    for field, value in (("temperature", 0.9), ("unconditional", True)):
        with pytest.raises(RequestError, match="is for models that draw in bits") as refusal:
            seedling.resolve(GenerationRequest("a fox", **{field: value}))
        assert refusal.value.field == field
    resolved = seedling.resolve(GenerationRequest("a fox"))
    assert (resolved.temperature, resolved.unconditional) == (None, False)


@pytest.mark.parametrize("temperature", [0.2, 1.3, float("nan")])
def test_temperatures_have_bounds(pipe: Pipeline, temperature: float) -> None:
    with pytest.raises(RequestError, match="temperature"):
        pipe.generate("a fox", temperature=temperature, **SMALL)


def test_styles_are_about_a_prompt(pipe: Pipeline) -> None:
    with pytest.raises(RequestError, match="styles: is about a prompt, and none is read"):
        pipe.generate(unconditional=True, styles=["Ink"], **SMALL)


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = main([*words])
        except SystemExit as end:
            status = int(str(end.code))
        return status, *capsys.readouterr()

    return run


def code(path: str) -> str | None:
    found = read(Path(path))
    assert found is not None
    return found.code


@pytest.mark.slow
def test_the_command_line_says_both_and_repeats_them(run: Any, folder: Path) -> None:
    own = ("--model", str(folder), "--size", "64x64", "--steps", "3", "--seed", "5")
    status, _, said = run("generate", "--unconditional", "--temperature", "0.5", *own, "-o", "any.png")
    assert status == 0, said
    assert "seed 5, 3 steps, temperature 0.5, 64x64" in said
    shown = run("show", "any.png")[1]
    assert "not read: drawn without words" in shown
    assert "Temperature" in shown
    again = run("again", "any.png", "--model", str(folder), "-o", "again.png")
    assert again[0] == 0, again
    assert code("again.png") == code("any.png")
    warmer = ("again", "any.png", "--model", str(folder), "--temperature", "1.2", "-o", "warmer.png")
    assert run(*warmer)[0] == 0
    assert code("warmer.png") != code("any.png")
    assert run("generate", "--like", "any.png", "--model", str(folder), "-o", "like.png")[0] == 0
    assert code("like.png") == code("any.png")
    assert run("generate", "a fox", "--like", "any.png", "--model", str(folder), "-o", "fox.png")[0] == 0
    found = read(Path("fox.png"))
    assert found is not None
    assert found.recipe is not None
    assert "unconditional" not in found.recipe.parameters
    assert found.recipe.parameters["temperature"] == 0.5


def test_what_the_command_line_refuses(run: Any, folder: Path) -> None:
    status, _, said = run("generate", "a fox", "--unconditional", "--model", str(folder))
    assert status == 2
    assert "--unconditional draws without a prompt; leave one of them out" in said
    status, _, said = run("generate", "a fox", "--temperature", "0.9", "--model", "seedling")
    assert status == 1
    assert "--temperature: is for models that draw in bits, and this one does not" in said
    status, _, said = run("generate", "--unconditional", "--model", "seedling")
    assert status == 1
    assert "--unconditional: is for models that draw in bits" in said
    Image.new("RGB", (64, 64)).save("plain.png")
    status, _, said = run(
        "edit", "plain.png", "a fox", "--strength", "0.5", "--temperature", "0.1", "--model", "seedling"
    )
    assert status == 1
    assert "--temperature" in said
