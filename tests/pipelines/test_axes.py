"""What alternatives and axes make of one request."""

from __future__ import annotations

from typing import Any

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.axes import MAX_CELLS, NO_STYLE, axis_from_text, grid_of
from bonsai_mlx.request import Draw

CHANGED = "a" * 64


def test_the_first_runs_across_and_the_others_down() -> None:
    grid = grid_of(Draw("a {red|blue} house", seed=7, width=64), {"steps": [1, 2], "seed": [3, 4]})
    assert grid.columns == ("red", "blue")
    assert grid.rows == ("steps 1, seed 3", "steps 1, seed 4", "steps 2, seed 3", "steps 2, seed 4")
    assert [(cell.column, cell.row) for cell in grid.cells] == [(c, r) for r in range(4) for c in range(2)]
    assert grid.cells[5].request == Draw("a blue house", seed=3, steps=2, width=64)


def test_what_no_axis_names_is_the_same_everywhere_the_random_seed_too() -> None:
    grid = grid_of(Draw("a {red|blue} house"), {})
    assert grid.rows == ("",)
    first, second = (cell.request for cell in grid.cells)
    assert first.seed == second.seed is not None
    assert [first.prompt, second.prompt] == ["a red house", "a blue house"]


def test_models_styles_and_strengths() -> None:
    grid = grid_of(
        Draw("a fox", init=CHANGED, styles=("Comic",)),
        {"model": ["ternary", "binary"], "style": ["", "At night"], "strength": [0.25, 1]},
    )
    assert grid.columns == ("ternary", "binary")
    assert grid.rows[:3] == (f"{NO_STYLE}, strength 0.25", f"{NO_STYLE}, strength 1", "At night, strength 0.25")
    last = grid.cells[-1]
    assert (last.model, last.request.styles, last.request.strength) == ("binary", ("Comic", "At night"), 1.0)
    assert grid.cells[0].request.styles == ("Comic",)


def test_variations_share_their_seed_too() -> None:
    grid = grid_of(Draw("a fox", seed=1), {"variation_amount": [0.0, 0.2, 1]})
    assert grid.columns == ("variation 0", "variation 0.2", "variation 1")
    first, second, third = (cell.request for cell in grid.cells)
    assert first == Draw("a fox", seed=1)
    assert second.variation_seed == third.variation_seed is not None
    seeds = grid_of(Draw("a fox", variation_amount=0.5), {"variation_seed": [3, 4]})
    assert [cell.request.variation_seed for cell in seeds.cells] == [3, 4]


def test_a_value_twice_is_one_and_a_long_label_is_cut() -> None:
    assert grid_of(Draw("a fox"), {"seed": [1, 1, 2]}).columns == ("seed 1", "seed 2")
    assert grid_of(Draw("a fox"), {"seed": [850868001, 2**32 - 1]}).columns == ("seed 850868001", "seed 4294967295")
    assert len(grid_of(Draw("{a|" + "b" * 500 + "}"), {}).columns[1]) == 80


@pytest.mark.parametrize(
    ("prompt", "axes", "field", "words"),
    [
        ("a fox", {}, "axes", "no alternatives"),
        ("a fox", {"colour": ["red"]}, "axes", "there are seed, steps"),
        ("a fox", {"steps": []}, "axes.steps", "at least one"),
        ("a fox", {"steps": "12"}, "axes.steps", "at least one"),
        ("a fox", {"steps": [0]}, "axes.steps", "from 1 to 100"),
        ("a fox", {"seed": ["7"]}, "axes.seed", "whole number"),
        ("a fox", {"model": [7]}, "axes.model", "not a name"),
        ("a fox", {"strength": [0.5]}, "axes.strength", "give one"),
        ("a fox", {"seed": range(MAX_CELLS + 1)}, "axes", f"at most {MAX_CELLS}"),
        ("{a|b}" * 7, {}, "prompt", "has 7 places with alternatives"),
        ("{a|b}" * 7, {"seed": [1]}, "axes", "are 8 with the alternatives"),
        ("{%s} {%s}" % (("|".join(map(str, range(32))),) * 2), {}, "prompt", "stands for 1024 pictures"),
        (" ", {"seed": [1]}, "prompt", "is empty"),
        ("{a| }", {"seed": [1]}, "prompt", "is empty"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(prompt: str, axes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        grid_of(Draw(prompt), axes)
    assert caught.value.field == field


def test_axes_as_they_are_typed() -> None:
    assert axis_from_text("seed=1..3, 9,7..6") == ("seed", [1, 2, 3, 9, 7, 6])
    assert axis_from_text("strength=0.5,1") == ("strength", [0.5, 1.0])
    assert axis_from_text("style=Comic, Ink wash,") == ("style", ["Comic", "Ink wash", ""])
    for wrong in ("seed", "colour=red", "steps=a", "seed=1..", "seed=0..5000", f"seed=0..{10**30}"):
        with pytest.raises(ValueError, match="is no"):
            axis_from_text(wrong)
