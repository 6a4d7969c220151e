"""Guidance and the negative prompt: of models that are not distilled alone, in two passes a step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.infotext import format_infotext, found_in_infotext
from bonsai_mlx.images.recipe import Recipe
from tests.cli.conftest import NARROW

SHAPE: dict[str, Any] = {"seed": 1, "steps": 1, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def base(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("4-bit", **NARROW | {"model_index": NARROW["model_index"] | {"is_distilled": False}})


def pixels(pipe: Pipeline, **given: Any) -> np.ndarray[Any, Any]:
    return np.asarray(pipe.generate("a fox", **SHAPE, **given).image)


@pytest.mark.slow
def test_each_of_them_makes_another_picture(base: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    pipe = Pipeline.from_pretrained(base)
    drawn = [
        pixels(pipe, **given)
        for given in (
            {"guidance": 1.0},
            {"guidance": 2.0},
            {},
            {"negative_prompt": "a green house"},
            {"guidance": 4.0, "negative_prompt": ""},
        )
    ]
    equal = [(a, b) for a in range(5) for b in range(a) if np.array_equal(drawn[a], drawn[b])]
    assert equal == [(4, 2)]  # 4 is what is recommended
    assert np.array_equal(drawn[0], pixels(Pipeline.from_pretrained(tiny_checkpoint("4-bit", **NARROW))))


def test_the_recipe_has_them_and_a1111_s_form_too(base: Path) -> None:
    pipe = Pipeline.from_pretrained(base)
    assert (pipe.model.checkpoint.recommended_steps, pipe.model.describe().recommended_guidance) == (4, 4.0)
    result = pipe.generate("a fox", negative_prompt="blurry", **SHAPE)
    recipe = pipe.recipe(result)
    again = Recipe.from_json(recipe.to_json())
    assert (again.parameters["guidance"], again.parameters["negative_prompt"]) == (4.0, "blurry")
    found = found_in_infotext(format_infotext(recipe))
    assert (found.prompt, found.negative, found.extra["CFG scale"]) == ("a fox", "blurry", "4")


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"negative_prompt": "blurry"}, "negative_prompt", "is distilled and follows no negative prompt"),
        ({"guidance": 3.0}, "guidance", "is distilled and has no guidance"),
        ({"guidance": 0.5}, "guidance", "give a number from 1 to 30"),
        ({"guidance": float("nan")}, "guidance", "give a number from 1 to 30"),
        ({"guidance": True}, "guidance", "give a number from 1 to 30"),
        ({"guidance": 1.0, "negative_prompt": "x"}, "negative_prompt", "changes nothing at a guidance of 1"),
        ({"negative_prompt": 7}, "negative_prompt", "is not text"),
    ],
)
def test_what_a_distilled_model_or_the_bounds_refuse(
    given: dict[str, Any], field: str, reason: str, tiny_checkpoint: Callable[..., Path]
) -> None:
    pipe = Pipeline.from_pretrained(tiny_checkpoint("4-bit", **NARROW))
    with pytest.raises(RequestError, match=re.escape(reason)) as caught:
        pipe.generate("a fox", **SHAPE, **given)
    assert caught.value.field == field


@pytest.mark.slow
def test_the_plan_counts_both_passes(held_by_others: int, base: Path) -> None:
    pipe = Pipeline.from_pretrained(base)
    plans = [
        pipe.plan(GenerationRequest("a fox", seed=1, steps=1, width=512, height=256, guidance=guidance))
        for guidance in (1.0, 4.0)
    ]
    assert plans[0].phases["denoise"] < plans[1].phases["denoise"] < 1.2 * plans[0].phases["denoise"]
    request = GenerationRequest("a fox", seed=1, steps=1, width=512, height=256)
    plan = pipe.plan(request)
    *_, last = pipe.run(request)
    assert last.result is not None
    assert last.result.memory["phases"]["denoise"] - held_by_others <= 1.1 * plan.phases["denoise"]


@pytest.mark.slow
def test_what_is_redrawn_in_tiles_is_led_too(base: Path, tmp_path: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    """In Python and on the command line; its own guidance comes along with its words, for the model that drew it."""
    source, options = tmp_path / "fox.png", ["--seed", "1", "--steps", "1", "--strength", "0.8"]
    led: dict[str, Any] = {"guidance": 6.0, "negative_prompt": "blurry"}
    pipe = Pipeline.from_pretrained(base)
    pipe.generate("a fox", **SHAPE, **led).save(source)
    refine: dict[str, Any] = {"method": "refine", "seed": 1, "steps": 1, "strength": 0.8}
    own = pipe.enlarge(source, **refine)
    assert (own.request.guidance, own.request.negative_prompt) == (6.0, "blurry")
    named = pipe.enlarge(source, prompt="a fox", **refine, **led)
    usual = pipe.enlarge(source, prompt="a fox", **refine)
    assert usual.request.guidance == 4.0
    first, second, third = (np.asarray(one.image) for one in (own, named, usual))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    words = ["enlarge", str(source), "--method", "refine", *options, "--model"]
    assert main([*words, str(base), "-o", str(tmp_path / "a.png")]) == 0
    assert main([*words, str(base), "-o", str(tmp_path / "b.png"), "--prompt", "a fox", "--guidance", "4"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), first)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), third)
    assert main(["again", str(tmp_path / "a.png"), "--model", str(base), "-o", str(tmp_path / "again.png")]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), first)
    distilled = str(tiny_checkpoint("4-bit", **NARROW))
    assert main([*words, distilled, "-o", str(tmp_path / "c.png")]) == 0
    assert main([*words, distilled, "-o", str(tmp_path / "d.png"), "--guidance", "3"]) == 1
    assert main(["enlarge", str(source), "--guidance", "3", "-o", str(tmp_path / "d.png"), "--model", distilled]) == 1


@pytest.mark.slow
def test_on_the_command_line(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", str(base), "--seed", "1", "--steps", "2", "--size", "64x64", "-o"]
    given = ["--guidance", "3", "--negative-prompt", "blurry"]
    assert main(["generate", "a fox", *options, str(tmp_path / "a.png"), *given]) == 0
    assert "guidance 3" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "a.png")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^Guidance +3.0$", shown, re.MULTILINE)
    assert re.search(r"^Negative prompt +blurry$", shown, re.MULTILINE)
    assert main(["again", str(tmp_path / "a.png"), "--model", str(base), "-o", str(tmp_path / "b.png")]) == 0
    assert main(["generate", "--like", str(tmp_path / "a.png"), *options, str(tmp_path / "c.png")]) == 0
    first, second, third = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)
